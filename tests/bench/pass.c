/*
 * Producers allocate blocks and pass them in parcels through one bounded queue
 * to consumers, which read and free them. Either side can be made slower by
 * work on each block: the queue is then always full or always empty.
 */
#include "common.h"

static uint64_t operations = 20000000, producers = 1, consumers = 1, queue = 1000;
static uint64_t parcel = 50;
static uint64_t produce_work, consume_work, smallest = 16, largest = 512;

static const struct bench_option options[] = {
	{ "operations", BENCH_COUNT, &operations, 0, UINT64_MAX, "calls in all", NULL },
	{ "producers", BENCH_COUNT, &producers, 1, 4096, "for each of --threads", NULL },
	{ "consumers", BENCH_COUNT, &consumers, 1, 4096, "for each of --threads", NULL },
	{ "parcel", BENCH_COUNT, &parcel, 1, 1000000, "blocks in a parcel", NULL },
	{ "queue", BENCH_COUNT, &queue, 1, 1000000, "parcels that the queue holds", NULL },
	{ "produce-work", BENCH_COUNT, &produce_work, 0, 1000000, "random numbers for each block", NULL },
	{ "consume-work", BENCH_COUNT, &consume_work, 0, 1000000, "random numbers for each block", NULL },
	{ "smallest", BENCH_BYTES, &smallest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ "largest", BENCH_BYTES, &largest, BENCH_LEAST, UINT32_MAX, "size of a block", NULL },
	{ 0 },
};

/* first and last count parcels taken and put; at most queue apart. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t put_one = PTHREAD_COND_INITIALIZER, took_one = PTHREAD_COND_INITIALIZER;
static void ***ring;
static uint64_t first, last, all;

static void spin(struct bench_worker *w, uint64_t times)
{
	while (times--)
		bench_random(&w->random);
	__asm__ volatile("" :: "r"(w->random));
}

static void put(void **p)
{
	pthread_mutex_lock(&lock);
	while (last - first == queue)
		pthread_cond_wait(&took_one, &lock);
	ring[last++ % queue] = p;
	pthread_cond_signal(&put_one);
	pthread_mutex_unlock(&lock);
}

/* NULL when all have been taken. */
static void **take(void)
{
	void **p = NULL;

	pthread_mutex_lock(&lock);
	while (first == last && first < all)
		pthread_cond_wait(&put_one, &lock);
	if (first < all)
		p = ring[first++ % queue];
	if (first == all)
		pthread_cond_broadcast(&put_one);
	pthread_cond_signal(&took_one);
	pthread_mutex_unlock(&lock);
	return p;
}

static void produce(struct bench_worker *w, uint64_t parcels)
{
	uint64_t i;

	while (parcels--) {
		void **p = (void **)bench_block(parcel * sizeof *p, 0);

		for (i = 0; i < parcel; i++) {
			spin(w, produce_work);
			p[i] = bench_block(bench_between(bench_random(&w->random),
								 smallest, largest), i);
		}
		w->ops += 1 + parcel;
		put(p);
	}
}

static void consume(struct bench_worker *w)
{
	void **p;
	uint64_t i;

	while ((p = take())) {
		for (i = 0; i < parcel; i++) {
			spin(w, consume_work);
			bench_drop(p[i], i);
		}
		free(p);
		w->ops += 1 + parcel;
	}
}

static void work(struct bench_worker *w)
{
	uint64_t sides = producers + consumers, makers = bench_threads / sides * producers;

	if (w->number >= makers)
		consume(w);
	else
		produce(w, all / makers + (w->number < all % makers));
}

int main(int argc, char **argv)
{
	bench_start(argc, argv, "Passes blocks from threads that allocate to threads that free.",
		    options);
	if (largest < smallest)
		largest = smallest;
	all = operations / (2 * (parcel + 1));
	ring = (void ***)bench_map(queue * sizeof *ring);
	bench_threads *= producers + consumers;
	bench_all(NULL, work, NULL);
	return 0;
}
