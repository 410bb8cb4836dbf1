/*
 * Rounds of threads that work on blocks of all sizes and end. A thread keeps some of its blocks
 * until its end, frees most of the others soon and in no order, and swaps some for those that
 * another thread, perhaps one of an earlier round, left in a table that all share.
 */
#include "common.h"

#include <stdatomic.h>

static uint64_t rounds = 40, blocks = 40000, swapped = 25, kept = 33, freed = 66;
static uint64_t smallest = 16, largest = 1024, large = 65536;

static const struct bench_option options[] = {
	{ "rounds", BENCH_COUNT, &rounds, 1, 1000000, "of --threads that start and end", NULL },
	{ "blocks", BENCH_COUNT, &blocks, 1, 10000000, "that a thread allocates, on average", NULL },
	{ "swapped", BENCH_COUNT, &swapped, 0, 100, "percent, after an allocation", NULL },
	{ "kept", BENCH_COUNT, &kept, 0, 100, "percent that stay until the thread ends", NULL },
	{ "freed", BENCH_COUNT, &freed, 0, 100, "percent, after an allocation", NULL },
	{ "smallest", BENCH_BYTES, &smallest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ "largest", BENCH_BYTES, &largest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ "large", BENCH_BYTES, &large, BENCH_LEAST, UINT32_MAX, "size of one block in 1,000", NULL },
	{ 0 },
};

enum { MARK = 4711, PLACES = 1000, LARGE_OF = 1000 };

static _Atomic(void *) places[PLACES];
static unsigned least_bits, most_bits;

static bool percent(struct bench_worker *w, uint64_t of)
{
	return bench_scale(bench_random(&w->random), 100) < of;
}

static void *make(struct bench_worker *w)
{
	uint64_t random = bench_random(&w->random);

	w->ops += 2;
	if (bench_scale(bench_random(&w->random), LARGE_OF) == 0)
		return bench_block(large, MARK);
	return bench_block(bench_log_between(random, least_bits, most_bits), MARK);
}

/* A place in the first `used` slots. */
static void **any(struct bench_worker *w, uint64_t used)
{
	return &w->slots[bench_scale(bench_random(&w->random), used)];
}

static void drop(void *p)
{
	if (p)
		bench_drop(p, MARK);
}

/* Some threads do more than others. Slots are filled from the front with blocks that come and
 * go, and from the back with those that are kept. */
static void work(struct bench_worker *w)
{
	uint64_t mine = blocks * (w->number % 4 + 1) * 2 / 5, used = 0, keep = 0, i;

	for (i = 0; i < mine; i++) {
		if (percent(w, kept))
			w->slots[mine - ++keep] = make(w);
		else
			w->slots[used++] = make(w);
		if (used && percent(w, freed)) {
			void **slot = any(w, used);

			drop(*slot);
			*slot = NULL;
		}
		if (used && percent(w, swapped)) {
			void **slot = any(w, used);

			*slot = atomic_exchange(&places[bench_scale(bench_random(&w->random), PLACES)], *slot);
		}
	}
	for (i = 0; i < mine; i++)
		drop(w->slots[i]);
}

int main(int argc, char **argv)
{
	struct bench_worker *workers;
	uint64_t i;
	double from;

	bench_threads = 8;
	bench_start(argc, argv, "Threads that work, hand some of their blocks over, and end.", options);
	bench_bits(smallest, largest, &least_bits, &most_bits);
	workers = bench_workers();
	for (i = 0; i < bench_threads; i++)
		workers[i].slots = (void **)bench_map(blocks * 2 * sizeof(void *));
	from = bench_now();
	for (i = 0; i < rounds; i++)
		bench_run(workers, NULL, work, NULL);
	for (i = 0; i < PLACES; i++)
		drop(places[i]);
	bench_report(bench_ops(workers), bench_now() - from, NULL);
	return 0;
}
