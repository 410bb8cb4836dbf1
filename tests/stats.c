/*
 * The statistics: sums that add up and agree with what the kernel says, and
 * figures that follow what the program does. With an argument it writes what
 * tests/reports.sh reads:
 *
 *	stats json, stats xml	many reports while threads allocate
 *	stats dump, stats fork	a dump on demand; one in a child too
 */
#include "heap.h"

#include <errno.h>
#include <hakmem/hakmem.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>

static struct hak_stats now(void)
{
	struct hak_stats s;

	hak_stats_get(&s, sizeof s);
	return s;
}

/* What the SuperSlabs, the blocks and the store hold. Memory that passes from one to another
 * without a lock belongs to none of them, and counts as free. */
static size_t held(const struct hak_stats *s)
{
	return s->superslabs * (2 * MB) + s->large_bytes + s->kept_bytes + s->metadata;
}

static bool adds_up(const struct hak_stats *s, bool quiet)
{
	bool good = s->mapped == s->in_use + s->cached + s->free_bytes + s->metadata &&
		    s->in_use == s->slab_bytes + s->mid_bytes + s->large_bytes &&
		    s->free_bytes <= s->mapped && s->free_bytes >= s->kept_bytes &&
		    s->mapped_peak >= s->mapped && s->superslabs_peak >= s->superslabs &&
		    s->superslabs == s->superslabs_mapped - s->superslabs_unmapped &&
		    (quiet ? s->mapped == held(s) : s->mapped >= held(s));

	if (!good)
		diag("mapped %zu in_use %zu cached %zu free %zu metadata %zu superslabs %zu large %zu kept %zu",
		     s->mapped, s->in_use, s->cached, s->free_bytes, s->metadata, s->superslabs,
		     s->large_bytes, s->kept_bytes);
	return good;
}

enum { CLASSES = 46 };
static struct hak_class_stats class[CLASSES];

/* The sums over all classes of one moment. */
static bool classes_add_up(void)
{
	size_t n = hak_class_stats_get(class, sizeof *class, CLASSES), i, used = 0, cached = 0, blocks = 0;
	size_t reuse = 0;
	struct hak_stats s = now();

	for (i = 0; i < n; i++) {
		used += class[i].used * class[i].size;
		cached += class[i].cached * class[i].size;
		blocks += class[i].used;
		reuse += class[i].reuse;
	}
	return n == CLASSES && used == s.slab_bytes && cached == s.cached && blocks == s.slab_blocks &&
	       reuse == s.reuse;
}

static struct hak_class_stats class_of(size_t size)
{
	size_t i = 0;

	hak_class_stats_get(class, sizeof *class, CLASSES);
	while (class[i].size < size)
		i++;
	return class[i];
}

static void blocks_of_each_kind(void)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t usable, bytes;
	struct hak_stats a = now(), b;
	void *tiny = hide(malloc(100)), *mid, *large, *huge;

	b = now();
	ok(b.slab_blocks == a.slab_blocks + 1 && b.slab_bytes == a.slab_bytes + malloc_usable_size(tiny),
	   "a block of 100 bytes");
	a = b;
	mid = hide(malloc(100 * KB));
	b = now();
	ok(b.mid_blocks == a.mid_blocks + 1 && b.mid_bytes == a.mid_bytes + malloc_usable_size(mid), "of 100 KiB");
	a = b;
	large = hide(malloc(5 * MB));
	b = now();
	bytes = b.large_bytes - a.large_bytes;
	usable = malloc_usable_size(large);
	ok(b.large_blocks == a.large_blocks + 1 && usable <= bytes && bytes <= usable + page, "of 5 MiB");
	a = b;
	huge = hide(malloc(100 * MB));
	b = now();
	ok(b.large_blocks == a.large_blocks + 1 && b.mapped >= a.mapped + 100 * MB && adds_up(&b, true), "of 100 MiB");
	a = b;
	huge = hide(realloc(huge, 200 * MB));
	b = now();
	ok(b.large_blocks == a.large_blocks && b.large_bytes == a.large_bytes + 100 * MB && adds_up(&b, true),
	   "and grown to 200 MiB");
	a = b;
	free(huge);
	b = now();
	ok(a.mapped - b.mapped >= 200 * MB && a.mapped - b.mapped <= 200 * MB + page &&
	   b.mapped_peak >= a.mapped && adds_up(&b, true), "its end leaves the peak");
	a = b;
	free(large);
	b = now();
	ok(b.large_blocks == a.large_blocks - 1 && b.kept_blocks == a.kept_blocks + 1 &&
	   b.free_bytes == a.free_bytes + 6 * MB && adds_up(&b, true), "a freed Large block is kept, and free");
	malloc_trim(0);
	ok(now().kept_blocks == 0 && now().kept_bytes == 0, "until malloc_trim");
	free(mid);
	free(tiny);
	a = now();
	ok(a.mid_blocks == 0 && adds_up(&a, true), "all of them freed");
}

/* What the library says it mapped is what the kernel sees. */
static void against_the_kernel(void)
{
	enum { N = 4000 };
	static void *p[N];
	struct hak_stats a = now(), b;
	size_t before = writable_space(), i, step;
	bool good = true;

	for (step = 0; step < 4; step++) {
		for (i = 0; i < N; i++)
			p[i] = hide(malloc(i % 40 == 39 ? 100 * KB : i * 7));
		p[0] = hide(realloc(p[0], 70 * MB * (step + 1)));
		b = now();
		good &= writable_space() - before == b.mapped - a.mapped && adds_up(&b, true) && classes_add_up();
		for (i = 0; i < N; i++)
			free(p[i]);
		malloc_trim(0);
		b = now();
		good &= writable_space() - before == b.mapped - a.mapped && adds_up(&b, true) && classes_add_up();
	}
	ok(good, "mapped bytes follow the size of the process, and all sums hold");
	if (!good)
		diag("process %zu, mapped %zu", writable_space() - before, b.mapped - a.mapped);
}

static void stages(void)
{
	enum { N = 3000 };
	static void *p[N];
	struct hak_class_stats before = class_of(3000), after;
	struct hak_stats a = now(), b;
	size_t i;

	for (i = 0; i < N; i++)
		p[i] = hide(malloc(3000));
	after = class_of(3000);
	b = now();
	ok(after.grow > before.grow && after.claim > before.claim &&
	   b.grow - a.grow == after.grow - before.grow && b.claim - a.claim == after.claim - before.claim,
	   "stages 2 and 3 are counted, by class and in all");
	ok(after.used == before.used + N && after.slabs > before.slabs && after.refills > before.refills &&
	   after.used + after.cached + after.free_blocks >= N, "blocks, slabs and refills of the class");
	for (i = 0; i < N; i++)
		free(p[i]);
	before = class_of(3000);
	ok(before.used == after.used - N && before.flushes > after.flushes, "freed ones are not in use, lists were flushed");
	for (i = 0; i < N; i++)
		p[i] = hide(malloc(3000));
	after = class_of(3000);
	ok(after.reuse > before.reuse, "stage 1 is counted");
	ok(after.filled >= 2 * N && after.flushed > 0 && after.slabs_peak >= after.slabs,
	   "HAKMEM_STATS=1 keeps the history of the class");
	for (i = 0; i < N; i++)
		free(p[i]);
	a = now();
	p[0] = hide(malloc(200 * KB));
	b = now();
	ok(b.claim + b.grow == a.claim + a.grow + 1, "Mid blocks count in stages 2 and 3");
	free(p[0]);
}

/* Structures of other versions, smaller and larger. */
static void other_sizes(void)
{
	struct { struct hak_stats s; size_t more[4]; } big;
	struct hak_class_stats two[3];
	struct hak_stats s;
	bool good = true;
	size_t i;

	memset(&s, 0x55, sizeof s);
	ok(hak_stats_get(&s, offsetof(struct hak_stats, cached)) == sizeof s && s.mapped &&
	   s.in_use < s.mapped && s.cached == (size_t)0x5555555555555555u, "a shorter structure is not overrun");
	memset(&big, 0x55, sizeof big);
	hak_stats_get(&big.s, sizeof big);
	for (i = 0; i < 4; i++)
		good &= big.more[i] == 0;
	ok(good && adds_up(&big.s, true), "what a longer one has besides is 0");
	memset(two, 0x55, sizeof two);
	ok(hak_class_stats_get(two, sizeof *two, 2) == CLASSES && two[1].size == 32 && two[1].group == 1 &&
	   two[2].size == (size_t)0x5555555555555555u, "an array of two classes");
	ok(hak_class_stats_get(NULL, sizeof *two, 0) == CLASSES, "none at all tells their number");
	errno = 12345;
	hak_stats_get(&s, sizeof s);
	ok(errno == 12345, "errno is preserved");
	ok(hak_stats_dump() == -1 && errno == 12345, "without HAKMEM_STATS_DUMP there is nothing to dump to");
}

static atomic_bool stop;

static void *churn(void *arg)
{
	enum { N = 400 };
	static _Atomic(void *) shared[N];
	uint64_t random = (uintptr_t)arg;
	size_t i;

	while (!stop) {
		void *p = malloc(random_size(&random, 200 * KB));

		/* Most are freed by another thread than this. */
		free(atomic_exchange(&shared[random_below(&random, N)], p));
	}
	for (i = 0; i < N; i++)
		free(atomic_exchange(&shared[i], NULL));
	return NULL;
}

enum { CREW = 3 };
static pthread_t crew[CREW];

static void start_crew(void)
{
	uintptr_t i;

	for (i = 0; i < CREW; i++)
		if (pthread_create(&crew[i], NULL, churn, (void *)(i + 1)) != 0)
			bail("no thread");
}

static void stop_crew(void)
{
	int i;

	stop = true;
	for (i = 0; i < CREW; i++)
		pthread_join(crew[i], NULL);
}

/* mallinfo is out of date, and there all the same. */
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static void mallinfos(void)
{
	struct mallinfo2 m = mallinfo2();
	struct mallinfo i = mallinfo();
	struct hak_stats s = now();
	volatile size_t beyond = 3 * GB;	/* more than PTRDIFF_MAX of 32 bits */
	void *p = hide(malloc(beyond));

	ok(m.arena == m.uordblks + m.fordblks && m.arena + m.hblkhd == s.mapped - s.metadata &&
	   m.fsmblks <= m.fordblks && m.keepcost <= m.fordblks, "mallinfo2 adds up");
	ok(m.uordblks + m.hblkhd == s.in_use && m.fsmblks == s.cached && m.hblks == s.large_blocks &&
	   (m.smblks != 0) == (m.fsmblks != 0) && m.ordblks > 0, "and agrees with the statistics");
	ok((size_t)i.arena == m.arena && (size_t)i.uordblks == m.uordblks && (size_t)i.fordblks == m.fordblks,
	   "mallinfo says the same");
	if (p)
		ok(mallinfo().hblkhd == INT32_MAX && mallinfo2().hblkhd >= 3 * GB, "what an int cannot hold is cut");
	else
		skip("what an int cannot hold is cut", "no 3 GiB");
	free(p);
	errno = 0;
	ok(malloc_info(1, stdout) == EINVAL && errno == 0, "malloc_info has no options: EINVAL, as from glibc's");
}

static void to_stdout(void *arg, const char *text, size_t length)
{
	free(hide(malloc(length)));	/* it may */
	tap_write(text, length);
	(void)arg;
}

static int show(const char *path)
{
	char text[512];
	int fd = open(path, O_RDONLY);
	ssize_t n;

	while ((n = read(fd, text, sizeof text)) > 0)
		tap_write(text, (size_t)n);
	return n < 0;
}

/* Threads may have a stack of 16 KiB, and handlers, which may call exit, one of 8 KiB. */
enum { STACK = 256 * 1024, UNUSED = 0xa5 };

static char of_reports[64];
static struct hak_class_stats class_stats[100];

static void ask_nothing(void)
{
}

static void ask_mallinfo2(void)
{
	mallinfo2();
}

static void ask_malloc_stats(void)
{
	malloc_stats();
}

static void ask_stats(void)
{
	struct hak_stats all;

	hak_stats_get(&all, sizeof all);
	hak_class_stats_get(class_stats, sizeof *class_stats, sizeof class_stats / sizeof *class_stats);
}

static void ignore(void *argument, const char *text, size_t length)
{
	(void)argument;
	(void)text;
	(void)length;
}

static void ask_json(void)
{
	hak_stats_json(ignore, NULL);
}

static void ask_dump(void)
{
	if (hak_stats_dump() != 0)
		_exit(96);
}

static void ask_learned(void)
{
	if (hak_learn_save() != 0)
		_exit(96);
}

static void ask_profile(void)
{
	if (hak_profile_dump(of_reports) != 0)
		_exit(96);
}

static void *ask(void *function)
{
	(*(void (**)(void))function)();
	return NULL;
}

static size_t stack_of(void (*function)(void))
{
	unsigned char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pthread_attr_t attr;
	pthread_t id;
	size_t i;

	if (stack == MAP_FAILED)
		_exit(97);
	memset(stack, UNUSED, STACK);
	pthread_attr_init(&attr);
	pthread_attr_setstack(&attr, stack, STACK);
	if (pthread_create(&id, &attr, ask, &function) != 0)
		_exit(97);
	pthread_join(id, NULL);
	for (i = 0; i < STACK && stack[i] == UNUSED; i++)
		;
	munmap(stack, STACK);
	return STACK - i;
}

/* Prints how many bytes of the stack each function needs. */
static int stacks(void)
{
	static const struct {
		const char *name;
		void (*function)(void);
	} calls[] = {
		{ "mallinfo2", ask_mallinfo2 }, { "malloc_stats", ask_malloc_stats }, { "hak_stats_get", ask_stats },
		{ "hak_stats_json", ask_json }, { "hak_stats_dump", ask_dump }, { "hak_learn_save", ask_learned },
		{ "hak_profile_dump", ask_profile },
	};
	size_t without = stack_of(ask_nothing);
	unsigned i;

	snprintf(of_reports, sizeof of_reports, "%s", getenv("HAKMEM_STATS_DUMP"));
	for (i = 0; i < sizeof calls / sizeof *calls; i++)
		printf("%s %zu\n", calls[i].name, stack_of(calls[i].function) - without);
	return 0;
}

static int report(const char *what)
{
	int i;

	if (!strcmp(what, "stacks"))
		return stacks();
	if (!strcmp(what, "dump"))
		return hak_stats_dump() == 0 ? show(getenv("HAKMEM_STATS_DUMP")) : 4;
	if (!strcmp(what, "fork")) {
		free(hide(malloc(100)));
		return fork() == 0 ? 0 : (wait(&i), i);
	}
	start_crew();
	for (i = 0; i < 100; i++)
		if (!strcmp(what, "json")) {
			hak_stats_json(to_stdout, NULL);
		} else if (malloc_info(0, stdout) != 0) {
			return 3;
		}
	stop_crew();
	return 0;
}

static void threaded(void)
{
	struct hak_stats s = now();
	bool good = true;
	long i;

	start_crew();
	for (i = 0; good && (i < 300 || (!s.remote_received && i < 1000000)); i++) {
		s = now();
		good = adds_up(&s, false);
		sched_yield();
	}
	ok(good, "the sums hold while threads allocate");
	stop_crew();
	ok(s.remote_sent > 0 && s.remote_received > 0, "blocks went from thread to thread");
	malloc_trim(0);
	ok(now().threads == 1 && classes_add_up(), "and at rest, with one thread left");
}

enum { PASSED = 4000, PASSED_SIZE = 200, PASSED_TRIES = 20 };

static void *free_passed(void *blocks)
{
	void **p = blocks;
	int i;

	for (i = 0; i < PASSED; i++)
		free(p[i]);
	return NULL;
}

static void allocate_passed(void **p)
{
	int i;

	for (i = 0; i < PASSED; i++)
		p[i] = hide(malloc(PASSED_SIZE));
}

/* The blocks that another thread freed are allocated again: how many came from slabs? */
static size_t filled_after_passing(void **p, size_t *refills)
{
	struct hak_class_stats before;
	pthread_t t;

	if (pthread_create(&t, NULL, free_passed, p) != 0)
		_exit(3);
	pthread_join(t, NULL);
	before = class_of(PASSED_SIZE);
	allocate_passed(p);
	*refills = class_of(PASSED_SIZE).refills - before.refills;
	return class_of(PASSED_SIZE).filled - before.filled;
}

/* More than once, because the scavenger may empty the mailbox first. */
static void passing(void)
{
	static void *p[PASSED];
	size_t filled = SIZE_MAX, refills = 0;
	int i;

	allocate_passed(p);
	for (i = 0; i < PASSED_TRIES && filled >= PASSED / 2; i++)
		filled = filled_after_passing(p, &refills);
	ok(filled < PASSED / 2, "blocks freed by another thread go into the list, not through slabs");
	ok(refills > 0, "which counts as refills");
	free_passed(p);
}

enum { IDLERS = 100, IDLE_BYTES = 4 * MB, IDLE_BLOCKS = 20000 };
static pthread_barrier_t idle_from, idle_until;
static bool declare_idle;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

/* Serves one request of mixed sizes while the other threads wait, and frees it all. */
static void *idler(void *argument)
{
	uint64_t random = (uint64_t)(uintptr_t)argument;
	void **block = mmap(NULL, IDLE_BLOCKS * sizeof *block, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t n = 0, size, bytes = 0;

	pthread_mutex_lock(&turn);
	for (; block != MAP_FAILED && n < IDLE_BLOCKS && bytes < IDLE_BYTES; bytes += size) {
		size = 16 + (size_t)random_below(&random, 16u << random_below(&random, 11));
		block[n++] = malloc(size);
	}
	while (n > 0)
		free(block[--n]);
	if (declare_idle) {
		errno = EDOM;
		hak_thread_idle();
		if (errno != EDOM)
			abort();
	}
	pthread_mutex_unlock(&turn);
	pthread_barrier_wait(&idle_from);
	pthread_barrier_wait(&idle_until);
	if (block != MAP_FAILED)
		munmap(block, IDLE_BLOCKS * sizeof *block);
	return NULL;
}

/* The statistics while all of them wait. */
static struct hak_stats with_idlers(void)
{
	pthread_t thread[IDLERS];
	struct hak_stats s;
	uintptr_t i;

	pthread_barrier_init(&idle_from, NULL, IDLERS + 1);
	pthread_barrier_init(&idle_until, NULL, IDLERS + 1);
	for (i = 0; i < IDLERS; i++)
		if (pthread_create(&thread[i], NULL, idler, (void *)(i + 1)))
			abort();
	pthread_barrier_wait(&idle_from);
	s = now();
	pthread_barrier_wait(&idle_until);
	for (i = 0; i < IDLERS; i++)
		pthread_join(thread[i], NULL);
	return s;
}

/* 32 MiB and a 32nd of the heap, and what each thread's lists start with. */
static void idle_threads(void)
{
	struct hak_stats before = now(), s = with_idlers();

	diag("%zu bytes cached of %zu mapped, before %zu", s.cached, s.mapped, before.mapped);
	ok(s.cached <= 32 * MB + s.mapped / 32 + IDLERS * 100 * KB,
	   "the lists of many threads together are bounded");
	ok(s.mapped - before.mapped <= IDLERS * 1000 * KB,
	   "they keep few slabs that are mostly free");
}

static void declared_idle(void)
{
	struct hak_stats before, s;

	malloc_trim(0);
	before = now();
	declare_idle = true;
	s = with_idlers();
	diag("%zu bytes cached of %zu mapped, before %zu", s.cached, s.mapped, before.mapped);
	ok(s.cached <= 400 * KB, "threads that declare that they are idle keep no block");
	ok(s.mapped - before.mapped <= 40 * MB, "and hardly any slab");
	ok(s.threads == before.threads + IDLERS, "but they keep their caches");
	hak_thread_idle();
	s = now();
	ok(s.cached <= 400 * KB, "nor does the main thread");
}

enum { FEW = 50 };
static void *of_thread[FEW];

/* Makes two calls and waits. */
static void *caller(void *block)
{
	*(void **)block = hide(malloc(40));
	free(hide(malloc(40)));
	pthread_barrier_wait(&idle_from);
	pthread_barrier_wait(&idle_until);
	return NULL;
}

static bool apart(void)
{
	size_t i, j;

	for (i = 0; i < FEW; i++)
		for (j = 0; j < i; j++)
			if ((uintptr_t)of_thread[i] / 64 == (uintptr_t)of_thread[j] / 64)
				return false;
	return true;
}

static void *of_many_calls(void *threads)
{
	get_own_cache();
	*(size_t *)threads = now().threads;
	return NULL;
}

static void in_thread(void *(*body)(void *), void *arg)
{
	pthread_t t;

	if (pthread_create(&t, NULL, body, arg))
		abort();
	pthread_join(t, NULL);
}

static void *free_all(void *arg)
{
	size_t i;

	get_own_cache();
	for (i = 0; i < FEW; i++)
		free(of_thread[i]);
	return arg;
}

static void few_calls(void)
{
	struct hak_stats before = now(), s;
	pthread_t thread[FEW];
	size_t i, threads = 0;

	pthread_barrier_init(&idle_from, NULL, FEW + 1);
	pthread_barrier_init(&idle_until, NULL, FEW + 1);
	for (i = 0; i < FEW; i++)
		if (pthread_create(&thread[i], NULL, caller, &of_thread[i]))
			abort();
	pthread_barrier_wait(&idle_from);
	s = now();
	ok(s.threads == before.threads, "threads of few calls have no cache");
	ok(apart(), "their blocks have no cache line in common");
	pthread_barrier_wait(&idle_until);
	for (i = 0; i < FEW; i++)
		pthread_join(thread[i], NULL);
	in_thread(of_many_calls, &threads);
	ok(threads == before.threads + 1, "a thread of many calls has one");
	in_thread(free_all, NULL);
	s = now();
	if (!ok(s.slab_blocks <= before.slab_blocks + FEW / 4, "what they allocated can be freed by any thread"))
		diag("%zu blocks, before %zu", s.slab_blocks, before.slab_blocks);
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		/* Profiles differ in which freed blocks are kept. */
		unsetenv("HAKMEM_PROFILE");
		setenv("HAKMEM_STATS", "1", 1);
		unsetenv("HAKMEM_STATS_DUMP");
		exec_self(argv[0], "test", NULL);
	}
	if (strcmp(argv[1], "test") != 0)
		return report(argv[1]);
	tap_start();
	if (tap_hardened("with HAKMEM_HARDEN blocks are of other classes than counted here"))
		return tap_end();
	if (tap_other) {
		skip("everything", "this is about HAKMEM's own functions");
		return tap_end();
	}
	blocks_of_each_kind();
	against_the_kernel();
	stages();
	other_sizes();
	mallinfos();
	threaded();
	passing();
	idle_threads();
	declared_idle();
	few_calls();
	return tap_end();
}
