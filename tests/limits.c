/*
 * Out of memory: under limits, from all kinds of blocks, NULL and ENOMEM with
 * the heap intact, and everything works again once memory was freed.
 */
#include "child.h"
#include "heap.h"

#include <pthread.h>
#include <stdatomic.h>

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

/* hide: a compiler may drop a malloc of which only this is asked, and say no. */
static void must_be_null(void *p, const char *call)
{
	if (hide(p))
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

/* Blocks of any size can use most of the address space, because they are rounded up less when it
 * is short. The blocks are not filled. */
enum { SPACE = 200 * MB };

static size_t take_space(size_t size)
{
	struct heap h = { NULL, size, 0 };
	struct block *p;
	size_t bytes;

	while ((p = (struct block *)malloc(size)) != NULL) {
		p->below = h.top;
		h.top = p;
		h.count++;
	}
	bytes = h.count * size;
	drop(&h);
	return bytes;
}

/* Little of a slab is left over, and metadata reserves little address space. */
static void nearly_all(void *arg)
{
	size_t size = *(size_t *)arg, bytes;

	limit(RLIMIT_AS, SPACE);
	bytes = take_space(size);
	if (bytes < SPACE / 100 * 93)
		fail("%zu KiB in blocks of %zu bytes", bytes / KB, size);
}

static void most_of_it(void *arg)
{
	static const size_t other[] = { 1000, 33000, 300000, 1100 * 1000, 3 * 1000 * 1000 };
	size_t size = *(size_t *)arg, bytes, i;

	limit(RLIMIT_AS, SPACE);
	for (i = 0; i <= sizeof other / sizeof *other; i++) {
		bytes = take_space(size);
		if (bytes < SPACE / 10 * 8)
			fail("%zu KiB in blocks of %zu bytes, in round %zu", bytes / KB, size, i);
		if (i < sizeof other / sizeof *other)
			size = other[i];
	}
}

/* Several threads at once, sizes of all kinds, until each was refused often. */
enum { THREADS = 4 };
static pthread_barrier_t gate;

static void *crowd(void *arg)
{
	static const size_t sizes[] = { 16, 100, 2048, 5000, 30000, 33000, 100000, 300000, 1 * MB, 3 * MB, 20 * MB };
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
	p = hide(malloc(300));
	if (!p) {
		if (errno != ENOMEM)
			fail("late thread: errno %d", errno);
		atomic_fetch_add(&late_refused, 1);
	}
	must_be_null(malloc(8 * MB), "late thread's malloc");
	/* What one thread frees could serve another one. */
	pthread_barrier_wait(&gate);
	free(p);
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

/* Small blocks with an alignment, of every kind of memory down to the last. */
static void aligned_to_the_end(void *arg)
{
	static const size_t sizes[] = { 1, 40, 100, 1000, 5000 };
	struct heap h = { NULL, 1 * MB, 0 };
	size_t align, i, count = 0;
	void *p;

	(void)arg;
	limit(RLIMIT_DATA, 32 * MB);
	fill_up(&h);
	for (align = 32; align <= 16 * KB; align *= 2)
		for (i = 0; i < 50; i++) {
			p = hide(memalign(align, sizes[i % 5]));
			if ((uintptr_t)p & (align - 1))
				fail("memalign(%zu, %zu) gave %p", align, sizes[i % 5], p);
			count += p != NULL;
			if (p)
				memset(p, 1, sizes[i % 5]);
		}
	if (!count)
		fail("there was nothing left from the start");
}

/* The memory that counts under strict overcommit: nothing big is mapped in advance, except
 * address space without access. */
static size_t reserved(void)
{
	static char text[65536];
	size_t sum = 0;
	char *line;

	tap_read("/proc/self/maps", text, sizeof text);
	for (line = text; *line; line += strcspn(line, "\n") + 1) {
		size_t from = strtoul(line, &line, 16), to = strtoul(line + 1, &line, 16);

		/* Anonymous: inode 0 and no name. */
		if (line[1] != '-' && line[strcspn(line, "/[\n")] == '\n')
			sum += to - from;
	}
	return sum;
}

int main(void)
{
	static const size_t sizes[] = { 16, 200, 2000, 9000, 32768, 70000, 900000, 2 * MB, 7 * MB,
					40 * MB };
	enum { KINDS = sizeof sizes / sizeof *sizes };
	static const size_t wide[] = { 33000, 70000, 300000, 700000, 1100 * 1000, 3 * 1000 * 1000 };
	static const size_t odd[] = { 1280, 2560, 3072, 5000, 10240 };
	static const char *const names[] = { "RLIMIT_AS", "RLIMIT_DATA" };
	static const int resources[] = { RLIMIT_AS, RLIMIT_DATA };
	size_t i, r;
	struct plan plan;
	uint64_t seed;
	char name[128];

	tap_start();
	if (tap_hardened("with HAKMEM_HARDEN blocks are larger than what is counted here"))
		return tap_end();
	seed = tap_seed();
	ok(reserved() < 8 * MB, "no large reservation of memory at the start");
	if (emulator_fails(LACK_RLIMIT, "out of memory"))
		return tap_end();
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
	for (i = 0; i < sizeof wide / sizeof *wide; i++) {
		snprintf(name, sizeof name, "blocks of %zu bytes get most of the address space", wide[i]);
		child_ok(most_of_it, (void *)&wide[i], 120, name);
	}
	for (i = 0; i < sizeof odd / sizeof *odd; i++) {
		snprintf(name, sizeof name, "blocks of %zu bytes get nearly all of it", odd[i]);
		child_ok(nearly_all, (void *)&odd[i], 120, name);
	}
	child_ok(crowds, &seed, 120, "four threads out of memory at once");
	child_ok(aligned_to_the_end, NULL, 120, "what is left is aligned as it was asked for");
	child_ok(late_threads, NULL, 120, "threads that start when there is no memory");
	return tap_end();
}
