/*
 * Out of memory: under limits, from all kinds of blocks, NULL and ENOMEM with
 * the heap intact, and everything works again once memory was freed.
 */
#include "child.h"
#include "heap.h"

#include <pthread.h>
#include <stdatomic.h>

/* In a child: why the case fails. */
TAP_FORMAT(1) __attribute__((noreturn)) static void fail(const char *format, ...)
{
	char line[256];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof line, format, args);
	va_end(args);
	if (write(STDERR_FILENO, line, (size_t)n) != n)
		_exit(2);
	_exit(1);
}

/* The process may grow by so much from here. */
static void limit(int resource, size_t more)
{
	struct rlimit l;

	l.rlim_cur = l.rlim_max = statm(resource == RLIMIT_AS ? 0 : 5) + more;
	if (setrlimit((__rlimit_resource_t)resource, &l))
		fail("setrlimit: errno %d", errno);
}

/* Filled blocks of one size, each linked to the one before. */
struct block {
	struct block *below;
	char rest[];
};

struct heap {
	struct block *top;
	size_t size, count;
};

static bool add(struct heap *h)
{
	struct block *p = (struct block *)malloc(h->size);

	if (!p)
		return false;
	p->below = h->top;
	fill(p->rest, h->size - sizeof *p, h->count++);
	h->top = p;
	return true;
}

static void verify(const struct heap *h, const char *when)
{
	const struct block *p;
	size_t n = h->count;

	for (p = h->top; p; p = p->below)
		if (!filled(p->rest, h->size - sizeof *p, --n))
			fail("block %zu of %zu bytes is damaged %s", n, h->size, when);
}

static void drop(struct heap *h)
{
	while (h->top) {
		struct block *p = h->top;

		h->top = p->below;
		free(p);
	}
	h->count = 0;
}

static void fill_up(struct heap *h)
{
	errno = 0;
	while (add(h))
		;
	if (errno != ENOMEM)
		fail("errno %d after a failed malloc", errno);
}

static void must_be_null(void *p, const char *call)
{
	if (p)
		fail("%s got memory where there is none", call);
	if (errno != ENOMEM)
		fail("%s: errno %d", call, errno);
	errno = 0;
}

/* All the other ways to ask, for more than any rest can be. */
static void refused(struct heap *h)
{
	size_t more = h->size > 4 * MB ? h->size : 4 * MB;
	void *p = h;

	errno = 0;
	must_be_null(malloc(h->size), "malloc");
	must_be_null(calloc(1, h->size), "calloc");
	must_be_null(calloc(16, more / 16), "large calloc");
	must_be_null(realloc(h->top, more + 64 * MB), "realloc");
	must_be_null(reallocarray(h->top, 2, more + 32 * MB), "reallocarray");
	must_be_null(memalign(65536, more), "memalign");
	must_be_null(aligned_alloc(4 * MB, more), "aligned_alloc");
	must_be_null(valloc(more), "valloc");
	if (posix_memalign(&p, 4096, more) != ENOMEM || p != h)
		fail("posix_memalign did not refuse in its way");
	must_be_null(realloc(NULL, more), "realloc of NULL");
}

struct plan {
	int resource;
	size_t size, other;		/* what fills, what must fit afterwards */
};

static void exhaust(void *arg)
{
	const struct plan *plan = (const struct plan *)arg;
	struct heap h = { NULL, plan->size, 0 }, again = { NULL, plan->other, 0 };
	size_t bytes;
	int round;

	limit(plan->resource, 64 * MB);
	for (round = 0; round < 3; round++) {
		fill_up(&h);
		bytes = h.count * h.size;
		if (bytes < 36 * MB)
			fail("only %zu KiB fit in", bytes / KB);
		verify(&h, "when full");
		refused(&h);
		verify(&h, "after refusals");
		drop(&h);
		while (again.count * again.size + again.size <= 36 * MB)
			if (!add(&again))
				fail("round %d: %zu KiB of the other size fit", round,
				     again.count * again.size / KB);
		verify(&again, "of the other size");
		drop(&again);
	}
}

/* Several threads at once, sizes of all kinds, until each was refused often. */
enum { THREADS = 4 };
static pthread_barrier_t gate;

static void *crowd(void *arg)
{
	static const size_t sizes[] = { 16, 100, 2048, 5000, 30000, 100000, 1 * MB, 3 * MB, 20 * MB };
	enum { KINDS = sizeof sizes / sizeof *sizes };
	struct heap h[KINDS];
	uint64_t state = *(uint64_t *)arg;
	int round, i;

	memset(h, 0, sizeof h);
	for (i = 0; i < KINDS; i++)
		h[i].size = sizes[i];
	pthread_barrier_wait(&gate);
	for (round = 0; round < 300; round++) {
		size_t k = random_below(&state, KINDS);

		if (random_below(&state, 3)) {
			size_t n = random_below(&state, 4 * MB / h[k].size + 1);

			do {
				errno = 0;
				if (!add(&h[k]) && errno != ENOMEM)
					fail("errno %d", errno);
			} while (errno == 0 && n--);
		} else {
			verify(&h[k], "in a crowd");
			drop(&h[k]);
		}
	}
	for (i = 0; i < KINDS; i++) {
		verify(&h[i], "at the end of a crowd");
		drop(&h[i]);
	}
	return NULL;
}

static void start(pthread_t *id, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128 * KB);
	if (pthread_create(id, &attr, run, arg))
		fail("cannot start a thread");
	pthread_attr_destroy(&attr);
}

static void crowds(void *arg)
{
	uint64_t seed[THREADS];
	struct heap h = { NULL, 2 * MB, 0 };
	pthread_t id[THREADS];
	int i;

	pthread_barrier_init(&gate, NULL, THREADS + 1);
	for (i = 0; i < THREADS; i++) {
		seed[i] = *(uint64_t *)arg + (uint64_t)i;
		start(&id[i], crowd, &seed[i]);
	}
	limit(RLIMIT_AS, 64 * MB);
	pthread_barrier_wait(&gate);
	for (i = 0; i < THREADS; i++)
		pthread_join(id[i], NULL);
	while (h.count < 16)
		if (!add(&h))
			fail("only %zu MiB are left after all was freed", h.count * 2);
	verify(&h, "after the crowd");
}

/*
 * Threads whose first call comes when there is nothing: not even for their
 * caches, of which the last metadata holds a few.
 */
enum { LATE = 128 };
static _Atomic int late_refused;

static void *late(void *arg)
{
	void *p;

	pthread_barrier_wait(&gate);
	errno = 0;
	p = malloc(300);
	if (!p) {
		if (errno != ENOMEM)
			fail("late thread: errno %d", errno);
		atomic_fetch_add(&late_refused, 1);
	}
	free(p);
	must_be_null(malloc(8 * MB), "late thread's malloc");
	free(arg);
	return NULL;
}

static void late_threads(void *arg)
{
	struct heap h = { NULL, 200, 0 }, big = { NULL, 8 * MB, 0 };
	static pthread_t id[LATE];
	void *p[LATE];
	int i;

	(void)arg;
	pthread_barrier_init(&gate, NULL, LATE + 1);
	for (i = 0; i < LATE; i++)
		fill(p[i] = malloc(1000), 1000, 7);
	for (i = 0; i < LATE; i++)
		start(&id[i], late, p[i]);
	limit(RLIMIT_AS, 32 * MB);
	fill_up(&h);
	while (mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
		;
	fill_up(&h);
	pthread_barrier_wait(&gate);
	for (i = 0; i < LATE; i++)
		pthread_join(id[i], NULL);
	if (atomic_load(&late_refused) < LATE / 2)
		fail("only %d late threads were refused", atomic_load(&late_refused));
	verify(&h, "after late threads");
	drop(&h);
	if (!add(&big) || !add(&big))
		fail("no room after all was freed");
}

/* A Huge block that cannot grow stays as it is. */
static void huge_stays(void *arg)
{
	char *p = (char *)malloc(40 * MB);

	(void)arg;
	fill(p, 40 * MB, 3);
	limit(RLIMIT_AS, 8 * MB);
	must_be_null(realloc(p, 60 * MB), "realloc");
	if (!filled(p, 40 * MB, 3) || malloc_usable_size(p) < 40 * MB)
		fail("the block is damaged");
	p = (char *)realloc(p, 36 * MB);
	if (!p || !filled(p, 36 * MB / 8 * 8, 3))
		fail("it does not shrink");
	free(p);
	free(p = (char *)malloc(30 * MB));
	if (!p)
		fail("its memory did not come back");
}

/* One that must move takes no more than the difference, as strict overcommit
 * would count it. */
static void huge_grows(void *arg)
{
	char *p = (char *)malloc(40 * MB), *q;

	(void)arg;
	fill(p, 40 * MB, 3);
	mmap(p + malloc_usable_size(p), 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
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
	unsigned long round, rounds = tap_rounds(4000);

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
	uint64_t seed[THREADS];
	pthread_t id[THREADS];
	int i;

	for (i = 0; i < THREADS; i++) {
		seed[i] = *(uint64_t *)arg + (uint64_t)i;
		start(&id[i], mover, &seed[i]);
	}
	for (i = 0; i < THREADS; i++)
		pthread_join(id[i], NULL);
}

/* What strict overcommit would refuse: nothing big is mapped in advance. */
static size_t reserved(void)
{
	static char text[65536];
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t length = 0, sum = 0;
	ssize_t n;
	char *line;

	while ((n = read(fd, text + length, sizeof text - 1 - length)) > 0)
		length += (size_t)n;
	close(fd);
	for (line = text; *line; line += strcspn(line, "\n") + 1) {
		size_t from = strtoul(line, &line, 16), to = strtoul(line + 1, &line, 16);

		/* Anonymous: inode 0 and no name. */
		if (line[strcspn(line, "/[\n")] == '\n')
			sum += to - from;
	}
	return sum;
}

int main(void)
{
	static const size_t sizes[] = { 16, 200, 2000, 9000, 32768, 70000, 900000, 2 * MB, 7 * MB,
					40 * MB };
	enum { KINDS = sizeof sizes / sizeof *sizes };
	static const char *const names[] = { "RLIMIT_AS", "RLIMIT_DATA" };
	static const int resources[] = { RLIMIT_AS, RLIMIT_DATA };
	size_t most = number_in("/proc/sys/vm/max_map_count"), left, i, r;
	struct plan plan;
	uint64_t seed;
	char name[128];

	tap_start();
	seed = tap_seed();
	ok(reserved() < 8 * MB, "no large reservation of memory at the start");
	for (r = 0; r < 2; r++) {
		plan.resource = resources[r];
		for (i = 0; i < KINDS; i++) {
			plan.size = sizes[i];
			plan.other = sizes[(i + KINDS / 2) % KINDS];
			if (plan.other == 40 * MB)
				plan.other = 33 * MB;
			snprintf(name, sizeof name, "%s: exhausted by %zu bytes, then %zu bytes fit",
				 names[r], plan.size, plan.other);
			child_ok(exhaust, &plan, 120, name);
		}
	}
	child_ok(crowds, &seed, 120, "four threads out of memory at once");
	child_ok(late_threads, NULL, 120, "threads that start when there is no memory");
	child_ok(huge_stays, NULL, 120, "a Huge block that cannot grow stays");
	child_ok(huge_grows, NULL, 120, "a Huge block that moves takes the difference");
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
