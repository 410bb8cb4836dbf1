/*
 * Sparse survivors: a size fills the heap, all but one in twenty of its blocks
 * are freed at random, and the next size must do with the memory between.
 */
#include "common.h"

static uint64_t size = 64 << 20, survivors = 20, rounds = 2;

static const struct bench_option options[] = {
	{ "size", BENCH_BYTES, &size, 1 << 16, UINT64_MAX / 2, "bytes of each size, in each thread", NULL },
	{ "survivors", BENCH_COUNT, &survivors, 1, UINT32_MAX, "one in so many lives on", NULL },
	{ "rounds", BENCH_COUNT, &rounds, 1, 1000, "through all sizes", NULL },
	{ 0 },
};

static const unsigned sizes[] = { 48, 160, 80, 640, 320, 32, 1280, 24 };

enum { SIZES = sizeof sizes / sizeof *sizes };

static void **one_size(struct bench_worker *w, size_t each, void **kept)
{
	uint64_t count = size / each, i;

	for (i = 0; i < count; i++)
		w->slots[i] = bench_block(each, i & 0xff);
	for (i = 0; i < count; i++) {
		if (bench_scale(bench_random(&w->random), survivors))
			bench_drop(w->slots[i], i & 0xff);
		else
			*kept++ = w->slots[i];
	}
	w->ops += 2 * count;
	return kept;
}

static void work(struct bench_worker *w)
{
	void **kept = (void **)bench_map(size * rounds * sizeof *kept), **end = kept;
	uint64_t i;

	w->slots = (void **)bench_map(size / sizes[SIZES - 1] * sizeof *w->slots);
	for (i = 0; i < rounds * SIZES; i++)
		end = one_size(w, sizes[i % SIZES], end);
	while (end > kept)
		free(*--end);
}

int main(int argc, char **argv)
{
	bench_start(argc, argv, "Leaves one block in twenty alive, then fills with another size.",
		    options);
	bench_all(NULL, work, NULL);
	return 0;
}
