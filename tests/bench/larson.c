/*
 * A server after Larson and Krishnan, "Memory allocation for long-running
 * server applications" (ISMM 1998). Each thread owns a set of blocks and
 * replaces random ones; after some rounds it starts a successor, leaves its
 * blocks to it and exits. So most blocks are freed by a thread that did not
 * allocate them, often after their allocating thread has gone.
 */
#include "common.h"

#include <semaphore.h>
#include <stdatomic.h>
#include <time.h>

static uint64_t operations = 20000000, seconds;
static uint64_t smallest = 8, largest = 1000, blocks = 5000, rounds = 100;

static const struct bench_option options[] = {
	{ "operations", BENCH_COUNT, &operations, 0, UINT64_MAX, "calls by each line of threads", NULL },
	{ "seconds", BENCH_COUNT, &seconds, 0, 1000000, "run so long instead, unless 0", NULL },
	{ "smallest", BENCH_BYTES, &smallest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ "largest", BENCH_BYTES, &largest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ "blocks", BENCH_COUNT, &blocks, 1, UINT32_MAX, "live blocks of each thread", NULL },
	{ "rounds", BENCH_COUNT, &rounds, 1, UINT32_MAX, "times blocks that a thread replaces before it hands over", NULL },
	{ 0 },
};

/* One line of threads, of which one is alive. Apart, against false sharing. */
struct line {
	void **slots;
	uint64_t random, ops, most, lives;
} __attribute__((aligned(256)));

static struct line *lines;
static atomic_bool stop;
static sem_t ended;

static size_t pick(uint64_t random)
{
	return bench_between(random, smallest, largest);
}

static void *live(void *arg);

static void start(struct line *l)
{
	pthread_attr_t attr;
	pthread_t id;

	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	if (pthread_create(&id, &attr, live, l))
		bench_die("cannot start a thread");
	pthread_attr_destroy(&attr);
}

static void one_round(struct line *l)
{
	uint64_t random = l->random, left = blocks;
	void **slots = l->slots;

	while (left--) {
		uint64_t r = bench_random(&random), at = bench_scale(r >> 32, blocks);

		bench_drop(slots[at], at);
		slots[at] = bench_block(pick(r), at);
	}
	l->random = random;
	l->ops += 2 * blocks;
}

static void *live(void *arg)
{
	struct line *l = (struct line *)arg;
	uint64_t i;

	l->lives++;
	for (i = 0; i < rounds; i++) {
		if (l->ops >= l->most || atomic_load_explicit(&stop, memory_order_relaxed)) {
			sem_post(&ended);
			return NULL;
		}
		one_round(l);
	}
	start(l);
	return NULL;
}

/* The first blocks come from the main thread, as in the original. */
static void fill(struct line *l, unsigned number)
{
	uint64_t i;

	l->random = bench_seed_for(number);
	l->most = seconds ? UINT64_MAX : operations;
	l->slots = (void **)bench_map(blocks * sizeof *l->slots);
	for (i = 0; i < blocks; i++)
		l->slots[i] = bench_block(pick(bench_random(&l->random)), i);
}

int main(int argc, char **argv)
{
	uint64_t ops = 0, started = 0, i;
	double from, to;

	bench_start(argc, argv, "Threads that replace blocks and hand them over to successors.",
		    options);
	if (largest < smallest)
		largest = smallest;
	sem_init(&ended, 0, 0);
	lines = (struct line *)bench_map(bench_threads * sizeof *lines);
	for (i = 0; i < bench_threads; i++)
		fill(&lines[i], (unsigned)i);

	from = bench_now();
	for (i = 0; i < bench_threads; i++)
		start(&lines[i]);
	if (seconds) {
		struct timespec wait = { (time_t)seconds, 0 };

		nanosleep(&wait, NULL);
		atomic_store(&stop, true);
	}
	for (i = 0; i < bench_threads; i++)
		while (sem_wait(&ended))
			;
	to = bench_now();

	for (i = 0; i < bench_threads; i++) {
		ops += lines[i].ops;
		started += lines[i].lives;
	}
	bench_report(ops, to - from, (struct bench_extra[]){ { "threads_started", &started }, { 0 } });
	return 0;
}
