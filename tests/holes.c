/*
 * Pages inside slabs in use are released to the system: how much of them, what a
 * pointer into one means, and that a program which wants them again soon is
 * not made to fault for them.
 */
#include "child.h"
#include "heap.h"

#include <hakmem/hakmem.h>
#include <pthread.h>

enum { SIZE = 1024, BLOCKS = 200 * 1024, KEPT = 20, SLAB = 32 * 1024 };
static char *block[BLOCKS];

static struct hak_stats now(void)
{
	struct hak_stats s;

	hak_stats_get(&s, sizeof s);
	return s;
}

/* One of KEPT survives on average, at random. */
static size_t free_most(uint64_t seed, size_t n, unsigned kept)
{
	size_t i, freed = 0;

	for (i = 0; i < n; i++)
		if (random_below(&seed, kept)) {
			free(block[i]);
			block[i] = NULL;
			freed += SIZE;
		}
	return freed;
}

static void fill_all(size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!block[i])
			fill(block[i] = (char *)malloc(SIZE), SIZE, i);
}

static void check_all(size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (block[i] && !filled(block[i], SIZE, i))
			fail("block %zu is damaged", i);
}

static void back(size_t peak, size_t freed, const char *when)
{
	size_t left = resident();

	if (left + freed * 8 / 10 > peak)
		fail("%zu of %zu KiB were released %s", peak > left ? (peak - left) / KB : 0, freed / KB, when);
}

static void by_trim(void *arg)
{
	size_t peak, freed;

	memset(block, 0, sizeof block);
	fill_all(BLOCKS);
	peak = resident();
	freed = free_most(*(uint64_t *)arg, BLOCKS, KEPT);
	malloc_trim(0);
	back(peak, freed, "by malloc_trim");
	check_all(BLOCKS);
	fill_all(BLOCKS);
	check_all(BLOCKS);
}

static void by_waiting(void *arg)
{
	size_t peak, freed;
	int wait;

	memset(block, 0, sizeof block);
	fill_all(BLOCKS);
	peak = resident();
	freed = free_most(*(uint64_t *)arg, BLOCKS, KEPT);
	for (wait = 0; wait < 2000 && resident() + freed * 8 / 10 > peak; wait++) {
		usleep(10000);
		small_activity();
	}
	back(peak, freed, "after a while");
	check_all(BLOCKS);
}

static void *trim_in_thread(void *arg)
{
	malloc_trim(0);
	return arg;
}

/* The statistics' own view of it; sums as ever. */
static void counted(void *arg)
{
	struct hak_stats a, b, c;

	memset(block, 0, sizeof block);
	fill_all(BLOCKS);
	a = now();
	free_most(*(uint64_t *)arg, BLOCKS, KEPT);
	malloc_trim(0);
	b = now();
	if (b.hole_bytes < 100 * MB || b.hole_purged_bytes - a.hole_purged_bytes < b.hole_bytes)
		fail("%zu KiB in holes of %zu given back", b.hole_bytes / KB, b.hole_purged_bytes / KB);
	if (b.hole_bytes > b.free_bytes || b.mapped != b.in_use + b.cached + b.free_bytes + b.metadata)
		fail("sums do not hold");
	fill_all(BLOCKS);
	c = now();
	if (c.hole_bytes > b.hole_bytes / 10 || c.hole_purged_bytes != b.hole_purged_bytes)
		fail("%zu KiB in holes after all was used again", c.hole_bytes / KB);
}

/* Of many slabs all goes but a few blocks; one of those that went, the last of
 * its slab, in a page that is a hole then. */
static char *hole(size_t n)
{
	size_t i;
	char *p = NULL;

	memset(block, 0, sizeof block);
	fill_all(n);
	for (i = 0; i < n; i++)
		if (i % 16) {
			if (i / 32 == n / 64 && (uintptr_t)block[i] % SLAB == SLAB - SIZE)
				p = (char *)hide(block[i]);
			free(block[i]);
			block[i] = NULL;
		}
	malloc_trim(0);
	if (now().hole_bytes < n * SIZE / 4)
		fail("there are no holes");
	return p;
}

static void already_free(const char *call, const void *p)
{
	if (!p)
		fail("no block is the last of its slab");
	expect("hakmem: %s(): %p is already free (1024-byte block of C6)", call, p);
}

static void *free_in_thread(void *p)
{
	free(p);
	return NULL;
}

static void in_thread(void *(*body)(void *), void *p)
{
	pthread_t t;

	if (pthread_create(&t, NULL, body, p) != 0)
		_exit(3);
	pthread_join(t, NULL);
}

static void twice(void *arg)
{
	char *p = hole(4096);

	(void)arg;
	already_free("free", p);
	free(hide(p));
}

/* The other thread has freed into the slab before, so that it has a batch. */
static void *twice_in_thread(void *p)
{
	free(block[0]);
	free(block[16]);
	free(p);
	return NULL;
}

static void twice_elsewhere(void *arg)
{
	char *p = hole(4096);

	(void)arg;
	already_free("free", p);
	in_thread(twice_in_thread, p);
}

/* All of its neighbours are in use again, and the page with them; lists take
 * one block at a time, so that this one is still in its slab. */
static void twice_refaulted(bool other)
{
	char *p = hole(4096), *q;

	do
		q = (char *)hide(malloc(SIZE));
	while (q != p - SIZE);
	already_free("free", p);
	if (other)
		in_thread(free_in_thread, p);
	free(hide(p));
}

static void in_short_lists(void *mode)
{
	setenv("HAKMEM_TINY_TLS_CLASS_OVERRIDE", "C6:2:1", 1);
	child_exec((const char *)mode);
}

static void resized(void *arg)
{
	char *p = hole(4096);

	already_free("realloc", p);
	hide(realloc(p, *(size_t *)arg));
}

static void inside(void *arg)
{
	char *p = hole(4096);

	(void)arg;
	expect("hakmem: free(): %p is 64 bytes inside a 1024-byte block of C6 that starts at %p", p + 64, p);
	free(hide(p + 64));
}

static void *free_rest(void *arg)
{
	size_t i;

	for (i = 0; i < *(size_t *)arg; i++)
		free(block[i]);
	memset(block, 0, sizeof block);
	return NULL;
}

/* Survivors are freed by others, in turn with use of the holes. */
static void freed_elsewhere(void *arg)
{
	size_t n = 8192;
	int i;

	(void)arg;
	for (i = 0; i < 20; i++) {
		hole(n);
		in_thread(free_rest, &n);
		fill_all(n);
		check_all(n);
		in_thread(free_rest, &n);
	}
}

static void neighbours(void *arg)
{
	size_t i, n = 8192;

	(void)arg;
	hole(n);
	for (i = 0; i < n; i++)
		if (block[i]) {
			block[i] = (char *)realloc(block[i], SIZE - 100);
			if (malloc_usable_size(block[i]) < SIZE - 100 || !filled(block[i], SIZE - 104, i))
				fail("block %zu is damaged", i);
			block[i] = (char *)realloc(block[i], SIZE);
			fill(block[i], SIZE, i);
		}
	fill_all(n);
	check_all(n);
}

static void forked(void *arg)
{
	size_t i, n = 8192;
	int status;
	pid_t pid;

	(void)arg;
	hole(n);
	pid = fork();
	fill_all(n);
	check_all(n);
	for (i = 0; i < n; i++)
		free(block[i]);
	malloc_trim(0);
	if (pid == 0)
		_exit(0);
	if (waitpid(pid, &status, 0) != pid || status != 0)
		fail("the child ended with %d", status);
}

/* Random use, with holes made by another thread at any moment. */
static _Atomic bool working;

static void *trim_always(void *arg)
{
	while (working)
		trim_in_thread(arg);
	return NULL;
}

static void churn(void *arg)
{
	uint64_t state = *(uint64_t *)arg;
	unsigned long i, rounds = tap_rounds(100);
	pthread_t t;

	working = true;
	if (pthread_create(&t, NULL, trim_always, NULL) != 0)
		fail("cannot start a thread");
	for (i = 0; i < rounds; i++) {
		size_t n = 1000 + random_below(&state, 3000);

		fill_all(n);
		check_all(n);
		free_most(state, n, 2 + (unsigned)random_below(&state, 20));
		check_all(n);
	}
	working = false;
	pthread_join(t, NULL);
}

/* Between all and half of it every 50 ms: what is free is wanted again. Where memory
 * is released as the program frees, that is learned in the first turns, by trial, and
 * trials go on: a tenth of what the program frees is released later on. */
static void alternate(void *arg)
{
	int turn, learned = learning_profile() ? 80 : 0, last = learned + 60;
	size_t n = BLOCKS / 4, i, start = 0, released, most;

	(void)arg;
	memset(block, 0, sizeof block);
	for (turn = 0; turn < last; turn++) {
		fill_all(n);
		if (turn == learned)
			start = now().hole_purged_bytes;
		for (i = 0; i < n; i++)
			if ((i / 16 + (size_t)turn) % 2) {
				free(block[i]);
				block[i] = NULL;
			}
		usleep(50000);
		small_activity();
	}
	released = now().hole_purged_bytes - start;
	most = n * SIZE / 2 * (learned ? (size_t)(last - learned) / 10 : 1);
	if (released > most)
		fail("%zu KiB were released, of %zu in use again and again", released / KB, n * SIZE / KB);
}

/* Slabs in memory that was in use before, which got sparse and then full again: the
 * page behind their last block is released, and they stay full. */
static void full_again(void)
{
	enum { DIRTY = 32, COUNT = 48, LARGER = 5120 };
	static char *dirty[DIRTY];
	size_t i;
	int turn;

	for (i = 0; i < DIRTY; i++)
		memset(dirty[i] = (char *)malloc(30000), 1, 30000);
	for (i = 0; i < DIRTY; i++)
		free(dirty[i]);
	for (i = 0; i < COUNT; i++)
		fill(block[i] = (char *)malloc(LARGER), LARGER, i);
	for (i = 0; i < COUNT; i++)
		if (i % 12 >= 6)
			free(block[i]);
	for (i = 0; i < COUNT; i++)
		if (i % 12 >= 6)
			fill(block[i] = (char *)malloc(LARGER), LARGER, i);
	for (turn = 0; turn < 150; turn++) {
		usleep(10000);
		small_activity();
	}
	for (i = 0; i < COUNT; i++)
		if (!hide(malloc(LARGER)))
			fail("no memory");
	for (i = 0; i < COUNT; i++)
		if (!filled(block[i], LARGER, i))
			fail("block %zu is damaged", i);
}

static void full(void *arg)
{
	setenv("HAKMEM_PROFILE", "adaptive", 1);
	child_exec((const char *)arg);
}

int main(int argc, char **argv)
{
	static size_t same = SIZE, more = SIZE + 1;
	uint64_t seed;

	tap_start();
	if (tap_hardened("with HAKMEM_HARDEN what was freed waits, and is not found in holes"))
		return tap_end();
	if (argc > 2) {
		child_attach(atoi(argv[2]));
		if (!strcmp(argv[1], "full"))
			full_again();
		else
			twice_refaulted(!strcmp(argv[1], "other"));
		return 0;
	}
	seed = tap_seed();
	child_ok(by_trim, &seed, 120, "with 1 block in 20 left, malloc_trim releases 80 %");
	child_ok(by_waiting, &seed, 120, "with 1 block in 20 left, 80 % are released after a while");
	child_ok(counted, &seed, 120, "holes are counted, and are none once they are used");
	child_aborts(twice, NULL, "a double free into a hole");
	child_aborts(twice_elsewhere, NULL, "a double free into a hole by another thread");
	child_aborts(in_short_lists, (void *)"own", "a double free into what was a hole");
	child_aborts(in_short_lists, (void *)"other", "a double free into what was a hole by another thread");
	child_aborts(resized, &same, "realloc of a freed block in a hole");
	child_aborts(resized, &more, "realloc of a freed block in a hole, to move it");
	child_aborts(inside, NULL, "a pointer into a block in a hole");
	child_ok(freed_elsewhere, NULL, 120, "other threads free blocks of slabs with holes");
	child_ok(neighbours, NULL, 120, "blocks beside holes can be resized");
	child_ok(forked, NULL, 120, "parent and child use holes after a fork");
	child_ok(churn, &seed, 120, "holes made while a program works disturb nothing");
	child_ok(full, (void *)"full", 120, "a full slab of which the end is released stays full");
	child_ok(alternate, NULL, 120, "what is wanted again and again stays");
	return tap_end();
}
