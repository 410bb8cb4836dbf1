/*
 * malloc and free when a thread is half gone: from destructors of
 * pthread_setspecific keys in every round, made before and after the
 * library's own.
 */
#include "heap.h"

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

enum { KEYS = 6, ROUNDS = PTHREAD_DESTRUCTOR_ITERATIONS };

static pthread_key_t key[KEYS];
static bool early_key;
static _Atomic unsigned long rounds_seen[ROUNDS + 1], faults;
static _Atomic(void *) inheritance[64];

struct item {
	int key, round;
	size_t size;
	unsigned char data[];
};

static struct item *item_new(int k, int round)
{
	size_t size = (size_t)(round * 700 + k * 90 + 20);
	struct item *item = (struct item *)hide(malloc(sizeof *item + size));

	if (!item)
		return NULL;
	item->key = k;
	item->round = round;
	item->size = size;
	fill(item->data, size, size);
	return item;
}

/* Frees what the round before allocated, allocates, and asks for another round. */
static void destroy(void *value)
{
	struct item *item = (struct item *)value;
	int k = item->key, round = item->round;
	void *p[40];
	size_t i;

	if (!filled(item->data, item->size, item->size))
		faults++;
	free(item);
	for (i = 0; i < 40; i++) {
		p[i] = hide(malloc(i * 150 + 1));
		if (!p[i])
			faults++;
		else
			memset(p[i], 0x11, i * 150 + 1);
	}
	for (i = 0; i < 40; i++)
		free(p[i]);
	/* Blocks of other threads, freed when this one has no cache any more. */
	free(atomic_exchange(&inheritance[(size_t)(round * KEYS + k) % 64], hide(malloc(333))));
	p[0] = hide(realloc(hide(calloc(10, 10)), 40000));
	free(p[0]);
	rounds_seen[round]++;
	if (round + 1 < ROUNDS) {
		item = item_new(k, round + 1);
		if (!item || pthread_setspecific(key[k], item))
			faults++;
	}
}

/* Before the library's own key, if it makes one at all. */
__attribute__((constructor(101))) static void make_early_key(void)
{
	early_key = pthread_key_create(&key[0], destroy) == 0;
}

static void *live_and_die(void *use_heap)
{
	int k;

	if (use_heap)
		free(hide(malloc(100)));
	for (k = 0; k < KEYS; k++)
		pthread_setspecific(key[k], item_new(k, 0));
	return NULL;
}

/* The only use of the heap is in the destructor, after everything else. */
static pthread_key_t late_key;
static _Atomic unsigned long late_seen;

static void first_use(void *value)
{
	void *p = hide(malloc(64));

	(void)value;
	if (!p)
		faults++;
	free(p);
	late_seen++;
}

static void *no_heap(void *unused)
{
	pthread_setspecific(late_key, &late_key);
	return unused;
}

static void many(void *(*run)(void *), void *arg, unsigned long threads)
{
	enum { AT_ONCE = 8 };
	pthread_t id[AT_ONCE];
	unsigned long n;
	int i;

	for (n = 0; n < threads; n += AT_ONCE) {
		for (i = 0; i < AT_ONCE; i++)
			if (pthread_create(&id[i], NULL, run, arg))
				bail("cannot start a thread");
		for (i = 0; i < AT_ONCE; i++)
			pthread_join(id[i], NULL);
	}
}

int main(void)
{
	unsigned long threads = tap_rounds(4000) / 8 * 8;
	size_t before;
	bool good = true;
	int k;

	tap_start();
	ok(early_key, "a key made in a constructor of priority 101");
	for (k = 1; k < KEYS; k++)
		if (pthread_key_create(&key[k], destroy))
			bail("cannot make a key");
	many(live_and_die, key, threads);
	before = resident();
	many(live_and_die, key, threads);
	many(live_and_die, NULL, threads);
	for (k = 0; k < ROUNDS; k++)
		good &= rounds_seen[k] == 3 * threads * KEYS;
	ok(good, "every key's destructor ran in each of %d rounds", ROUNDS);
	ok(faults == 0, "the heap served them, and blocks kept their contents");
	ok(resident() < before + 24 * MB, "threads that allocate in destructors leave nothing behind");

	faults = 0;
	if (pthread_key_create(&late_key, first_use))
		bail("cannot make a key");
	many(no_heap, NULL, threads);
	ok(late_seen == threads && faults == 0, "threads whose first malloc is in a destructor");
	before = resident();
	many(no_heap, NULL, threads);
	ok(resident() < before + 24 * MB, "and they leave nothing behind either");
	return tap_end();
}
