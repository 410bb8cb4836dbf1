/*
 * Threads that wait. One after another, each serves one request: it allocates
 * blocks of mixed sizes, frees all of them, and sleeps. All are alive and asleep
 * in the wait of --quiet milliseconds, after which the resident memory is read.
 */
#include "common.h"

#include <semaphore.h>

static uint64_t request = 6 << 20, smallest = 16, largest = 32768;

static const struct bench_option options[] = {
	{ "request", BENCH_BYTES, &request, 4096, UINT32_MAX, "bytes that a thread allocates", NULL },
	{ "smallest", BENCH_BYTES, &smallest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ "largest", BENCH_BYTES, &largest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ 0 },
};

static unsigned least_bits, most_bits;
static uint64_t served_kb;
static sem_t served, wake;

static void serve(struct bench_worker *w)
{
	uint64_t left = request, count = 0, i;

	w->slots = (void **)bench_map(request / smallest * sizeof *w->slots);
	while (left >= smallest) {
		size_t size = bench_log_between(bench_random(&w->random), least_bits, most_bits);

		size = size < left ? size : left;
		w->slots[count] = bench_block_paged(size, count);
		left -= size;
		count++;
	}
	for (i = 0; i < count; i++)
		bench_drop(w->slots[i], i);
	w->ops = 2 * count;
}

static void *live(void *arg)
{
	serve((struct bench_worker *)arg);
	sem_post(&served);
	while (sem_wait(&wake))
		;
	return NULL;
}

int main(int argc, char **argv)
{
	struct bench_worker *workers;
	double seconds;
	uint64_t i;

	bench_threads = 200;
	bench_quiet_ms = 2000;
	bench_start(argc, argv, "Leaves threads idle that served one request each.", options);
	bench_bits(smallest, largest, &least_bits, &most_bits);
	workers = bench_workers();
	sem_init(&served, 0, 0);
	sem_init(&wake, 0, 0);
	seconds = bench_now();
	for (i = 0; i < bench_threads; i++) {
		if (pthread_create(&workers[i].id, NULL, live, &workers[i]))
			bench_die("cannot start thread %llu", (unsigned long long)i);
		while (sem_wait(&served))
			;
	}
	seconds = bench_now() - seconds;
	served_kb = bench_resident_kb();
	bench_quiet();
	for (i = 0; i < bench_threads; i++)
		sem_post(&wake);
	for (i = 0; i < bench_threads; i++)
		pthread_join(workers[i].id, NULL);
	bench_report(bench_ops(workers), seconds, (struct bench_extra[]){
		{ "served_rss_kb", &served_kb },
		{ 0 },
	});
	return 0;
}
