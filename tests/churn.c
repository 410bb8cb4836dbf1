/*
 * Memory must stay bounded when blocks are freed elsewhere than they were
 * allocated, and when threads come and go. The bounds are several times what
 * is live; a leak would pass them many times over.
 */
#include "heap.h"

#include <pthread.h>
#include <stdatomic.h>

static void start(pthread_t *id, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 * KB);
	if (pthread_create(id, &attr, run, arg))
		bail("cannot start a thread");
	pthread_attr_destroy(&attr);
}

static bool bounded(size_t before, size_t allowed, const char *name)
{
	size_t now = resident();
	bool good = ok(now < before + allowed, "%s", name);

	if (!good)
		diag("resident %zu KiB before, %zu KiB now, %zu KiB more allowed",
		     before / KB, now / KB, allowed / KB);
	return good;
}

/* A bounded queue without locks between one producer and one consumer. */
enum { QUEUE = 4096 };

struct queue {
	_Atomic(char *) slot[QUEUE];
	unsigned long count;
	size_t size;			/* 0: all sizes to 1000 */
	_Atomic bool broken;
};

static size_t item_size(const struct queue *q, unsigned long n)
{
	return q->size ? q->size : n * 37 % 1000 + 1;
}

static void *produce(void *arg)
{
	struct queue *q = (struct queue *)arg;
	unsigned long n;

	for (n = 0; n < q->count; n++) {
		size_t size = item_size(q, n);
		char *p = (char *)malloc(size);

		if (!p) {
			q->broken = true;
			return NULL;
		}
		memset(p, (int)n, size);
		while (atomic_load(&q->slot[n % QUEUE]))
			sched_yield();
		atomic_store(&q->slot[n % QUEUE], p);
	}
	return NULL;
}

static void *consume(void *arg)
{
	struct queue *q = (struct queue *)arg;
	unsigned long n;
	char *p;

	for (n = 0; n < q->count && !q->broken; n++) {
		while (!(p = atomic_exchange(&q->slot[n % QUEUE], NULL)) && !q->broken)
			sched_yield();
		if (p && (p[0] != (char)n || p[item_size(q, n) - 1] != (char)n))
			q->broken = true;
		free(p);
	}
	return NULL;
}

static void pipe_of(size_t size, unsigned long count, const char *name)
{
	static struct queue q;
	size_t before = resident();
	pthread_t from, to;

	memset(&q, 0, sizeof q);
	q.count = tap_rounds(count);
	q.size = size;
	start(&from, produce, &q);
	start(&to, consume, &q);
	pthread_join(from, NULL);
	pthread_join(to, NULL);
	ok(!q.broken, "%s: what arrives is what was sent", name);
	bounded(before, size > 100000 ? 600 * MB : 96 * MB, name);
}

/* Main only allocates, the other thread lives on and only frees: no exit flushes for it. */
static struct queue lasting;

static void *consume_forever(void *arg)
{
	int round;

	for (round = 0; round < 3; round++)
		consume(arg);
	return NULL;
}

static void lasting_consumer(void)
{
	size_t before = resident();
	pthread_t to;
	int round;

	lasting.count = tap_rounds(700000);
	start(&to, consume_forever, &lasting);
	for (round = 0; round < 3; round++)
		produce(&lasting);
	bounded(before, 96 * MB, "a thread that only frees, still alive, holds nothing back");
	pthread_join(to, NULL);
	ok(!lasting.broken, "it saw every block whole");
}

/* Each thread leaves a few survivors behind, which main frees after its death. */
enum { SURVIVORS = 10 };

static void *leave_some(void *arg)
{
	char **out = (char **)arg;
	char *p[50];
	size_t i;

	for (i = 0; i < 50; i++) {
		p[i] = (char *)malloc(16 + i * 40);
		memset(p[i], (int)i, 16 + i * 40);
	}
	for (i = 0; i < 50; i++) {
		if (i % 5 == 0)
			out[i / 5] = p[i];
		else
			free(p[i]);
	}
	return NULL;
}

static void survivors(void)
{
	enum { AT_ONCE = 16, DELAY = 64 };
	static char *left[DELAY][AT_ONCE][SURVIVORS];
	unsigned long round, rounds = DELAY + tap_rounds(1000 - DELAY);
	size_t before = 0, k, i;
	bool good = true;

	for (round = 0; round < rounds; round++) {
		char *(*batch)[SURVIVORS] = left[round % DELAY];
		pthread_t id[AT_ONCE];

		if (round == DELAY)
			before = resident();
		for (k = 0; k < AT_ONCE; k++)
			for (i = 0; i < SURVIVORS; i++) {
				char *p = batch[k][i];

				if (p && (p[0] != (char)(i * 5) || p[15 + i * 200] != (char)(i * 5)))
					good = false;
				free(p);
			}
		for (k = 0; k < AT_ONCE; k++)
			start(&id[k], leave_some, batch[k]);
		for (k = 0; k < AT_ONCE; k++)
			pthread_join(id[k], NULL);
	}
	for (k = 0; k < DELAY * AT_ONCE * SURVIVORS; k++)
		free(((char **)left)[k]);
	ok(good, "blocks that outlive their thread stay whole");
	bounded(before, 64 * MB, "16,000 threads that leave survivors do not add up");
}

static void *touch_heap(void *arg)
{
	void *p = malloc(100), *q = malloc(2000), *r = malloc(24);

	memset(hide(p), 1, 100);
	free(r);
	free(q);
	*(void **)arg = p;
	return NULL;
}

/* A cache or a page lost per thread would show as hundreds of megabytes. */
static void short_threads(void)
{
	unsigned long n, threads = tap_rounds(100000);
	size_t rss = 0, space = 0;
	void *last = NULL;

	for (n = 0; n < threads; n++) {
		pthread_t id;

		if (n == threads / 50) {
			rss = resident();
			space = address_space();
		}
		free(last);
		start(&id, touch_heap, &last);
		pthread_join(id, NULL);
	}
	free(last);
	diag("%lu threads one after another", threads);
	bounded(rss, 16 * MB, "short threads leave no memory behind");
	ok(address_space() < space + 64 * MB, "nor address space");
}

/* Blocks of a dead thread's slabs are used again by those who live. */
static void *fill_up(void *arg)
{
	void **p = (void **)arg;
	size_t i;

	for (i = 0; i < 100000; i++)
		p[i] = malloc(200);
	return NULL;
}

static void adoption(void)
{
	static void *p[100000], *kept[2000];
	size_t before = 0, i;
	int round;

	for (round = 0; round < 20; round++) {
		pthread_t id;

		start(&id, fill_up, p);
		pthread_join(id, NULL);
		for (i = 0; i < 100000; i++)
			memset(p[i], round, 200);
		if (round == 1)
			before = resident();
		/* One in fifty stays for a round, so that no slab is empty. */
		for (i = 0; i < 100000; i++) {
			if (i % 50) {
				free(p[i]);
			} else {
				free(kept[i / 50]);
				kept[i / 50] = p[i];
			}
		}
	}
	for (i = 0; i < 2000; i++)
		free(kept[i]);
	bounded(before, 40 * MB, "slabs of dead threads are used again");
}

/* What a dead thread left and others freed is there for blocks of any size. */
enum { LEFT = 1500000 };

static void *leave_all(void *arg)
{
	void **p = (void **)arg;
	size_t i;

	for (i = 0; i < LEFT; i++)
		p[i] = memset(malloc(64), 1, 64);
	return NULL;
}

static void other_sizes(void)
{
	static void *p[LEFT];
	size_t before, i;
	pthread_t id;

	start(&id, leave_all, p);
	pthread_join(id, NULL);
	before = resident();
	for (i = 0; i < LEFT; i++)
		free(p[i]);
	for (i = 0; i < LEFT / 2; i++)
		p[i] = memset(hide(malloc(128)), 1, 128);
	bounded(before, 32 * MB, "what a dead thread left serves other sizes once it is freed");
	for (i = 0; i < LEFT / 2; i++)
		free(p[i]);
}

/* Live blocks that hold a copy of what a freed one held are freed all the same. */
static void *free_one(void *p)
{
	free(p);
	return NULL;
}

static void copied_marks(bool in_thread, const char *name)
{
	enum { N = 20000 };
	static char *p[N];
	unsigned long round, rounds = tap_rounds(100);
	char *victim = (char *)hide(malloc(90)), mark[8];
	size_t before = resident(), i;
	pthread_t id;

	if (in_thread) {
		start(&id, free_one, victim);
		pthread_join(id, NULL);
	} else {
		free(victim);
	}
	memcpy(mark, (char *)hide(victim) + 8, sizeof mark);
	for (round = 0; round < rounds; round++) {
		for (i = 0; i < N; i++) {
			p[i] = (char *)hide(malloc(90));
			memcpy(p[i] + 8, mark, sizeof mark);
		}
		for (i = 0; i < N; i++)
			free(p[i]);
	}
	bounded(before, 32 * MB, name);
}

int main(void)
{
	tap_start();
	pipe_of(0, 2000000, "producer and consumer, small sizes");
	pipe_of(64, 2000000, "producer and consumer, 64 bytes");
	pipe_of(5000, 400000, "producer and consumer, 5000 bytes");
	pipe_of(50000, 60000, "producer and consumer, 50000 bytes");
	lasting_consumer();
	survivors();
	short_threads();
	adoption();
	other_sizes();
	copied_marks(false, "copies of what the thread's own free leaves");
	copied_marks(true, "copies of what another thread's free leaves");
	return tap_end();
}
