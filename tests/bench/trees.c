/*
 * Binary trees: one that lives as long as the program, and beside it others
 * that are built, counted and torn down, as a compiler or an interpreter does.
 */
#include "common.h"

static uint64_t depth = 14, trees = 200, standing = 18, payload = 8;

static const struct bench_option options[] = {
	{ "depth", BENCH_COUNT, &depth, 0, 30, "of the trees that come and go", NULL },
	{ "trees", BENCH_COUNT, &trees, 0, UINT32_MAX, "built by each thread", NULL },
	{ "standing", BENCH_COUNT, &standing, 0, 30, "depth of the tree that stays", NULL },
	{ "payload", BENCH_BYTES, &payload, 8, 1 << 20, "bytes in a node beside two pointers", NULL },
	{ 0 },
};

struct node {
	struct node *left, *right;
	uint64_t mark;
};

static struct node *build(uint64_t levels, struct bench_worker *w)
{
	size_t size = offsetof(struct node, mark) + payload;
	struct node *n = (struct node *)bench_got(malloc(size), size);

	w->ops += 2;
	n->mark = levels;
	n->left = levels ? build(levels - 1, w) : NULL;
	n->right = levels ? build(levels - 1, w) : NULL;
	return n;
}

static void fell(struct node *n, uint64_t levels)
{
	if (n->mark != levels)
		bench_die("node %p was overwritten while in use", (void *)n);
	if (n->left)
		fell(n->left, levels - 1);
	if (n->right)
		fell(n->right, levels - 1);
	free(n);
}

static void work(struct bench_worker *w)
{
	struct node *stays = build(standing, w);
	uint64_t left;

	for (left = trees; left--;)
		fell(build(depth, w), depth);
	fell(stays, standing);
}

int main(int argc, char **argv)
{
	bench_start(argc, argv, "Builds binary trees and tears them down.", options);
	bench_all(NULL, work, NULL);
	return 0;
}
