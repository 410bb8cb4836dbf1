/*
 * calloc or aligned_alloc of mixed sizes: each step frees one block of a
 * working set and allocates another in its place. What calloc gives is seen to
 * be zero, what aligned_alloc gives to be aligned. Sizes and alignments are
 * spread over the powers of two.
 */
#include "common.h"

static uint64_t operations = 10000000, working_set = 1000, call;
static uint64_t smallest = 16, largest = 65536;

enum { CALLOC, ALIGNED, ALIGN_BITS = 12, WORD = sizeof(bench_word) };

static const char *const calls[] = { "calloc", "aligned_alloc" };

static const struct bench_option options[] = {
	{ "operations", BENCH_COUNT, &operations, 0, UINT64_MAX, "calls by each thread", NULL },
	{ "working-set", BENCH_COUNT, &working_set, 1, UINT32_MAX, "live blocks of each thread", NULL },
	{ "call", BENCH_COUNT, &call, 0, ALIGNED, "that allocates", calls },
	{ "smallest", BENCH_BYTES, &smallest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ "largest", BENCH_BYTES, &largest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ 0 },
};

static unsigned least_bits, most_bits;

static void *zeroed(size_t size)
{
	char *p = (char *)bench_got(calloc(1, size), size);
	size_t at;

	for (at = 0; at + WORD <= size; at += 256)
		if (*(bench_word *)(p + at))
			bench_die("byte %zu of calloc's %p is not zero", at, (void *)p);
	return p;
}

static void *aligned(size_t size, uint64_t random)
{
	size_t to = (size_t)16 << bench_scale(random, ALIGN_BITS - 3);
	void *p = bench_got(aligned_alloc(to, (size + to - 1) & -to), size);

	if ((uintptr_t)p & (to - 1))
		bench_die("%p is not aligned to %zu", p, to);
	return p;
}

static void *make(struct bench_worker *w, uint64_t mark)
{
	size_t size = bench_log_between(bench_random(&w->random), least_bits, most_bits), at;
	char *p = (char *)(call == CALLOC ? zeroed(size) : aligned(size, bench_random(&w->random)));

	for (at = 0; at + WORD <= size; at += 256)
		*(bench_word *)(p + at) = mark + 1;
	return p;
}

static void work(struct bench_worker *w)
{
	uint64_t i;

	w->slots = (void **)bench_map(working_set * sizeof *w->slots);
	for (i = 0; i < working_set; i++)
		w->slots[i] = make(w, i);
	for (w->ops = 0; w->ops < operations; w->ops += 2) {
		i = bench_scale(bench_random(&w->random), working_set);
		bench_drop(w->slots[i], i + 1);
		w->slots[i] = make(w, i);
	}
	for (i = 0; i < working_set; i++)
		bench_drop(w->slots[i], i + 1);
}

int main(int argc, char **argv)
{
	bench_start(argc, argv, "Allocates by calloc or aligned_alloc.", options);
	bench_bits(smallest, largest, &least_bits, &most_bits);
	bench_all(NULL, work, NULL);
	return 0;
}
