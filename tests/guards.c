/*
 * Large and Huge blocks end at a guard page if the kernel supports guard pages without a
 * mapping. The usable size stays accessible, whatever is done with a block.
 */
#include "child.h"
#include "heap.h"
#include "seccomp.h"

#include <malloc.h>
#include <pthread.h>

enum { GUARD_INSTALL = 102, GUARD_REMOVE = 103 };

static size_t page;
static int ends[2];

/* Lets the kernel read the byte, which fails without a signal. */
static bool accessible(const char *at)
{
	char byte;

	if (write(ends[1], at, 1) != 1)
		return false;
	return read(ends[0], &byte, 1) == 1;
}

/* Every page of the block is accessible, and nothing after it if there is a guard. */
static void check(char *p, size_t size, bool guarded)
{
	size_t usable = malloc_usable_size(p), i;

	if (usable < size)
		fail("%zu bytes of %zu are usable", usable, size);
	for (i = 0; i < usable; i += page)
		if (!accessible(p + i))
			fail("a guard %zu bytes inside a block of %zu", i, size);
	if (!accessible(p + usable - 1))
		fail("a guard before the end of a block of %zu", size);
	if (guarded && accessible(p + usable))
		fail("no guard behind a block of %zu bytes", size);
}

/* Sizes that leave a page for the guard; few enough that no guard is delayed. */
static const size_t sizes[] = { MB + MB / 2, 2 * MB - 5000, 3 * MB, 11 * MB, 32 * MB - 10000, 32 * MB + 1,
				40 * MB, 66 * MB + 1 };
enum { SIZES = sizeof sizes / sizeof *sizes };

static void fresh(void *arg)
{
	size_t i;

	(void)arg;
	for (i = 0; i < SIZES; i++)
		check((char *)malloc(sizes[i]), sizes[i], true);
}

static void used_again(void *arg)
{
	char *p[SIZES], *all;
	size_t i, round;

	(void)arg;
	for (round = 0; round < 3; round++) {
		for (i = 0; i < SIZES; i++)
			check(p[i] = (char *)malloc(sizes[i]), sizes[i], true);
		for (i = 0; i < SIZES; i++)
			free(p[i]);
		/* The freed ranges are joined now. */
		check(all = (char *)malloc(17 * MB), 17 * MB, true);
		free(all);
	}
}

/* Adjacent blocks are freed, more than one range can store pits for. */
static void many_side_by_side(void *arg)
{
	enum { N = 100, BIG = 8 };
	static char *p[N], *big[BIG];
	size_t i;

	(void)arg;
	for (i = 0; i < N; i++)
		p[i] = (char *)malloc(3 * MB);
	for (i = 0; i < N; i++)
		free(p[i]);
	for (i = 0; i < BIG; i++)
		check(big[i] = (char *)malloc(31 * MB), 31 * MB, true);
	for (i = 0; i < BIG; i++)
		free(big[i]);
}

/* Every byte of small blocks in the place of guards. */
static void small(void *arg)
{
	enum { N = 12 };
	char *p[N];
	size_t i;

	(void)arg;
	for (i = 0; i < N; i++)
		check(p[i] = (char *)malloc(3 * MB), 3 * MB, true);
	for (i = 0; i < N; i++)
		free(p[i]);
	for (i = 0; i < 4 * N * MB / 1000; i++)
		fill(hide(malloc(1000)), 1000, i);
	for (i = 0; i < 4 * N * MB / (200 * KB); i++)
		fill(hide(malloc(200 * KB)), 200 * KB, i);
}

static void resized(void *arg)
{
	static const size_t to[] = { 3 * MB + 5, 4 * MB - 1, 4 * MB, 5 * MB, 9 * MB, 6 * MB + 1, 2 * MB + 1,
				     31 * MB, 33 * MB, 50 * MB, 90 * MB, 40 * MB, 3 * MB };
	size_t size = 2 * MB + 100, i;
	char *p = (char *)malloc(size), *beside = (char *)malloc(3 * MB);

	(void)arg;
	fill(p, size, 1);
	free(beside);
	for (i = 0; i < sizeof to / sizeof *to; i++) {
		p = (char *)hide(realloc(hide(p), to[i]));
		if (!p || !filled(p, (size < to[i] ? size : to[i]) / 8 * 8, 1))
			fail("realloc to %zu bytes", to[i]);
		check(p, to[i], to[i] > 32 * MB || -to[i] % (2 * MB) >= page);
		fill(p, size = to[i], 1);
	}
	free(p);
}

/* Blocks of all kinds; every page is touched. */
static void mixed(uint64_t seed, unsigned long rounds)
{
	enum { BLOCKS = 12 };
	char *p[BLOCKS] = { NULL };
	size_t size, usable, i;

	while (rounds--) {
		i = random_below(&seed, BLOCKS);
		size = MB + random_below(&seed, 16) * MB / 2 + random_below(&seed, 3) * (page - 1);
		if (random_below(&seed, 20) == 0)
			size += 30 * MB;
		if (random_below(&seed, 3)) {
			p[i] = (char *)hide(realloc(hide(p[i]), size));
		} else {
			free(p[i]);
			p[i] = (char *)hide(calloc(1, size));
		}
		usable = malloc_usable_size(p[i]);
		if (!p[i] || usable < size)
			fail("%zu of %zu bytes", usable, size);
		for (size = 0; size < usable; size += page)
			p[i][size] = 1;
		p[i][usable - 1] = 1;
	}
	for (i = 0; i < BLOCKS; i++)
		free(p[i]);
}

static void *mixer(void *arg)
{
	mixed(*(uint64_t *)arg, tap_rounds(300));
	return NULL;
}

static void mixed_by_threads(void *arg)
{
	seeded_threads(3, mixer, *(uint64_t *)arg);
}

static void forked(void *arg)
{
	char *p = (char *)malloc(3 * MB), *freed = (char *)malloc(5 * MB);
	pid_t pid;
	int status;

	free(freed);
	pid = fork();
	if (pid == 0) {
		check(p, 3 * MB, true);
		mixed(*(uint64_t *)arg, 100);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		fail("the child failed: %d", status);
	check(p, 3 * MB, true);
}

static void overflow(void *arg)
{
	char *p = (char *)malloc(*(size_t *)arg);

	signal(SIGSEGV, SIG_DFL);
	memset(hide(p), 1, malloc_usable_size(p) + 1);
}

static size_t mappings(void)
{
	char text[4096];
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t lines = 0;
	ssize_t n, i;

	while ((n = read(fd, text, sizeof text)) > 0)
		for (i = 0; i < n; i++)
			lines += text[i] == '\n';
	close(fd);
	return lines;
}

/* The mappings that so many blocks add; sanitizers add more for each block. */
static size_t mappings_of(size_t size, size_t count, bool guarded)
{
	size_t before = mappings();

	while (count--)
		check((char *)malloc(size), size, guarded);
	return mappings() - before;
}

static void no_mapping_more(void *arg)
{
	enum { N = 200 };
	size_t without = mappings_of(4 * MB, N, false), with = mappings_of(3 * MB, N, true);

	(void)arg;
	if (with > without + N / 10)
		fail("%zu mappings for %d blocks, %zu without guards", with, N, without);
}

/* Refuses this advice, as an older kernel or a filter does. */
static void refuse(unsigned advice)
{
	if (!seccomp_advice(advice, SECCOMP_RET_ERRNO | EINVAL))
		fail("no filter");
}

static void none_from_the_start(void *arg)
{
	size_t i;

	refuse(GUARD_INSTALL);
	for (i = 0; i < SIZES; i++)
		check((char *)malloc(sizes[i]), sizes[i], false);
	mixed(*(uint64_t *)arg, tap_rounds(200));
}

static void not_removed(void *arg)
{
	char *p = (char *)malloc(3 * MB), *q = (char *)malloc(3 * MB);

	fill(p, 3 * MB, 1);
	fill(q, 3 * MB, 2);
	refuse(GUARD_REMOVE);
	p = (char *)hide(realloc(hide(p), 7 * MB));
	q = (char *)hide(realloc(hide(q), 4 * MB));
	if (!filled(p, 3 * MB, 1) || !filled(q, 3 * MB, 2))
		fail("a block is damaged");
	check(p, 7 * MB, false);
	check(q, 4 * MB, false);
	free(p);
	free(q);
	mixed(*(uint64_t *)arg, tap_rounds(200));
}

/* Locked memory cannot have a guard. */
static void locked(void *arg)
{
	char *p = (char *)malloc(3 * MB);

	if (mlock(hide(p), 3 * MB))
		fail("cannot lock: errno %d", errno);
	check(p, 3 * MB, true);
	p = (char *)hide(realloc(hide(p), 4 * MB));
	check(p, 4 * MB, false);
	p = (char *)hide(realloc(hide(p), 9 * MB));
	check(p, 9 * MB, false);
	free(p);
	check(p = (char *)malloc(11 * MB), 11 * MB, false);
	munlock(p, 11 * MB);
	mixed(*(uint64_t *)arg, tap_rounds(100));
	check((char *)malloc(40 * MB), 40 * MB, true);
}

static bool kernel_has_guards(void)
{
	char *p = (char *)mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	bool has = p != MAP_FAILED && madvise(p, page, GUARD_INSTALL) == 0 && !accessible(p);

	munmap(p, 4 * page);
	return has;
}

struct test {
	const char *name;
	void (*body)(void *);
};

static void run(const struct test *test, size_t count, const char *why_not, uint64_t seed)
{
	size_t i;

	for (i = 0; i < count; i++)
		if (why_not)
			skip(test[i].name, why_not);
		else
			child_ok(test[i].body, &seed, 120, test[i].name);
}

int main(void)
{
	static const struct test with[] = {
		{ "fresh blocks end at a guard", fresh },
		{ "blocks whose memory was used before", used_again },
		{ "many that were freed side by side", many_side_by_side },
		{ "small blocks where guards were", small },
		{ "blocks that realloc resized", resized },
		{ "parent and child after a fork", forked },
		{ "guards take no mappings", no_mapping_more },
		{ "guards that cannot be removed", not_removed },
		{ "locked memory", locked },
	};
	static const struct test always[] = {
		{ "every page can be used, by several threads", mixed_by_threads },
		{ "without guards", none_from_the_start },
	};
	static size_t lengths[] = { 3 * MB, 40 * MB };
	const char *why_not = NULL;
	char name[64];
	uint64_t seed;
	struct child c;
	size_t i;

	tap_start();
	seed = tap_seed();
	page = (size_t)sysconf(_SC_PAGESIZE);
	if (pipe2(ends, O_CLOEXEC))
		bail("no pipe");
	if (!kernel_has_guards())
		why_not = "the kernel has no MADV_GUARD_INSTALL";
	run(with, sizeof with / sizeof *with, why_not, seed);
	run(always, 1, NULL, seed);
	run(always + 1, 1, emulator() ? "the emulator knows no filters" : NULL, seed);
	for (i = 0; i < 2; i++) {
		snprintf(name, sizeof name, "an overflow of %zu MiB ends the program", lengths[i] / MB);
		if (why_not) {
			skip(name, why_not);
			continue;
		}
		c = child_run(overflow, &lengths[i], 60);
		if (!ok(WIFSIGNALED(c.status) && WTERMSIG(c.status) == SIGSEGV, "%s", name))
			child_diag(&c);
	}
	return tap_end();
}
