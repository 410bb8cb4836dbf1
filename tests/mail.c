/*
 * Blocks that wait in the mailboxes of threads that make no calls are used before new memory.
 * The threads take turns: one allocates, another one frees all of that, and the next thread
 * allocates as much. The heap must not become as large as if each thread had its own part.
 *
 * The library is linked in, so that the size of the heap can be read from inside.
 */
#include "heap.h"

#include <semaphore.h>

#include "pool/pool.h"

enum { THREADS = 6, TURNS = 60, SIZE = 512, BLOCKS = 16384 };

static struct maker {
	sem_t go, done;
} maker[THREADS];
static void *block[BLOCKS];

static void *make(void *arg)
{
	struct maker *m = (struct maker *)arg;
	unsigned i;

	get_own_cache();
	for (;;) {
		while (sem_wait(&m->go))
			;
		for (i = 0; i < BLOCKS; i++)
			if (!(block[i] = hide(malloc(SIZE))))
				bail("no memory");
		sem_post(&m->done);
	}
	return NULL;
}

static void start(struct maker *m)
{
	pthread_t id;

	sem_init(&m->go, 0, 0);
	sem_init(&m->done, 0, 0);
	if (pthread_create(&id, NULL, make, m))
		bail("cannot start a thread");
}

static void take_turn(struct maker *m)
{
	unsigned i;

	sem_post(&m->go);
	while (sem_wait(&m->done))
		;
	for (i = 0; i < BLOCKS; i++)
		free(block[i]);
}

int main(void)
{
	size_t once = BLOCKS * (size_t)SIZE / HK_SLOT_SIZE, slots;
	unsigned i;

	tap_start();
	for (i = 0; i < THREADS; i++)
		start(&maker[i]);
	for (i = 0; i < TURNS; i++)
		take_turn(&maker[i % THREADS]);
	slots = hk_pool_touched();
	ok(slots < 2 * once, "memory that waits in mailboxes is used again: %zu slots of %zu", slots, once);
	return tap_end();
}
