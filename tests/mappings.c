/*
 * The address space at its limits: mappings that may not be split, Huge blocks
 * that must move, and moves beside other threads'.
 */
#include "calls.h"
#include "heap.h"

#include <pthread.h>

static size_t number_in(const char *path)
{
	char text[32];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return 0;
	text[n] = 0;
	return strtoul(text, NULL, 10);
}

/* Takes every mapping that the kernel allows but `left`; returns the region. */
static char *take_mappings(size_t size, size_t left)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), i;
	char *p = (char *)mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			       -1, 0);

	if (p == MAP_FAILED)
		fail("cannot map");
	for (i = page; i < size; i += 2 * page)
		if (mprotect(p + i, page, PROT_READ))
			break;
	if (i >= size || errno != ENOMEM)
		fail("mappings do not run out: errno %d", errno);
	for (; left; left -= 2) {
		i -= 2 * page;
		mprotect(p + i, page, PROT_NONE);
	}
	return p;
}

/* left: how many mappings remain, 0 being the hardest. */
static void mappings(void *arg)
{
	enum { LARGE = 60, MID = 400, SMALL = 200000 };
	static char *large[LARGE], *mid[MID], *small[SMALL];
	size_t most = number_in("/proc/sys/vm/max_map_count");
	size_t size = (most + 64) * (size_t)sysconf(_SC_PAGESIZE), before, held;
	char *huge = (char *)malloc(50 * MB), *region;
	size_t i;

	for (i = 0; i < LARGE; i++)
		fill(large[i] = (char *)malloc(4 * MB), 4 * MB, i);
	for (i = 0; i < MID; i++)
		fill(mid[i] = (char *)malloc(300 * KB), 300 * KB, i);
	for (i = 0; i < SMALL; i++)
		fill(small[i] = (char *)malloc(200), 200, i);
	before = address_space();
	region = take_mappings(size, *(size_t *)arg);
	for (i = 0; i < LARGE; i += 2)
		free(large[i]);
	for (i = 0; i < MID; i += 2)
		free(mid[i]);
	for (i = 0; i < SMALL; i++)
		if (i / 20000 % 2)
			free(small[i]);
	malloc_trim(0);
	huge = (char *)realloc(huge, 35 * MB);
	free(huge);
	for (i = 1; i < LARGE; i += 2)
		if (!filled(large[i], 4 * MB, i))
			fail("Large block %zu is damaged", i);
	for (i = 1; i < MID; i += 2)
		if (!filled(mid[i], 300 * KB, i))
			fail("Mid block %zu is damaged", i);
	for (i = 0; i < SMALL; i++)
		if (!(i / 20000 % 2) && !filled(small[i], 200, i))
			fail("small block %zu is damaged", i);
	for (i = 0; i < MID; i += 2) {
		mid[i] = (char *)calloc(1, 300 * KB);
		if (!mid[i] || !all_zero(mid[i], 300 * KB))
			fail("what was freed is not given out again, zeroed");
	}
	munmap(region, size);
	for (i = 1; i < LARGE; i += 2)
		free(large[i]);
	for (i = 0; i < MID; i++)
		free(mid[i]);
	for (i = 0; i < SMALL; i++)
		if (!(i / 20000 % 2))
			free(small[i]);
	malloc_trim(0);
	held = address_space() + LARGE * 4 * MB + MID * 300 * KB + 50 * MB;
	if (held > before + 32 * MB)
		fail("%zu KiB of address space are lost", (held - before) / KB);
}

/*
 * Blocks that move by mremap while others come and go: an address that one
 * gives up may be the next one's at once.
 */
static void *mover(void *arg)
{
	uint64_t state = *(uint64_t *)arg;
	unsigned long round, rounds = tap_rounds(mapping_rounds(4000));

	for (round = 0; round < rounds; round++) {
		char *p = (char *)malloc(2 * MB + random_below(&state, 4 * MB)), *q;

		p[0] = (char)round;
		q = (char *)realloc(p, 33 * MB + random_below(&state, 40 * MB));
		if (!q || q[0] != (char)round)
			fail("the block did not come along");
		free(q);
	}
	return NULL;
}

static void movers(void *arg)
{
	seeded_threads(4, mover, *(uint64_t *)arg);
}

/* A Huge block that cannot grow stays as it is. */
static void huge_stays(void *arg)
{
	char *p = (char *)malloc(40 * MB);

	(void)arg;
	fill(p, 40 * MB, 3);
	limit(RLIMIT_AS, 8 * MB);
	errno = 0;
	if (hide(realloc(hide(p), 60 * MB)) || errno != ENOMEM)
		fail("realloc: errno %d", errno);
	if (!filled(p, 40 * MB, 3) || malloc_usable_size(p) < 40 * MB)
		fail("the block is damaged");
	p = (char *)realloc(p, 36 * MB);
	if (!p || !filled(p, 36 * MB / 8 * 8, 3))
		fail("it does not shrink");
	free(p);
	free(p = (char *)malloc(30 * MB));
	if (!p)
		fail("its memory was not released");
}

/* One that must move takes no more than the difference, as strict overcommit
 * would count it. */
static void huge_grows(void *arg)
{
	char *p = (char *)malloc(40 * MB), *q, *end;

	(void)arg;
	fill(p, 40 * MB, 3);
	/* A guard may be there. */
	end = p + malloc_usable_size(p);
	mmap(end, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mmap(end + sysconf(_SC_PAGESIZE), 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	limit(RLIMIT_DATA, 30 * MB);
	q = (char *)realloc(p, 60 * MB);
	if (!q)
		fail("20 of 30 MiB were refused");
	if (q == p)
		fail("the block could grow in place");
	if (!filled(q, 40 * MB, 3) || !all_zero(q + 40 * MB, 20 * MB))
		fail("the block is damaged");
	free(q);
}

/* The kernel unmaps the target before it refuses, so another thread may have mapped memory there. */
static void move_refused(void *arg)
{
	char *p = (char *)malloc(40 * MB);

	(void)arg;
	fill(p, 40 * MB, 3);
	calls_start();
	limit(RLIMIT_DATA, 8 * MB);
	if (hide(realloc(hide(p), 60 * MB)) || !filled(p, 40 * MB, 3))
		fail("the block is damaged");
	if (!calls_seen->target)
		fail("no block was to be moved");
	if (calls_seen->target_unmaps)
		fail("the target is unmapped");
}

int main(void)
{
	size_t most = number_in("/proc/sys/vm/max_map_count"), left;
	uint64_t seed;
	char name[128];

	tap_start();
	if (tap_hardened("with HAKMEM_HARDEN guards take mappings, and room to grow"))
		return tap_end();
	seed = tap_seed();
	if (!emulator_fails(LACK_RLIMIT, "a Huge block that cannot grow stays"))
		child_ok(huge_stays, NULL, 120, "a Huge block that cannot grow stays");
	child_ok(huge_grows, NULL, 120, "a Huge block that moves takes the difference");
	child_counted(move_refused, NULL, 120, "a move that the kernel refuses leaves the target alone");
	if (most > 0 && most <= 1 << 20) {
		for (left = 0; left <= 8; left += 4) {
			snprintf(name, sizeof name, "with all but %zu mappings in use", left);
			child_ok(mappings, &left, 120, name);
		}
	} else {
		skip("with all mappings in use", "vm.max_map_count is too large");
	}
	child_ok(movers, &seed, 120, "blocks that move do not disturb others");
	return tap_end();
}
