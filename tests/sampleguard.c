/*
 * HAKMEM_SAMPLE_GUARD: what happens at an access outside a sampled block or after its free, and
 * that nothing else changes for the program. tests/sample_guarded has the cases that all sampled
 * blocks have in common. The test has the library inside, so that it can say which block is
 * sampled next.
 */
#include "child.h"
#include "heap.h"
#include "sampler.h"

#include "cache/cache.h"
#include "sample/fence.h"
#include "sample/sample.h"

#include <hakmem/hakmem.h>
#include <setjmp.h>

/* The compiler must not see what happens to the blocks. */
typedef volatile unsigned char *bytes;

static void *sampled(size_t size)
{
	void *p;

	sample_next();
	p = malloc(size);
	/* The compiler must not know the size. */
	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}

static size_t slack_of(size_t size)
{
	return -size & 15;
}

/* A block at the end of its pages, or at their start. */
static bytes at_end(size_t size)
{
	unsigned char *p;

	do
		p = sampled(size);
	while (((uintptr_t)p + size + slack_of(size)) % hk_page_size);
	return p;
}

static bytes at_start(size_t size)
{
	unsigned char *p;

	do
		p = sampled(size);
	while ((uintptr_t)p % hk_page_size);
	return p;
}

static const size_t sizes[] = { 0, 1, 15, 16, 17, 100, 2048, 2049, 4096, 5000, 8192, 12345, 16384, 32760, 32768 };
enum { SIZES = sizeof sizes / sizeof *sizes };

static void test_sizes(void)
{
	size_t i, wrong = 0;

	for (i = 0; i < SIZES * 20; i++) {
		size_t size = sizes[i % SIZES];
		void *p = sampled(size);

		fill(p, size, i);
		wrong += !hk_fenced(p) || malloc_usable_size(p) != size || (uintptr_t)p % 16 || !filled(p, size, i);
		free(p);
	}
	ok(wrong == 0, "a block between guards has exactly the requested size");
	wrong = 0;
	for (i = 0; i < 3 * HK_FENCES; i++) {
		unsigned char *p;

		sample_next();
		p = calloc(1, sizes[i % SIZES]);
		wrong += !all_zero(p, sizes[i % SIZES]);
		fill(p, sizes[i % SIZES], i);
		free(p);
	}
	ok(wrong == 0, "calloc clears it");
}

static void test_aligned(void)
{
	size_t i, align, wrong = 0, fenced = 0;

	for (align = 16; align <= 32768; align *= 2)
		for (i = 1; i < SIZES; i++) {
			void *p;

			sample_next();
			p = aligned_alloc(align, sizes[i]);
			fenced += hk_fenced(p);
			wrong += !p || (uintptr_t)p % align || malloc_usable_size(p) < sizes[i];
			fill(p, sizes[i], i);
			free(p);
		}
	ok(wrong == 0 && fenced > SIZES, "aligned blocks");
}

static void test_realloc(void)
{
	size_t i, j, wrong = 0;

	for (i = 0; i < SIZES; i++)
		for (j = 1; j < SIZES; j++) {
			size_t kept = sizes[i] < sizes[j] ? sizes[i] : sizes[j];
			unsigned char *p = sampled(sizes[i]), *q;

			fill(p, sizes[i], i);
			sample_next();
			q = realloc(p, sizes[j]);
			wrong += malloc_usable_size(q) != sizes[j] || !filled(q, kept, i);
			free(q);
		}
	ok(wrong == 0, "realloc keeps the size exact");
}

static size_t guarded_now(void)
{
	struct hak_stats stats;

	hak_stats_get(&stats, sizeof stats);
	return stats.samples_guarded;
}

static void test_statistics(void)
{
	struct hak_stats before, with, after;
	void *p;

	hak_stats_get(&before, sizeof before);
	p = sampled(5000);
	hak_stats_get(&with, sizeof with);
	free(p);
	hak_stats_get(&after, sizeof after);
	ok(with.samples_guarded == before.samples_guarded + 1 && with.mid_blocks == before.mid_blocks + 1 &&
	   with.mid_bytes == before.mid_bytes + 5000 && with.mapped >= before.mapped + 5000, "the statistics count it");
	ok(after.samples_guarded == before.samples_guarded && after.mid_bytes == before.mid_bytes &&
	   after.mid_blocks == before.mid_blocks && after.mapped == before.mapped, "until it is freed");
}

static void test_errno(void)
{
	void *p;

	errno = 77;
	p = sampled(100);
	free(p);
	ok(errno == 77, "errno is kept");
}

/* Ends by a signal after these lines, which other lines follow. */
static void ends_with(const char *name, void (*body)(void *), int signal, const char *also)
{
	struct child c;
	const char *line;
	bool good;

	if (signal == SIGSEGV && emulator_fails(LACK_STDERR, name))
		return;
	c = child_run(body, NULL, 60);
	line = strtok(expected, "\n");
	good = WIFSIGNALED(c.status) && WTERMSIG(c.status) == signal && line && !strncmp(c.err, line, strlen(line)) &&
	       c.err[strlen(line)] == '\n' && strstr(c.err, "\nhakmem: allocated #0 0x") && (!also || strstr(c.err, also));
	if (!ok(good, "%s", name)) {
		diag("  wanted: %s", line ? line : "");
		child_diag(&c);
	}
}

/* Does the machine say what an access was? */
#if defined(__x86_64__) || defined(__i386__)
#define READ "read from"
#define WRITE "write to"
#else
#define READ access_name
#define WRITE access_name
static const char access_name[] = "access to";
#endif

static void write_behind(void *unused)
{
	bytes p = at_end(100);

	(void)unused;
	expect("hakmem: %s %p, 20 bytes past the end of the 100-byte block at %p", WRITE, (void *)(p + 120), (void *)p);
	p[120] = 1;
}

static void read_behind(void *unused)
{
	bytes p = at_end(4096);

	(void)unused;
	expect("hakmem: %s %p, 0 bytes past the end of the 4096-byte block at %p", READ, (void *)(p + 4096), (void *)p);
	(void)p[4096];
}

static void read_before(void *unused)
{
	bytes p = at_start(24);

	(void)unused;
	expect("hakmem: %s %p, 1 byte before the start of the 24-byte block at %p", READ, (void *)(p - 1), (void *)p);
	(void)p[-1];
}

static void read_freed(void *unused)
{
	bytes p = sampled(1000);

	(void)unused;
	expect("hakmem: %s %p, at byte 999 of the 1000-byte block at %p, which is free", READ, (void *)(p + 999), (void *)p);
	free(hide((void *)p));
	(void)p[999];
}

static void write_freed(void *unused)
{
	bytes p = sampled(0x5000);

	(void)unused;
	expect("hakmem: %s %p, at byte 0 of the 20480-byte block at %p, which is free", WRITE, (void *)p, (void *)p);
	free(hide((void *)p));
	*p = 1;
}

static void read_moved(void *unused)
{
	bytes p = sampled(1000);

	(void)unused;
	expect("hakmem: %s %p, at byte 8 of the 1000-byte block at %p, which is free", READ, (void *)(p + 8), (void *)p);
	free(realloc(hide((void *)p), 900));
	(void)p[8];
}

static void free_twice(void *unused)
{
	bytes p = sampled(100);

	(void)unused;
	expect("hakmem: free(): %p is already free (sampled block of 100 bytes)", (void *)p);
	free(hide((void *)p));
	free(hide((void *)p));
}

static void resize_freed(void *unused)
{
	bytes p = sampled(1);

	(void)unused;
	expect("hakmem: realloc(): %p is already free (sampled block of 1 byte)", (void *)p);
	free(hide((void *)p));
	free(realloc(hide((void *)p), 50));
}

static void free_inside(void *unused)
{
	bytes p = sampled(100);

	(void)unused;
	expect("hakmem: free(): %p is at byte 16 of the 100-byte block at %p", (void *)(p + 16), (void *)p);
	free(hide((void *)(p + 16)));
}

static void damage_behind(void *unused)
{
	bytes p = at_end(100);

	(void)unused;
	expect("hakmem: free(): %p was written to 0 bytes past the end of the 100-byte block at %p", (void *)p, (void *)p);
	p[100] = 0;
	free(hide((void *)p));
}

static void damage_far_behind(void *unused)
{
	bytes p = at_start(100);

	(void)unused;
	expect("hakmem: free(): %p was written to 1000 bytes past the end of the 100-byte block at %p", (void *)p, (void *)p);
	p[1100] = 0;
	free(hide((void *)p));
}

static void damage_before(void *unused)
{
	bytes p = at_end(100);

	(void)unused;
	expect("hakmem: realloc(): %p was written to 1 byte before the start of the 100-byte block at %p", (void *)p, (void *)p);
	p[-1] = 0;
	free(realloc(hide((void *)p), 200));
}

static void *write_there(void *p)
{
	*(bytes)p = 1;
	return NULL;
}

static void freed_elsewhere(void *unused)
{
	bytes p = sampled(64);
	pthread_t thread;

	(void)unused;
	expect("hakmem: %s %p, at byte 0 of the 64-byte block at %p, which is free", WRITE, (void *)p, (void *)p);
	free_elsewhere((void *)p);
	pthread_create(&thread, NULL, write_there, (void *)p);
	pthread_join(thread, NULL);
}

static void *inherited;

static void in_grandchild(void *unused)
{
	(void)unused;
	expect("hakmem: %s %p, at byte 0 of the 64-byte block at %p, which is free", WRITE, inherited, inherited);
	free(hide(inherited));
	write_there(inherited);
}

#ifdef HK_SANITIZED
enum { SANITIZED = true };
#else
enum { SANITIZED = false };
#endif

/* A sanitizer has a handler of its own. */
static bool is_watched(void)
{
	struct sigaction now;

	return !SANITIZED && sigaction(SIGSEGV, NULL, &now) == 0 && (now.sa_flags & SA_SIGINFO) && (now.sa_flags & SA_ONSTACK);
}

static void test_faults(void)
{
	static const struct {
		const char *name, *also;
		void (*body)(void *);
	} fault[] = {
		{ "a write past a block", NULL, write_behind },
		{ "a read past a block", NULL, read_behind },
		{ "a read before a block", NULL, read_before },
		{ "a read of a freed block", "\nhakmem: freed #0 0x", read_freed },
		{ "a write to a freed block", "\nhakmem: freed #0 0x", write_freed },
		{ "a read of a block that realloc has moved", "\nhakmem: freed #0 0x", read_moved },
		{ "a write by a third thread", "\nhakmem: freed #0 0x", freed_elsewhere },
		{ "a block of the parent in a child", "\nhakmem: freed #0 0x", in_grandchild },
	};
	size_t i;

	inherited = sampled(64);
	for (i = 0; i < sizeof fault / sizeof *fault; i++)
		if (is_watched())
			ends_with(fault[i].name, fault[i].body, SIGSEGV, fault[i].also);
		else
			skip(fault[i].name, "something else handles SIGSEGV");
	fill(inherited, 64, 1);
	ok(filled(inherited, 64, 1), "the parent still has its block");
	free(inherited);
	ends_with("a double free", free_twice, SIGABRT, "\nhakmem: freed #0 0x");
	ends_with("realloc of a freed block", resize_freed, SIGABRT, "\nhakmem: freed #0 0x");
	ends_with("free inside a block", free_inside, SIGABRT, NULL);
	ends_with("a byte past the end, found by free", damage_behind, SIGABRT, NULL);
	ends_with("a byte further past it", damage_far_behind, SIGABRT, NULL);
	ends_with("a byte before the start, found by realloc", damage_before, SIGABRT, NULL);
}

/* The signal that the program would get without the library, and no message. */
static void ends_silently(const char *name, void (*body)(void *))
{
	struct child c;

	if (emulator_fails(LACK_STDERR, name))
		return;
	c = child_run(body, NULL, 60);
	if (!ok(WIFSIGNALED(c.status) && WTERMSIG(c.status) == SIGSEGV && c.length == 0, "%s", name))
		child_diag(&c);
}

static void fault_elsewhere(void *unused)
{
	void *p = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	(void)unused;
	write_there(p);
}

static void raise_it(void *unused)
{
	(void)unused;
	raise(SIGSEGV);
}

static void default_action(void *unused)
{
	bytes p = at_end(16);

	(void)unused;
	signal(SIGSEGV, SIG_DFL);
	p[16] = 1;
}

static sigjmp_buf back;
static void *volatile fault_address;

static void catch_it(int number, siginfo_t *info, void *context)
{
	(void)number;
	(void)context;
	fault_address = info->si_addr;
	siglongjmp(back, 1);
}

static void own_handler(void *unused)
{
	struct sigaction action = { .sa_flags = SA_SIGINFO };
	bytes p = at_end(16);

	(void)unused;
	action.sa_sigaction = catch_it;
	sigaction(SIGSEGV, &action, NULL);
	if (!sigsetjmp(back, 1))
		p[16] = 1;
	if (((uintptr_t)fault_address & -hk_page_size) != (uintptr_t)(p + 16))
		fail("the address is %p", fault_address);
}

static void test_signals(void)
{
	if (!is_watched()) {
		skip("signals", "something else handles SIGSEGV");
		return;
	}
	ends_silently("a fault elsewhere", fault_elsewhere);
	ends_silently("a signal that the program sends", raise_it);
	ends_silently("a program that sets the default action", default_action);
	child_ok(own_handler, NULL, 60, "a program that handles SIGSEGV");
}

/* Some may be left over from the start. */
static void test_many(void)
{
	enum { MANY = 2 * HK_FENCES };
	static void *block[MANY];
	size_t before = guarded_now(), unguarded = hk_sample_counters.unguarded, fenced = 0, wrong = 0, i;

	for (i = 0; i < MANY; i++) {
		block[i] = sampled(i);
		fill(block[i], i, i);
		fenced += hk_fenced(block[i]);
	}
	ok(before + fenced <= HK_FENCES / HK_FENCE_LIVE_SHARE && fenced > HK_FENCES / HK_FENCE_LIVE_SHARE / 2,
	   "a bounded number of blocks has guards");
	ok(hk_sample_counters.unguarded - unguarded == MANY - fenced, "and the others are counted");
	for (i = 0; i < MANY; i++) {
		wrong += !filled(block[i], i, i);
		free(block[i]);
	}
	ok(wrong == 0 && guarded_now() == before, "all of them are usable");
}

static void test_rest(void)
{
	uintptr_t page = (uintptr_t)sampled(100) & -hk_page_size;
	struct hk_fence *fence = hk_fence_near(page);
	size_t i, taken = 0;

	free((void *)fence->start);
	for (i = 0; i < hk_fences.count / HK_FENCE_RESTING_SHARE - 1; i++) {
		free(sampled(100));
		taken += fence->state != HK_FENCE_FREED;
	}
	ok(taken == 0, "the place of a freed block rests");
	for (i = 0; i < 2 * hk_fences.count && hk_fences.count; i++) {
		void *p = sampled(100);

		taken += hk_fence_near((uintptr_t)p) == fence;
		free(p);
	}
	ok(taken != 0, "and is then used again");
}

static void no_guard(void)
{
	size_t unguarded = hk_sample_counters.unguarded;
	void *p;

	p = sampled(100);
	if (hk_fenced(p) || hk_sample_counters.unguarded == unguarded)
		fail("a guard");
	fill(p, 100, 1);
	if (!filled(p, 100, 1))
		fail("contents");
	free(p);
}

static void at_limit(void *unused)
{
	(void)unused;
	free(malloc(100));
	hak_set_limit(4 << 20);
	no_guard();
}

/* Each second page of a range has another protection. In a new process no guard can be set then,
 * because each needs a mapping. */
static int run_without_mappings(void)
{
	const size_t size = (size_t)200000 * hk_page_size;
	char *p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t at;

	if (p == MAP_FAILED)
		return 0;
	free(malloc(100));
	free(malloc(300000));
	for (at = 0; at < size; at += 2 * hk_page_size)
		if (mprotect(p + at, hk_page_size, PROT_READ) != 0)
			break;
	if (at < size)
		no_guard();
	return 0;
}

static void without_mappings(void *self)
{
	exec_self(self, "mappings", NULL);
	_exit(127);
}

static void test_refused(void *self)
{
	child_ok(at_limit, NULL, 60, "at the limit of the heap there is no guard");
	if (!SANITIZED && !emulator_fails(LACK_MAPPINGS, "without mappings there is no guard"))
		child_ok(without_mappings, self, 60, "without mappings there is no guard");
}

/* Threads exchange blocks, so that each frees those of the others. */
enum { PLACES = 64 };
static _Atomic(void *) place[PLACES];

static void *exchange(void *state)
{
	unsigned long i, n = tap_rounds(5000);
	uint64_t random = *(uint64_t *)state;

	for (i = 0; i < n; i++) {
		size_t size = random_size(&random, 30000);
		void *p = sampled(size);

		memset(p, 0x55, size);
		free(atomic_exchange(&place[random_below(&random, PLACES)], p));
	}
	return NULL;
}

static void test_threads(void)
{
	size_t before = guarded_now(), i;

	/* libc keeps blocks of ended threads, which must not be sampled. */
	sample_none();
	seeded_threads(4, exchange, 1);
	for (i = 0; i < PLACES; i++)
		free(atomic_exchange(&place[i], NULL));
	ok(guarded_now() == before, "threads free each other's blocks");
}

static int run_little_space(void)
{
	void *p = sampled(100);

	free(p);
	return hk_fences.count < HK_FENCES ? 0 : 1;
}

static void little_space(void *self)
{
	struct rlimit space = { (rlim_t)400 << 20, (rlim_t)400 << 20 };

	if (setrlimit(RLIMIT_AS, &space) != 0)
		_exit(3);
	exec_self(self, "little", NULL);
	_exit(127);
}

static int run_off(void)
{
	struct sigaction now;

	return sigaction(SIGSEGV, NULL, &now) == 0 && now.sa_handler == SIG_DFL && !hk_fences_exist() &&
	       !hk_fenced(sampled(100)) ? 0 : 1;
}

static void off(void *self)
{
	setenv("HAKMEM_SAMPLE_GUARD", "0", 1);
	exec_self(self, "off", NULL);
	_exit(127);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "off"))
		return run_off();
	if (argc > 1 && !strcmp(argv[1], "mappings"))
		return run_without_mappings();
	if (argc > 1 && !strcmp(argv[1], "little"))
		return run_little_space();
	if (!getenv("HAKMEM_SAMPLE_GUARD")) {
		setenv("HAKMEM_SAMPLE", "1073741824", 1);
		setenv("HAKMEM_SAMPLE_GUARD", "1", 1);
		exec_self(argv[0], "", NULL);
		_exit(127);
	}
	tap_start();
	if (!hk_fences_exist()) {
		skip("guards", "HAKMEM_HARDEN has its own");
		return tap_end();
	}
	test_sizes();
	test_aligned();
	test_realloc();
	test_statistics();
	test_errno();
	test_faults();
	test_signals();
	test_many();
	test_rest();
	test_refused(argv[0]);
	test_threads();
	if (!SANITIZED && !emulator_fails(LACK_RLIMIT, "a limit on the address space makes the range small"))
		child_ok(little_space, argv[0], 60, "a limit on the address space makes the range small");
	if (is_watched())
		child_ok(off, argv[0], 60, "without the setting there is nothing");
	return tap_end();
}
