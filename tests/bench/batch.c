/*
 * Blocks allocated together and freed in a given order. In the order ring a
 * block is freed when as many younger ones as a batch holds are alive: first
 * in, first out.
 */
#include "common.h"

static uint64_t operations = 40000000, batch = 1000, order;
static uint64_t smallest = 16, largest = 256;

enum order { SAME, REVERSE, RANDOM, RING };

static const char *const orders[] = { "same", "reverse", "random", "ring" };

static const struct bench_option options[] = {
	{ "operations", BENCH_COUNT, &operations, 0, UINT64_MAX, "calls by each thread", NULL },
	{ "batch", BENCH_COUNT, &batch, 1, UINT32_MAX, "live blocks of each thread", NULL },
	{ "order", BENCH_COUNT, &order, 0, RING, "of freeing", orders },
	{ "smallest", BENCH_BYTES, &smallest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ "largest", BENCH_BYTES, &largest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ 0 },
};

static void *make(struct bench_worker *w, uint64_t mark)
{
	return bench_block(bench_between(bench_random(&w->random), smallest, largest), mark);
}

static void ring(struct bench_worker *w)
{
	uint64_t left, at = 0;

	for (at = 0; at < batch; at++)
		w->slots[at] = make(w, at);
	for (at = 0, left = w->ops / 2; left--; at = at + 1 < batch ? at + 1 : 0) {
		bench_drop(w->slots[at], at);
		w->slots[at] = make(w, at);
	}
	for (at = 0; at < batch; at++)
		bench_drop(w->slots[at], at);
}

static void batches(struct bench_worker *w, const uint32_t *sequence)
{
	uint64_t left = w->ops / (2 * batch), i;

	while (left--) {
		for (i = 0; i < batch; i++)
			w->slots[i] = make(w, i);
		for (i = 0; i < batch; i++)
			bench_drop(w->slots[sequence[i]], sequence[i]);
	}
}

static void work(struct bench_worker *w)
{
	uint32_t *sequence = (uint32_t *)bench_map(batch * sizeof *sequence);
	uint64_t i;

	w->slots = (void **)bench_map(batch * sizeof *w->slots);
	w->ops = operations / (2 * batch) * 2 * batch;
	for (i = 0; i < batch; i++) {
		uint64_t at = order == RANDOM ? bench_scale(bench_random(&w->random), i + 1) : i;

		sequence[i] = sequence[at];
		sequence[at] = (uint32_t)(order == REVERSE ? batch - 1 - i : i);
	}
	if (order == RING)
		ring(w);
	else
		batches(w, sequence);
}

int main(int argc, char **argv)
{
	bench_start(argc, argv, "Allocates blocks in batches and frees them in some order.", options);
	if (largest < smallest)
		largest = smallest;
	bench_all(NULL, work, NULL);
	return 0;
}
