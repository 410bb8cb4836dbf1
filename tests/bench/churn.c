/*
 * Threads that come and go while many are alive. A thread allocates its
 * blocks and sleeps; woken, it frees every other one, leaves the rest to its
 * successor, which frees them, and ends.
 */
#include "common.h"

#include <semaphore.h>

static uint64_t started = 30000, blocks = 100, smallest = 16, largest = 1024;

static const struct bench_option options[] = {
	{ "started", BENCH_COUNT, &started, 0, UINT32_MAX, "threads in all; --threads are alive", NULL },
	{ "blocks", BENCH_COUNT, &blocks, 1, 1000000, "that a thread allocates", NULL },
	{ "smallest", BENCH_BYTES, &smallest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ "largest", BENCH_BYTES, &largest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ 0 },
};

struct place {
	pthread_t id;
	sem_t wake;
	void **slots;			/* NULL where no block is */
	uint64_t random;
};

static void *live(void *arg)
{
	struct place *p = (struct place *)arg;
	uint64_t i;

	for (i = 0; i < blocks; i++) {
		if (p->slots[i])
			bench_drop(p->slots[i], i);
		p->slots[i] = bench_block(bench_between(bench_random(&p->random), smallest, largest), i);
	}
	while (sem_wait(&p->wake))
		;
	for (i = 0; i < blocks; i += 2) {
		bench_drop(p->slots[i], i);
		p->slots[i] = NULL;
	}
	return NULL;
}

int main(int argc, char **argv)
{
	struct place *places;
	pthread_attr_t attr;
	uint64_t i, turn;
	double from;

	bench_threads = 1000;
	bench_start(argc, argv, "Starts and ends threads while many others are alive.", options);
	places = (struct place *)bench_map(bench_threads * sizeof *places);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 1 << 17);
	from = bench_now();
	for (turn = 0; turn < started + bench_threads; turn++) {
		struct place *p = &places[turn % bench_threads];

		if (turn < bench_threads) {
			sem_init(&p->wake, 0, 0);
			p->random = bench_seed_for((unsigned)turn);
			p->slots = (void **)bench_map(blocks * sizeof *p->slots);
		} else {
			sem_post(&p->wake);
			pthread_join(p->id, NULL);
		}
		if (turn < started && pthread_create(&p->id, &attr, live, p))
			bench_die("cannot start a thread");
	}
	for (turn = 0; turn < bench_threads; turn++)
		for (i = 1; i < blocks; i += 2)
			if (places[turn].slots[i])
				bench_drop(places[turn].slots[i], i);
	bench_report(started * blocks * 2, bench_now() - from, NULL);
	return 0;
}
