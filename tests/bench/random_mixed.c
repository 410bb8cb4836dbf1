/*
 * Random sizes in a random order: each step frees one block of a fixed
 * working set, chosen at random, and allocates another in its place. On
 * request beside a heap that just stands there, of blocks of which only the
 * ends are touched, and beside threads that have allocated and now only wait.
 */
#include "common.h"

#include <unistd.h>

static uint64_t operations = 20000000, working_set = 4096;
static uint64_t smallest = BENCH_LEAST, largest = 256, standing, idle;

static const struct bench_option options[] = {
	{ "operations", BENCH_COUNT, &operations, 0, UINT64_MAX, "calls by each thread", NULL },
	{ "working-set", BENCH_COUNT, &working_set, 1, UINT32_MAX, "live blocks of each thread", NULL },
	{ "smallest", BENCH_BYTES, &smallest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ "largest", BENCH_BYTES, &largest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ "standing", BENCH_BYTES, &standing, 0, UINT64_MAX / 2, "bytes live beside the working set", NULL },
	{ "idle", BENCH_COUNT, &idle, 0, 10000, "threads that wait", NULL },
	{ 0 },
};

enum { STANDING = 32768 };

static size_t pick(uint64_t random)
{
	return bench_between(random, smallest, largest);
}

static void fill(struct bench_worker *w)
{
	uint64_t i;

	w->slots = (void **)bench_map(working_set * sizeof *w->slots);
	for (i = 0; i < working_set; i++)
		w->slots[i] = bench_block(pick(bench_random(&w->random)), i);
}

static void work(struct bench_worker *w)
{
	uint64_t left = operations / 2, random = w->random;
	void **slots = w->slots;

	w->ops = left * 2;
	while (left--) {
		uint64_t r = bench_random(&random), at = bench_scale(r >> 32, working_set);

		bench_drop(slots[at], at);
		slots[at] = bench_block(pick(r), at);
	}
}

static void empty(struct bench_worker *w)
{
	uint64_t i;

	for (i = 0; i < working_set; i++)
		bench_drop(w->slots[i], i);
}

static pthread_barrier_t asleep;

static void *wait_for_ever(void *arg)
{
	uint64_t random = bench_seed_for(1000), i;

	(void)arg;
	for (i = 0; i < 100; i++)
		bench_block(pick(bench_random(&random)), 0);
	pthread_barrier_wait(&asleep);
	while (pause())
		;
	return NULL;
}

static void stand(void)
{
	pthread_attr_t attr;
	pthread_t id;
	uint64_t i;

	for (i = 0; i < standing / STANDING; i++)
		bench_block(STANDING, 0);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 1 << 17);
	pthread_barrier_init(&asleep, NULL, (unsigned)idle + 1);
	for (i = 0; i < idle; i++)
		if (pthread_create(&id, &attr, wait_for_ever, NULL))
			bench_die("cannot start a thread");
	pthread_barrier_wait(&asleep);
}

int main(int argc, char **argv)
{
	bench_start(argc, argv, "Frees and allocates blocks of random sizes.", options);
	if (largest < smallest)
		largest = smallest;
	stand();
	bench_all(fill, work, empty);
	return 0;
}
