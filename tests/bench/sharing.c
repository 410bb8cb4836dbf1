/*
 * False sharing. Each thread allocates a small block, writes to it many times
 * and frees it: slow when blocks of two threads lie in one cache line (active).
 * With --passive the first blocks come from one thread, neighbours in a line;
 * each thread frees its own, and is slow if it is given that very place again.
 */
#include "common.h"

static uint64_t operations = 400000, writes = 1000, passive, size = 8;

static const struct bench_option options[] = {
	{ "operations", BENCH_COUNT, &operations, 0, UINT64_MAX, "calls by each thread", NULL },
	{ "writes", BENCH_COUNT, &writes, 0, UINT32_MAX, "to each block", NULL },
	{ "size", BENCH_BYTES, &size, BENCH_LEAST, 4096, "of a block", NULL },
	{ "passive", BENCH_COUNT, &passive, 0, 1, "1: blocks first passed from one thread", NULL },
	{ 0 },
};

static void **passed;

static void work(struct bench_worker *w)
{
	uint64_t left = operations / 2, i;

	w->ops = 2 * left;
	if (passive)
		free(passed[w->number]);
	while (left--) {
		volatile bench_word *block = (volatile bench_word *)bench_block(size, 0);

		for (i = 0; i < writes; i++)
			*block += 1;
		bench_drop((void *)(uintptr_t)block, writes);
	}
}

int main(int argc, char **argv)
{
	uint64_t i;

	bench_threads = 2;
	bench_start(argc, argv, "Threads write to small blocks that could share a cache line.",
		    options);
	passed = (void **)bench_map(bench_threads * sizeof *passed);
	for (i = 0; passive && i < bench_threads; i++)
		passed[i] = bench_block(size, 0);
	bench_all(NULL, work, NULL);
	return 0;
}
