/* HAKMEM_HARDEN: each case makes one mistake and checks the message; other cases check
 * that correct use is not reported. */
#include "child.h"
#include "heap.h"

#include <hakmem/hakmem.h>
#include <malloc.h>
#include <pthread.h>

static char *take(size_t size)
{
	return (char *)hide(malloc(hide_size(size)));
}

/* Enough calls to reuse the blocks in quarantine. */
static void live_on(size_t size)
{
	static void *p[2000];
	size_t i;

	for (i = 0; i < 2000; i++)
		p[i] = take(size);
	for (i = 0; i < 2000; i++)
		free(p[i]);
}

static void overrun(void *arg)
{
	char *p = take(20);

	(void)arg;
	expect("hakmem: free(): %p was written to past its end (20 bytes in a 32-byte block)", (void *)p);
	p[20]++;
	free(hide(p));
}

static void overrun_seal(void *arg)
{
	char *p = take(24);

	(void)arg;
	expect("hakmem: free(): %p was written to past its end (32-byte block)", (void *)p);
	p[24]++;
	free(hide(p));
}

static void overrun_realloc(void *arg)
{
	char *p = take(100);

	(void)arg;
	expect("hakmem: realloc(): %p was written to past its end (100 bytes in a 112-byte block)", (void *)p);
	p[100]++;
	hide(realloc(hide(p), 2000));
}

static void overrun_usable(void *arg)
{
	char *p = take(100);

	(void)arg;
	expect("hakmem: malloc_usable_size(): %p was written to past its end (100 bytes in a 112-byte block)",
	       (void *)p);
	p[100]++;
	hide_size(malloc_usable_size(hide(p)));
}

/* An overflow within the page before the guard. */
static void overrun_mid(void *arg)
{
	char *p = take(300000);

	(void)arg;
	expect("hakmem: free(): %p was written to past its end (300000 bytes in a *", (void *)p);
	p[300000]++;
	free(hide(p));
}

static void copied_seal(void *arg)
{
	char *p = take(100), *q = take(100);

	(void)arg;
	expect("hakmem: free(): %p was written to past its end (112-byte block)", (void *)p);
	memcpy(hide(p), hide(q), 112);
	free(hide(p));
}

static void underrun(void *arg)
{
	char *p = take(100), *q = take(100);

	(void)arg;
	p = p < q ? q : p;
	expect("hakmem: free(): %p was written to before its start, or the block before it past its end",
	       (void *)p);
	p[-1]++;
	free(hide(p));
}

static void written(void *arg)
{
	char *p = take(100);

	(void)arg;
	free(hide(p));
	expect("hakmem: free(): %p was written to after it was freed (at byte 40 of a 112-byte block)", (void *)p);
	((char *)hide(p))[40] = 1;
	live_on(100);
}

/* The quarantine of a thread is checked when the thread ends. */
static void *write_and_end(void *arg)
{
	char *p = take(100);

	free(hide(p));
	expect("hakmem: free(): %p was written to after it was freed (at byte 99 of a 112-byte block)", (void *)p);
	((char *)hide(p))[99] = 1;
	return arg;
}

static void written_in_thread(void *arg)
{
	pthread_t t;

	pthread_create(&t, NULL, write_and_end, arg);
	pthread_join(t, NULL);
}

static void twice(void *arg)
{
	size_t size = *(const size_t *)arg;
	char *p = take(size);

	expect(size ? size > 32768 ? "hakmem: free(): %p is already free (Mid block)" :
				     "hakmem: free(): %p is already free (112-byte block of C3)" :
	       "hakmem: free(): %p is already free (0-byte block)", (void *)p);
	free(hide(p));
	free(hide(p));
}

static void twice_late(void *arg)
{
	char *p = take(100);

	(void)arg;
	free(hide(p));
	expect("hakmem: realloc(): %p is already free (112-byte block of C3)", (void *)p);
	free(take(30));
	free(take(100));
	hide(realloc(hide(p), 100));
}

static void wrong_size(void *arg)
{
	char *p = take(100);

	(void)arg;
	expect("hakmem: free_sized(): %p has 100 bytes, not 99", (void *)p);
	hak_free_sized(p, 99);
}

static void wrong_alignment(void *arg)
{
	void *p = hide(hak_aligned_alloc(64, 128));

	(void)arg;
	expect("hakmem: free_aligned_sized(): %p was allocated with the alignment 64, not 128", p);
	hak_free_aligned_sized(p, 128, 128);
}

#ifndef HK_PREFIXED
#if UINTPTR_MAX == UINT32_MAX && !defined(__s390__)
#define NEW "_Znwj"
#define SIZED "_ZdaPvj"
#define NEW_MANY "_Znaj"
#else
#define NEW "_Znwm"
#define SIZED "_ZdaPvm"
#define NEW_MANY "_Znam"
#endif

static void *allocate(const char *operator, size_t size)
{
	void *(*function)(size_t);

	*(void **)&function = dlsym(RTLD_DEFAULT, operator);
	return function(size);
}

static void release(const char *operator, void *p, size_t size)
{
	void (*function)(void *, size_t);

	*(void **)&function = dlsym(RTLD_DEFAULT, operator);
	function(p, size);
}

static void delete_of_malloc(void *arg)
{
	char *p = take(100);

	(void)arg;
	expect("hakmem: operator delete(): %p was allocated by malloc()", (void *)p);
	release("_ZdlPv", p, 0);
}

static void delete_many_of_new(void *arg)
{
	void *p = allocate(NEW, 100);

	(void)arg;
	expect("hakmem: operator delete[](): %p was allocated by operator new()", p);
	release("_ZdaPv", p, 0);
}

static void free_of_new_many(void *arg)
{
	void *p = allocate(NEW_MANY, 100);

	(void)arg;
	expect("hakmem: free(): %p was allocated by operator new[]()", p);
	free(p);
}

static void delete_of_wrong_size(void *arg)
{
	void *p = allocate(NEW_MANY, 100);

	(void)arg;
	expect("hakmem: operator delete[](): %p has 100 bytes, not 101", p);
	release(SIZED, p, 101);
}

static void test_operators(void)
{
	child_aborts(delete_of_malloc, NULL, "delete of malloc");
	child_aborts(delete_many_of_new, NULL, "delete[] of new");
	child_aborts(free_of_new_many, NULL, "free of new[]");
	child_aborts(delete_of_wrong_size, NULL, "delete[] with another size");
}
#else
static void test_operators(void)
{
}
#endif

/* Checks that the body ends by SIGSEGV without a message. */
static void faults(void (*body)(void *), void *arg, const char *name)
{
	struct child c = child_run(body, arg, 60);

	if (!ok(WIFSIGNALED(c.status) && WTERMSIG(c.status) == SIGSEGV && c.length == 0, "%s", name))
		child_diag(&c);
}

static void read_at(const char *p)
{
	(void)*(const volatile char *)hide(p);
}

static void read_empty(void *arg)
{
	(void)arg;
	read_at(take(0));
}

static void read_behind(void *arg)
{
	size_t size = *(const size_t *)arg, page = (size_t)sysconf(_SC_PAGESIZE);

	read_at(take(size) + (size + page - 1) / page * page);
}

static void read_freed(void *arg)
{
	char *p = take(*(const size_t *)arg);

	free(hide(p));
	read_at(p);
}

static bool exact(size_t size)
{
	char *p = take(size);
	bool good = p && malloc_usable_size(p) == size;

	if (good)
		memset(p, 'x', size);
	free(p);
	return good;
}

static void test_sizes(void)
{
	size_t size;
	bool good = true;

	for (size = 0; size < 5000 && good; size++)
		good = exact(size);
	for (; size < 80 * MB && good; size += size / 7)
		good = exact(size);
	ok(good, "a block has as many bytes as were asked for, with 0 to 80 MiB (up to %zu)", size);
}

static void test_aligned(void)
{
	size_t align, size;
	bool good = true;

	for (align = 8; align <= 4 * MB; align *= 2)
		for (size = 0; size < 100000; size = size * 3 + 1) {
			char *p = (char *)hide(hak_memalign(align, size));

			good &= p && (uintptr_t)p % align == 0 && malloc_usable_size(p) == size;
			memset(p, 'x', size);
			free(p);
		}
	ok(good, "aligned ones likewise");
}

/* Grows and shrinks in all ways; the contents must stay. */
static void test_realloc(void)
{
	static const size_t way[] = { 1, 24, 25, 30, 31, 40, 100, 3000, 2900, 40000, 300000, 310000, 305000,
				      3000000, 50000000, 80000000, 40000000, 2000000, 50000, 20000, 10 };
	char *p = NULL;
	size_t i, had = 0;
	bool good = true;

	for (i = 0; i < sizeof way / sizeof *way; i++) {
		p = (char *)hide(realloc(p, way[i]));
		good &= p && malloc_usable_size(p) == way[i] && filled(p, had < way[i] ? had : way[i], 7);
		if (way[i] > had)
			good &= all_zero(p + had, way[i] - had);
		fill(p, way[i], 7);
		had = way[i];
	}
	free(p);
	ok(good, "realloc keeps contents, and adds zeros");
}

static void test_contents(void)
{
	static const size_t size[] = { 1, 24, 100, 2000, 20000, 300000, 3000000 };
	char *p, *q[32];
	unsigned i, j;

	for (i = 0; i < sizeof size / sizeof *size; i++) {
		bool zero = true, apart = true;

		for (j = 0; j < 100; j++) {
			p = take(size[i]);
			zero &= all_zero(p, size[i]);
			memset(p, 'x', size[i]);
			free(hide(p));
		}
		for (j = 0; j < 32; j++) {
			q[j] = take(size[i]);
			apart &= q[j] != p;
			zero &= all_zero(q[j], size[i]);
		}
		for (j = 0; j < 32; j++)
			free(q[j]);
		ok(zero, "%zu bytes are zero when they are handed out", size[i]);
		ok(apart, "and are not used again at once");
	}
	p = take(100);
	memset(p, 'x', 100);
	free(hide(p));
	ok(all_zero(hide(p), 100), "what was freed is zero");
}

enum { BLOCKS = 20000, THREADS = 4 };
static char *shared[BLOCKS];

/* Each thread publishes blocks for the others, and frees blocks that it finds. */
static void *exchange(void *arg)
{
	uint64_t state = (uint64_t)(uintptr_t)arg;
	unsigned long i;

	for (i = 0; i < tap_rounds(200000); i++) {
		size_t size = random_size(&state, 4000);
		char *p = take(size), *q;

		memset(p, 'x', size);
		q = __atomic_exchange_n(&shared[random_below(&state, BLOCKS)], p, __ATOMIC_ACQ_REL);
		free(q);
	}
	return NULL;
}

static void test_threads(void)
{
	pthread_t t[THREADS];
	unsigned i, round;

	for (round = 0; round < 3; round++) {
		for (i = 0; i < THREADS; i++)
			pthread_create(&t[i], NULL, exchange, (void *)(uintptr_t)(round * THREADS + i + 1));
		for (i = 0; i < THREADS; i++)
			pthread_join(t[i], NULL);
	}
	for (i = 0; i < BLOCKS; i++)
		free(shared[i]);
	malloc_trim(0);
	ok(true, "threads that free each other's blocks");
}

int main(int argc, char **argv)
{
	static const size_t none = 0, tiny = 100, mid = 300000, large = 3000000, huge = 50000000;

	(void)argc;
	if (!getenv("HAKMEM_HARDEN")) {
		setenv("HAKMEM_HARDEN", "3", 1);
		exec_self(argv[0], "", NULL);
		_exit(127);
	}
	tap_start();
	if (tap_other) {
		skip("all", "only HAKMEM promises this");
		return tap_end();
	}
	child_aborts(overrun, NULL, "one byte past the end");
	child_aborts(overrun_seal, NULL, "one byte past the end of a block that is full");
	child_aborts(overrun_realloc, NULL, "the same, found by realloc");
	child_aborts(overrun_usable, NULL, "the same, found by malloc_usable_size");
	child_aborts(overrun_mid, NULL, "one byte past the end of a Mid block");
	child_aborts(copied_seal, NULL, "a seal of another block");
	child_aborts(underrun, NULL, "one byte before the start");
	child_aborts(written, NULL, "written to after it was freed");
	child_aborts(written_in_thread, NULL, "the same, found when the thread ends");
	child_aborts(twice, (void *)&tiny, "freed twice");
	child_aborts(twice, (void *)&mid, "Mid freed twice");
	child_aborts(twice, (void *)&none, "a block of no bytes freed twice");
	child_aborts(twice_late, NULL, "realloc of a block that waits");
	child_aborts(wrong_size, NULL, "free_sized with another size");
	child_aborts(wrong_alignment, NULL, "free_aligned_sized with another alignment");
	test_operators();
	faults(read_empty, NULL, "a block of no bytes is read");
	faults(read_behind, (void *)&mid, "past a Mid block");
	faults(read_behind, (void *)&large, "past a Large block");
	faults(read_behind, (void *)&huge, "past a Huge block");
	faults(read_freed, (void *)&mid, "a Mid block that was freed");
	faults(read_freed, (void *)&large, "a Large block that was freed");
	faults(read_freed, (void *)&huge, "a Huge block that was freed");
	test_sizes();
	test_aligned();
	test_realloc();
	test_contents();
	test_threads();
	return tap_end();
}
