/*
 * Many threads, blocks that wander between them, every byte checked by
 * whoever frees a block. Blocks carry their own size and key.
 */
#include "heap.h"

#include <pthread.h>
#include <stdatomic.h>

struct body {
	uint32_t size, key;
	unsigned char data[];
};

enum { THREADS = 8, OWN = 400, SHARED = 1024 };

static _Atomic(struct body *) shared[SHARED];
static _Atomic unsigned long faults;
static uint64_t seed;

static struct body *body_new(uint64_t *random, size_t most)
{
	size_t size = random_size(random, most) + sizeof(struct body);
	struct body *b;

	switch (random_below(random, 16)) {
	case 0:
		b = (struct body *)calloc(1, size);
		if (b && !all_zero(b, size))
			faults++;
		break;
	case 1:
		b = (struct body *)memalign((size_t)16 << random_below(random, 9), size);
		break;
	default:
		b = (struct body *)malloc(size);
	}
	if (!b || malloc_usable_size(b) < size) {
		faults++;
		return NULL;
	}
	b->size = (uint32_t)(size - sizeof *b);
	b->key = (uint32_t)random_next(random);
	fill(b->data, b->size, b->key);
	return b;
}

static void body_check(const struct body *b)
{
	if (!filled(b->data, b->size, b->key))
		faults++;
}

static void body_drop(struct body *b)
{
	if (!b)
		return;
	body_check(b);
	free(b);
}

static struct body *body_resize(struct body *b, uint64_t *random, size_t most)
{
	size_t size = random_size(random, most), kept = b->size < size ? b->size : size;
	struct body *moved;

	body_check(b);
	moved = (struct body *)realloc(b, size + sizeof *b);
	if (!moved || !filled(moved->data, kept, moved->key)) {
		faults++;
		return moved;
	}
	moved->size = (uint32_t)size;
	fill(moved->data, size, moved->key);
	return moved;
}

struct work {
	unsigned number;
	unsigned long calls;
	size_t most;
	unsigned cross;		/* of 100 calls, how many meet other threads */
};

static void *wander(void *arg)
{
	struct work *w = (struct work *)arg;
	uint64_t random = seed + w->number * 0x1234567u;
	struct body *own[OWN] = { NULL };
	unsigned long n;
	size_t i;

	for (n = 0; n < w->calls; n++) {
		i = random_below(&random, OWN);
		if (random_below(&random, 100) < w->cross) {
			struct body *b = own[i];

			own[i] = atomic_exchange(&shared[random_below(&random, SHARED)], b);
			if (random_next(&random) % 2) {
				body_drop(own[i]);
				own[i] = NULL;
			}
		} else if (!own[i]) {
			own[i] = body_new(&random, w->most);
		} else if (random_next(&random) % 4) {
			body_drop(own[i]);
			own[i] = NULL;
		} else {
			own[i] = body_resize(own[i], &random, w->most);
		}
	}
	for (i = 0; i < OWN; i++)
		body_drop(own[i]);
	return NULL;
}

static void storm(const char *name, unsigned threads, unsigned long calls, size_t most, unsigned cross)
{
	pthread_t id[THREADS];
	struct work w[THREADS];
	unsigned i;

	faults = 0;
	for (i = 0; i < threads; i++) {
		w[i] = (struct work){ i, calls, most, cross };
		if (pthread_create(&id[i], NULL, wander, &w[i]))
			bail("cannot start a thread");
	}
	for (i = 0; i < threads; i++)
		pthread_join(id[i], NULL);
	for (i = 0; i < SHARED; i++)
		body_drop(atomic_exchange(&shared[i], NULL));
	if (!ok(faults == 0, "%s", name))
		diag("%lu faults", (unsigned long)faults);
}

/*
 * Successions: a thread hands all it has to its successor, which goes on with
 * it, so that blocks outlive many owners.
 */
struct estate {
	uint64_t random;
	struct body *item[OWN];
};

static void *inherit(void *arg)
{
	struct estate *e = (struct estate *)arg;
	int n;

	for (n = 0; n < 1000; n++) {
		size_t i = random_below(&e->random, OWN);

		body_drop(e->item[i]);
		e->item[i] = body_new(&e->random, 1000);
	}
	return NULL;
}

static void successions(void)
{
	enum { LINES = 4 };
	static struct estate estate[LINES];
	unsigned long round, rounds = tap_rounds(300);
	size_t i, k;

	faults = 0;
	for (i = 0; i < LINES; i++)
		estate[i].random = seed + i;
	for (round = 0; round < rounds; round++) {
		pthread_t id[LINES];

		for (i = 0; i < LINES; i++)
			if (pthread_create(&id[i], NULL, inherit, &estate[i]))
				bail("cannot start a thread");
		for (i = 0; i < LINES; i++)
			pthread_join(id[i], NULL);
	}
	for (i = 0; i < LINES; i++)
		for (k = 0; k < OWN; k++)
			body_drop(estate[i].item[k]);
	ok(faults == 0, "blocks handed on through %lu generations of threads", rounds);
}

/* Two threads must never be given the same block: each writes its name all over. */
static _Atomic bool go;

static void *same_time(void *arg)
{
	enum { N = 3000 };
	static _Thread_local unsigned char *p[N];
	unsigned char name = (unsigned char)(uintptr_t)arg;
	int round, i;
	size_t k;

	while (!go)
		;
	for (round = 0; round < 40; round++) {
		for (i = 0; i < N; i++) {
			p[i] = (unsigned char *)hide(malloc(24 + (size_t)(i % 4) * 30));
			memset(p[i], name, 24);
		}
		for (i = 0; i < N; i++) {
			for (k = 0; k < 24; k++)
				if (p[i][k] != name)
					faults++;
			free(p[i]);
		}
	}
	return NULL;
}

static void no_sharing(void)
{
	pthread_t id[THREADS];
	uintptr_t i;

	faults = 0;
	for (i = 0; i < THREADS; i++)
		if (pthread_create(&id[i], NULL, same_time, (void *)(i + 1)))
			bail("cannot start a thread");
	go = true;
	for (i = 0; i < THREADS; i++)
		pthread_join(id[i], NULL);
	ok(faults == 0, "threads that start at once are never given the same block");
}

/*
 * While a Huge block moves, its old address is anybody's: what another thread
 * gets there must be as good as any block.
 */
static void *move_huge(void *rounds)
{
	uintptr_t n = (uintptr_t)rounds;

	while (n--) {
		size_t size = 40 * MB;
		void *p = malloc(size), *behind = malloc(size);
		int i;

		for (i = 0; i < 6 && p; i++) {
			size += size / 2;
			p = hide(realloc(p, size));
		}
		faults += !p || !behind;
		free(p);
		free(behind);
	}
	return NULL;
}

static void *map_huge(void *rounds)
{
	uintptr_t n = (uintptr_t)rounds;
	void *p[6];
	int i;

	while (n--) {
		for (i = 0; i < 6; i++)
			p[i] = hide(malloc(33 * MB));
		for (i = 0; i < 6; i++)
			free(p[i]);
	}
	return NULL;
}

/* Page runs of many lengths: the pool's lists of SuperSlabs are always stale. */
static void *page_runs(void *rounds)
{
	uint64_t random = seed + (uintptr_t)&random;
	uintptr_t n = (uintptr_t)rounds;
	void *p[40] = { NULL };
	size_t i;

	while (n--) {
		i = random_below(&random, 40);
		free(p[i]);
		p[i] = hide(malloc(33000 + random_below(&random, 900000)));
		faults += !p[i];
	}
	for (i = 0; i < 40; i++)
		free(p[i]);
	return NULL;
}

static void together(void *(*one)(void *), void *(*other)(void *), unsigned long one_rounds,
		     unsigned long other_rounds, const char *name)
{
	pthread_t id[4];
	int i;

	faults = 0;
	for (i = 0; i < 4; i++)
		if (pthread_create(&id[i], NULL, i % 2 ? other : one,
				   (void *)tap_rounds(i % 2 ? other_rounds : one_rounds)))
			bail("cannot start a thread");
	for (i = 0; i < 4; i++)
		pthread_join(id[i], NULL);
	ok(faults == 0, "%s", name);
}

int main(void)
{
	unsigned long huge = mapping_rounds(6000);

	tap_start();
	seed = tap_seed();
	no_sharing();
	storm("8 threads, tiny blocks, one in ten crosses", 8, tap_rounds(1500000), 256, 10);
	storm("8 threads, tiny blocks, most of them cross", 8, tap_rounds(1500000), 1024, 70);
	storm("2 threads, sizes to 30000", 2, tap_rounds(800000), 30000, 30);
	storm("8 threads, sizes to 300000", 8, tap_rounds(80000), 300000, 30);
	storm("4 threads, all kinds to 6 MiB", 4, tap_rounds(5000), 6 << 20, 30);
	storm("8 threads, tiny again", 8, tap_rounds(1000000), 2000, 30);
	successions();
	together(move_huge, map_huge, huge, 2 * huge, "Huge blocks move while other threads map");
	together(page_runs, page_runs, 500000, 500000, "page runs of many lengths");
	return tap_end();
}
