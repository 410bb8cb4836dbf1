/*
 * Buffers of some pages each, 8 KB unless told: above what the small size
 * classes of most allocators serve, below what they map directly. A step
 * frees a short run of neighbours in the working set and allocates them again,
 * as a program does that handles one message with a few buffers.
 */
#include "common.h"

static uint64_t operations = 4000000, working_set = 512, burst = 4;
static uint64_t smallest = 8192, largest = 8192;

static const struct bench_option options[] = {
	{ "operations", BENCH_COUNT, &operations, 0, UINT64_MAX, "calls by each thread", NULL },
	{ "working-set", BENCH_COUNT, &working_set, 1, UINT32_MAX, "live blocks of each thread", NULL },
	{ "burst", BENCH_COUNT, &burst, 1, UINT32_MAX, "blocks freed before as many are allocated", NULL },
	{ "smallest", BENCH_BYTES, &smallest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ "largest", BENCH_BYTES, &largest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ 0 },
};

static size_t pick(uint64_t random)
{
	return bench_between(random, smallest, largest);
}

static void fill(struct bench_worker *w)
{
	uint64_t i;

	w->slots = (void **)bench_map(working_set * sizeof *w->slots);
	for (i = 0; i < working_set; i++)
		w->slots[i] = bench_block_paged(pick(bench_random(&w->random)), i);
}

static void work(struct bench_worker *w)
{
	uint64_t left = operations / (2 * burst), i;
	void **slots = w->slots;

	w->ops = left * 2 * burst;
	while (left--) {
		uint64_t r = bench_random(&w->random);
		uint64_t first = bench_scale(r, working_set - burst + 1);

		for (i = first; i < first + burst; i++)
			bench_drop(slots[i], i);
		for (i = first; i < first + burst; i++)
			slots[i] = bench_block_paged(pick(bench_random(&w->random)), i);
	}
}

static void empty(struct bench_worker *w)
{
	uint64_t i;

	for (i = 0; i < working_set; i++)
		bench_drop(w->slots[i], i);
}

int main(int argc, char **argv)
{
	bench_start(argc, argv, "Frees and allocates buffers of some pages.", options);
	if (largest < smallest)
		largest = smallest;
	if (burst > working_set)
		burst = working_set;
	bench_all(fill, work, empty);
	return 0;
}
