/*
 * Blocks of 5 to 25 MiB that come and go: a random one of the working set is
 * replaced, the new block allocated before the old one is freed. A program
 * writes one word of each page, all words, or only the first and the last.
 */
#include "common.h"

#include <string.h>

static uint64_t operations = 4000, working_set = 20, touch;
static uint64_t smallest = 5 << 20, largest = 25 << 20;

enum touch { PAGES, ALL, ENDS };

static const char *const touches[] = { "pages", "all", "ends" };

static const struct bench_option options[] = {
	{ "operations", BENCH_COUNT, &operations, 0, UINT64_MAX, "calls by each thread", NULL },
	{ "working-set", BENCH_COUNT, &working_set, 1, UINT32_MAX, "live blocks of each thread", NULL },
	{ "smallest", BENCH_BYTES, &smallest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ "largest", BENCH_BYTES, &largest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ "touch", BENCH_COUNT, &touch, 0, ENDS, "what is written", touches },
	{ 0 },
};

static void *make(struct bench_worker *w, uint64_t mark)
{
	size_t size = bench_between(bench_random(&w->random), smallest, largest);
	char *p;

	if (touch == PAGES)
		return bench_block_paged(size, mark);
	p = (char *)bench_block(size, mark);
	if (touch == ALL)
		memset(p + sizeof mark, (int)mark, size - sizeof mark);
	return p;
}

static void work(struct bench_worker *w)
{
	uint64_t left, i;

	w->slots = (void **)bench_map(working_set * sizeof *w->slots);
	for (left = operations / 2; left--; w->ops += 2) {
		void *p;

		i = bench_scale(bench_random(&w->random), working_set);
		p = make(w, i);
		if (w->slots[i])
			bench_drop(w->slots[i], i);
		w->slots[i] = p;
	}
	for (i = 0; i < working_set; i++)
		if (w->slots[i])
			bench_drop(w->slots[i], i);
}

int main(int argc, char **argv)
{
	bench_start(argc, argv, "Replaces random blocks of some MiB.", options);
	if (largest < smallest)
		largest = smallest;
	bench_all(NULL, work, NULL);
	return 0;
}
