/*
 * Memory is released to the system: by malloc_trim at once, otherwise after a while. The number
 * of system calls depends on the memory that is released, not on the size of the heap.
 */
#include "calls.h"
#include "heap.h"

#include <hakmem/hakmem.h>
#include <pthread.h>

enum { MOST = 2 << 20 };
static char *block[MOST];

static size_t fill_heap(size_t size, size_t total)
{
	size_t n = total / size, i;

	for (i = 0; i < n; i++) {
		block[i] = (char *)malloc(size);
		memset(block[i], 1, size);
	}
	return n;
}

static void shuffle(size_t n)
{
	uint64_t state = 1;
	size_t i;

	for (i = n; i > 1; i--) {
		size_t j = random_below(&state, i);
		char *p = block[j];

		block[j] = block[i - 1];
		block[i - 1] = p;
	}
}

static void free_in_order(size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		free(block[i]);
}

static void free_heap(size_t n)
{
	shuffle(n);
	free_in_order(n);
}

/* At once, unless the scavenger is releasing a part of it. */
static void trimmed(size_t start, const char *what)
{
	int tries = learning_profile() ? 100 : 1;

	malloc_trim(0);
	while (--tries > 0 && resident() > start + 4 * MB) {
		usleep(10000);
		malloc_trim(0);
	}
	if (resident() > start + 4 * MB)
		fail("%s: %zu KiB stay", what, (resident() - start) / KB);
}

/* Touches the array too, so that it does not count. */
static size_t resident_at_start(void)
{
	free(malloc(100));
	memset(block, 0, sizeof block);
	return resident();
}

static void by_trim(void *arg)
{
	size_t size = *(size_t *)arg, start = resident_at_start();

	free_heap(fill_heap(size, 200 * MB));
	trimmed(start, "the first time");
	free_heap(fill_heap(size, 200 * MB));
	trimmed(start, "the second time");
}

/* It may take long, up to a bound. */
static void by_waiting(void *arg)
{
	size_t size = *(size_t *)arg, start = resident_at_start();
	int wait;

	free_heap(fill_heap(size, 200 * MB));
	for (wait = 0; wait < 2000 && resident() > start + 8 * MB; wait++) {
		usleep(10000);
		small_activity();
	}
	if (resident() > start + 8 * MB)
		fail("%zu KiB stay", (resident() - start) / KB);
}

/* Calls that it takes to release this much beside `live` bytes. */
static size_t calls_to_release(size_t live)
{
	size_t n = fill_heap(100, live), i, before;
	char **more = block + n;

	for (i = 0; i < 64 * MB / 5000; i++)
		memset(more[i] = (char *)malloc(5000), 1, 5000);
	malloc_trim(0);
	before = releases_and_advice();
	for (i = 0; i < 64 * MB / 5000; i++)
		free(more[i]);
	malloc_trim(0);
	return releases_and_advice() - before;
}

static void calls(void *arg)
{
	size_t few, many, before;

	(void)arg;
	calls_start();
	few = calls_to_release(1 * MB);
	many = calls_to_release(150 * MB);
	if (few < 2 || few > 200)
		fail("%zu calls release 64 MiB", few);
	if (many > few + few / 2 + 8)
		fail("%zu calls with a small heap, %zu with a large one", few, many);
	before = releases_and_advice();
	malloc_trim(0);
	if (releases_and_advice() - before > 4)
		fail("%zu calls when there is nothing to release", releases_and_advice() - before);
}

/* A program of Large blocks only never comes to a tick: 64 MiB may wait. */
static void large_only(void *arg)
{
	size_t start = resident_at_start(), n = fill_heap(4 * MB, 400 * MB);

	(void)arg;
	free_in_order(n);
	if (resident() > start + 80 * MB)
		fail("%zu KiB stay", (resident() - start) / KB);
}

/* Another thread frees all of it, lives on and does nothing more. */
static pthread_barrier_t gate;

static void *free_all(void *arg)
{
	free_in_order(*(size_t *)arg);
	pthread_barrier_wait(&gate);
	pthread_barrier_wait(&gate);
	return NULL;
}

static void freed_elsewhere(void *arg)
{
	size_t n, start;
	pthread_t id;

	(void)arg;
	start = resident_at_start();
	pthread_barrier_init(&gate, NULL, 2);
	n = fill_heap(500, 200 * MB);
	shuffle(n);
	if (pthread_create(&id, NULL, free_all, &n))
		fail("cannot start a thread");
	pthread_barrier_wait(&gate);
	trimmed(start, "freed by another thread");
	pthread_barrier_wait(&gate);
	pthread_join(id, NULL);
}

/* The owner allocated it all and sleeps; others free and trim. */
static void *fill_and_sleep(void *arg)
{
	*(size_t *)arg = fill_heap(500, 200 * MB);
	pthread_barrier_wait(&gate);
	pthread_barrier_wait(&gate);
	return NULL;
}

static void owner_sleeps(void *arg)
{
	size_t n = 0, start;
	pthread_t id;

	(void)arg;
	start = resident_at_start();
	pthread_barrier_init(&gate, NULL, 2);
	if (pthread_create(&id, NULL, fill_and_sleep, &n))
		fail("cannot start a thread");
	pthread_barrier_wait(&gate);
	free_heap(n);
	trimmed(start, "the owner sleeps");
	pthread_barrier_wait(&gate);
	pthread_join(id, NULL);
}

/* Allocates in a destructor that runs after the thread's cache is gone. */
static pthread_key_t late_key;

static void late(void *arg)
{
	static _Thread_local int again;

	if (again++ < 2)
		pthread_setspecific(late_key, arg);
	else
		fill_heap(500, 200 * MB);
}

static void *die(void *arg)
{
	free(malloc(100));
	pthread_setspecific(late_key, arg);
	return NULL;
}

static void after_death(void *arg)
{
	size_t start;
	pthread_t id;

	(void)arg;
	start = resident_at_start();
	pthread_key_create(&late_key, late);
	if (pthread_create(&id, NULL, die, block))
		fail("cannot start a thread");
	pthread_join(id, NULL);
	free_heap(200 * MB / 500);
	trimmed(start, "allocated after teardown");
}

/* Threads come and go, exchange blocks and check them, while one trims. */
static _Atomic(char *) exchanged[256];
static _Atomic bool working;

static void *trim_always(void *arg)
{
	while (atomic_load(&working))
		malloc_trim(0);
	return arg;
}

static void *exchange(void *arg)
{
	uint64_t state = *(uint64_t *)arg;
	unsigned long i, rounds = tap_rounds(20000);
	size_t size, got;

	for (i = 0; i < rounds; i++) {
		char *p = (char *)malloc(size = 16 + random_size(&state, 40000)), *q;

		memcpy(p, &size, sizeof size);
		fill(p + sizeof size, size - sizeof size, size);
		q = atomic_exchange(&exchanged[random_below(&state, 256)], p);
		if (!q)
			continue;
		memcpy(&got, q, sizeof got);
		if (!filled(q + sizeof got, got - sizeof got, got))
			fail("a block of %zu bytes is damaged", got);
		free(q);
	}
	return NULL;
}

static void trim_meanwhile(void *arg)
{
	enum { THREADS = 3, ROUNDS = 10 };
	pthread_t trimmer, id[THREADS];
	uint64_t seed[THREADS];
	int round, i;

	atomic_store(&working, true);
	if (pthread_create(&trimmer, NULL, trim_always, NULL))
		fail("cannot start a thread");
	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < THREADS; i++) {
			seed[i] = *(uint64_t *)arg + (uint64_t)(round * THREADS + i);
			if (pthread_create(&id[i], NULL, exchange, &seed[i]))
				fail("cannot start a thread");
		}
		for (i = 0; i < THREADS; i++)
			pthread_join(id[i], NULL);
	}
	atomic_store(&working, false);
	pthread_join(trimmer, NULL);
}

/* Modes of a program of its own, for settings. */
static void again(const char *name, const char *value, const char *mode)
{
	setenv(name, value, 1);
	child_exec(mode);
}

/* Only by calls of the program: the scavenger would claim slabs for moments, and its stack is
 * a mapping. */
static void alone(const char *value, const char *mode)
{
	setenv("HAKMEM_SCAVENGER", "0", 1);
	again("HAKMEM_SUPERSLAB_REUSE", value, mode);
}

static void with_reuse(void *mode) { alone("1", (const char *)mode); }
static void without_reuse(void *mode) { alone("0", (const char *)mode); }
static void with_delay(void *mode)
{
	setenv("HAKMEM_PROFILE", "default", 1);
	setenv("HAKMEM_LEARN_ADVANCED", "1", 1);
	setenv("HAKMEM_MEM_LEARN_DELAY", "1000", 1);
	alone("1", (const char *)mode);
}
static void as_it_frees(void *mode)
{
	setenv("HAKMEM_PROFILE", "default", 1);
	setenv("HAKMEM_SUPERSLAB_REUSE", "1", 1);
	again("HAKMEM_SCAVENGER", "1", (const char *)mode);
}
static void prewarm_body(void *arg) { again("HAKMEM_SUPERSLAB_PREWARM", (const char *)arg, "prewarm"); }
static void cold_body(void *arg) { again("HAKMEM_SUPERSLAB_PREWARM", (const char *)arg, "cold"); }

/* Memory that is needed again after two periods was not released too early. */
static void seldom(void)
{
	size_t start = resident_at_start();
	int round;

	for (round = 0; round < 4; round++) {
		free_in_order(fill_heap(2000, 100 * MB));
		if (resident() > start + 12 * MB)
			fail("%zu KiB stay in round %d", (resident() - start) / KB, round);
		usleep(1500000);
	}
}

static void reuse(void)
{
	size_t before;

	calls_start();
	free_heap(fill_heap(500 * KB, 20 * MB));
	before = maps();
	fill_heap(500 * KB, 20 * MB);
	if (maps() != before)
		fail("%zu new mappings although 10 SuperSlabs were empty", maps() - before);
}

/* A file that is read once, then a buffer that is made again and again. */
static void once(void)
{
	size_t start, size = 20 * MB;

	calls_start();
	start = resident_at_start();
	free(memset(hide(malloc(size)), 1, size));
	if (resident() > start + 4 * MB)
		fail("%zu KiB stay of a block that was requested once", (resident() - start) / KB);
	free(memset(hide(malloc(size)), 1, size));
	if (resident() < start + size - 4 * MB)
		fail("the second one was released too");
	start = maps();
	free(hide(malloc(size)));
	if (maps() != start)
		fail("the third one was not served from it");
}

/* The same of one that realloc brings to its size. */
static void grown(void)
{
	size_t start = resident_at_start(), size;
	int round;
	char *p;

	for (round = 0; round < 2; round++) {
		p = NULL;
		for (size = MB; size < 20 * MB; size += size / 2) {
			p = (char *)hide(realloc(p, size));
			memset(p, 1, size);
		}
		free(p);
		if ((resident() > start + 8 * MB) != (round > 0))
			fail("%zu KiB stay in round %d", (resident() - start) / KB, round);
	}
}

/* Blocks of 700 KiB, two to a SuperSlab. */
static void larger(void)
{
	size_t before, i, j;
	char *p[5];

	calls_start();
	free_in_order(fill_heap(700 * KB, 20 * MB));
	before = maps();
	for (i = 0; i < 5; i++)
		memset(p[i] = (char *)malloc(3 * MB / 2), (int)i + 1, 3 * MB / 2);
	for (i = 0; i < 5; i++)
		for (j = 0; j < 3 * MB / 2; j += 4096)
			if (p[i][j] != (char)(i + 1))
				fail("block %zu lost a byte", i);
	if (maps() - before > 1)	/* metadata */
		fail("%zu new mappings although SuperSlabs were empty", maps() - before);
}

/* Memory of Large blocks serves small ones, and then Large ones again. */
static void serves_small(size_t size, size_t count)
{
	size_t n = fill_heap(size, size * count), i;
	struct hak_stats before, after;

	free_in_order(n);
	hak_stats_get(&before, sizeof before);
	n = fill_heap(1000, 50 * MB);
	hak_stats_get(&after, sizeof after);
	if (after.mapped > before.mapped + 4 * MB)
		fail("%zu KiB more were mapped", (after.mapped - before.mapped) / KB);
	for (i = 0; i < n; i++)
		if (block[i][0] != 1 || block[i][999] != 1)
			fail("block %zu is damaged", i);
	free_in_order(n);
	malloc_trim(0);
	hak_stats_get(&after, sizeof after);
	if (after.mapped > 16 * MB || after.kept_bytes)
		fail("%zu KiB stay mapped", after.mapped / KB);
}

/* Memory of small blocks serves Large ones. */
static void serves_large(size_t size)
{
	struct hak_stats before, after;
	size_t n;

	free_in_order(fill_heap(5000, 60 * MB));
	hak_stats_get(&before, sizeof before);
	n = fill_heap(size, 40 * MB);
	hak_stats_get(&after, sizeof after);
	if (after.mapped > before.mapped + 16 * MB)
		fail("%zu KiB more were mapped", (after.mapped - before.mapped) / KB);
	while (n--)
		if (block[n][0] != 1 || block[n][size - 1] != 1)
			fail("block %zu is damaged", n);
}

static void at_once(void)
{
	static const size_t sizes[] = { 500 * KB, 5000, 100 };
	size_t start, i, space, before;

	calls_start();
	start = resident_at_start();
	space = address_space();
	for (i = 0; i < 3; i++) {
		before = releases();
		free_in_order(fill_heap(sizes[i], 100 * MB));
		if (releases() - before < 45)
			fail("%zu bytes: %zu calls for 50 SuperSlabs", sizes[i], releases() - before);
		if (resident() > start + 8 * MB || address_space() > space + 8 * MB)
			fail("%zu bytes: %zu KiB stay, %zu of address space", sizes[i],
			     (resident() - start) / KB, (address_space() - space) / KB);
	}
}

static long faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

/* What becomes resident if 14 MiB are allocated and not touched, which takes 8 SuperSlabs. */
static size_t resident_untouched(void)
{
	size_t before = resident(), i;

	for (i = 0; i < 140; i++)
		block[i] = (char *)malloc(100 * KB);
	return resident() - before;
}

/* The first SuperSlab is not warmed, and the last one may hold other blocks too. */
static void prewarm(void)
{
	size_t untouched;

	if (resident() > 8 * MB)
		fail("%zu KiB are resident before anything needs a second SuperSlab", resident() / KB);
	untouched = resident_untouched();
	if (untouched < 10 * MB)
		fail("only %zu KiB resident after SuperSlabs were warmed", untouched / KB);
}

static void cold(void)
{
	if (resident_untouched() > 4 * MB)
		fail("the test cannot tell");
}

static uint64_t milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* How long 20 MiB of free blocks wait, at least. The clock of the library may be 10 ms behind. */
static void delayed(size_t size)
{
	size_t start = resident_at_start(), n = fill_heap(size, 20 * MB);
	uint64_t freed = milliseconds(), waited;

	free_in_order(n);
	do {
		usleep(1000);
		small_activity();
		waited = milliseconds() - freed;
	} while (resident() > start + 8 * MB && waited < 60000);
	if (waited < 1000 - 10 || waited >= 60000)
		fail("blocks of %zu bytes were released after %lu ms", size, (unsigned long)waited);
}

static void *free_and_grow(void *count)
{
	size_t n = *(size_t *)count, before, i;

	for (i = 0; i < n; i++)
		free(block[i]);
	before = maps() - releases();
	fill_heap(600, 64 * MB);
	*(size_t *)count = maps() - releases() - before;
	return NULL;
}

/* 32 SuperSlabs, all of whose blocks wait for a thread that does not call. */
static void waits_for_sleeper(void *arg)
{
	pthread_t t;
	size_t n;

	(void)arg;
	calls_start();
	n = fill_heap(1000, 64 * MB);
	if (pthread_create(&t, NULL, free_and_grow, &n) || pthread_join(t, NULL))
		fail("cannot start a thread");
	if ((ptrdiff_t)n > 8)
		fail("%zu new mappings", n);
}

/* Blocks that realloc makes smaller, by less than half: the pages behind go. */
struct shrinking {
	size_t size, count, percent;
};

static void shrunk(void *arg)
{
	const struct shrinking *s = (const struct shrinking *)arg;
	size_t less = s->size / 100 * s->percent, due = (s->size - less) * s->count, before, after, i;

	for (i = 0; i < s->count; i++)
		fill(block[i] = (char *)hide(malloc(s->size)), s->size, i);
	before = resident();
	for (i = 0; i < s->count; i++)
		block[i] = (char *)hide(realloc(block[i], less));
	after = resident();
	if (after + due / 10 * 9 > before)
		fail("of %zu KiB %zu are left, without %zu", before / KB, after / KB, due / KB);
	for (i = 0; i < s->count; i++)
		if (!filled(block[i], less, i))
			fail("block %zu is damaged", i);
	for (i = 0; i < s->count; i++) {
		block[i] = (char *)hide(realloc(block[i], s->size));
		if (!block[i] || !filled(block[i], less, i))
			fail("block %zu is damaged when it grew again", i);
		fill(block[i], s->size, i);
	}
	for (i = 0; i < s->count; i++)
		if (!filled(block[i], s->size, i))
			fail("block %zu overlaps another", i);
}

/* A buffer that grows and shrinks all the time takes no faults for it. */
static void up_and_down(void *arg)
{
	size_t large = 7900 * KB, small = 6100 * KB, i;
	char *p = (char *)hide(malloc(large));
	long before = 0;

	(void)arg;
	for (i = 0; i < 40; i++) {
		if (i == 4)
			before = faults();
		memset(p, 1, large);
		p = (char *)hide(realloc(p, small));
		p = (char *)hide(realloc(p, large));
	}
	if (faults() - before > 1000)
		fail("%ld page faults", faults() - before);
}

/* Where memory is short, slots behind Mid blocks serve others. */
static void taken(size_t size, size_t less, size_t other)
{
	size_t n = fill_heap(size, 45 * MB), i;
	struct hak_stats before, after;

	for (i = 0; i < n; i++)
		block[i] = (char *)hide(realloc(block[i], less));
	hak_stats_get(&before, sizeof before);
	for (i = 0; i < n; i++)
		if (!hide(malloc(other)))
			fail("no memory");
	hak_stats_get(&after, sizeof after);
	if (after.mapped > before.mapped + 4 * MB)
		fail("%zu KiB more were mapped for %zu blocks", (after.mapped - before.mapped) / KB, n);
}

static void shrinking(void)
{
	static const struct shrinking kinds[] = { { 512 * MB, 1, 55 }, { 100 * MB, 1, 55 }, { 100 * MB, 1, 95 }, { 20 * MB, 5, 55 },
		{ 3900 * KB, 25, 60 } };
	char name[128];
	size_t i;

	if (emulator_fails(LACK_MADVISE, "what realloc takes from blocks is released at once"))
		return;
	for (i = 0; i < sizeof kinds / sizeof *kinds; i++) {
		snprintf(name, sizeof name, "what realloc takes from blocks of %zu KiB is released at once, to %zu %%",
			 kinds[i].size / KB, kinds[i].percent);
		child_ok(shrunk, (void *)&kinds[i], 120, name);
	}
	child_ok(up_and_down, NULL, 120, "not from one that grew again");
}

int main(int argc, char **argv)
{
	static const size_t sizes[] = { 100, 2000, 9000, 100 * KB, 700 * KB, 3 * MB, 50 * MB };
	char name[128];
	uint64_t seed;
	size_t i;

	tap_start();
	if (tap_hardened("with HAKMEM_HARDEN what was freed waits"))
		return tap_end();
	if (argc > 1) {
		if (!strcmp(argv[1], "reuse"))
			reuse();
		else if (!strcmp(argv[1], "larger"))
			larger();
		else if (!strcmp(argv[1], "once"))
			once();
		else if (!strcmp(argv[1], "grown"))
			grown();
		else if (!strcmp(argv[1], "taken"))
			taken(900 * KB, 500 * KB, 350 * KB);
		else if (!strcmp(argv[1], "taken-small"))
			taken(100 * KB, 60 * KB, 55 * KB);
		else if (!strcmp(argv[1], "delayed-slots"))
			delayed(100 * KB);
		else if (!strcmp(argv[1], "delayed-large"))
			delayed(3 * MB);
		else if (!strcmp(argv[1], "small"))
			serves_small(1900 * KB, 30);
		else if (!strcmp(argv[1], "small-guarded"))
			serves_small(3 * MB, 15);
		else if (!strcmp(argv[1], "large"))
			serves_large(7900 * KB);
		else if (!strcmp(argv[1], "seldom"))
			seldom();
		else if (!strcmp(argv[1], "at-once"))
			at_once();
		else if (!strcmp(argv[1], "prewarm"))
			prewarm();
		else
			cold();
		return 0;
	}
	for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		snprintf(name, sizeof name, "malloc_trim releases 200 MiB of %zu bytes", sizes[i]);
		child_ok(by_trim, (void *)&sizes[i], 120, name);
	}
	for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		snprintf(name, sizeof name, "200 MiB of %zu bytes are released after a while", sizes[i]);
		child_ok(by_waiting, (void *)&sizes[i], 120, name);
	}
	child_ok(large_only, NULL, 120, "most of many Large blocks are released at once");
	shrinking();
	child_counted(calls, NULL, 120, "calls grow with what is released, not with the heap");
	child_ok(freed_elsewhere, NULL, 120, "blocks freed by another thread are released");
	child_ok(owner_sleeps, NULL, 120, "blocks of a thread that sleeps are released");
	child_counted(waits_for_sleeper, NULL, 120,
		 "what waits for a thread that does not call serves before the heap grows");
	child_counted(with_reuse, (void *)"larger", 120, "empty SuperSlabs serve blocks of more than 1 MiB");
	child_counted(with_reuse, (void *)"once", 120, "a block of 20 MiB is kept only if one was requested again");
	child_ok(with_reuse, (void *)"grown", 120, "so is one that grew to this by realloc");
	child_ok(with_reuse, (void *)"small", 120, "freed Large blocks serve small ones");
	child_ok(with_reuse, (void *)"small-guarded", 120, "so do those that ended at a guard");
	if (!emulator_fails(LACK_ADJACENT, "freed small blocks serve Large ones"))
		child_ok(with_reuse, (void *)"large", 120, "freed small blocks serve Large ones");
	child_ok(with_delay, (void *)"delayed-slots", 120, "slots wait as long as the purge delay says");
	child_ok(with_delay, (void *)"delayed-large", 120, "Large blocks wait as long as the purge delay says");
	child_ok(as_it_frees, (void *)"seldom", 120,
		 "with HAKMEM_SCAVENGER=1 a program that seldom takes 100 MiB keeps little of it");
	child_ok(after_death, NULL, 120, "blocks allocated after a thread's teardown are released");
	seed = tap_seed();
	child_ok(trim_meanwhile, &seed, 120, "trimming disturbs no thread");
	child_counted(with_reuse, (void *)"reuse", 120, "empty SuperSlabs are used again");
	child_counted(without_reuse, (void *)"at-once", 120, "without reuse they are released at once");
	child_ok(without_reuse, (void *)"taken", 120, "without reuse, what realloc takes from Mid blocks serves others");
	child_ok(without_reuse, (void *)"taken-small", 120, "so do two slots of a block of 100 KiB");
	if (!emulator_fails(LACK_MADVISE, "SuperSlabs after the first are resident before use"))
		child_ok(prewarm_body, (void *)"8", 120, "SuperSlabs after the first are resident before use");
	child_ok(cold_body, (void *)"0", 120, "without warming there is nothing yet");
	return tap_end();
}
