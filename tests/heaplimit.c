/*
 * HAKMEM_LIMIT and hak_set_limit: beyond the limit allocations fail, after free memory of the
 * heap was released; memory that is freed can be allocated again. Each case runs in a child.
 */
#include "child.h"
#include "heap.h"

#include <hakmem/hakmem.h>
#include <stdatomic.h>

/* The compiler leaves out calls whose result is only compared with NULL, as if they succeeded. */
#define malloc(size) hide(malloc(size))
#define calloc(count, size) hide(calloc(count, size))
#define realloc(p, size) hide(realloc(hide(p), size))
#define aligned_alloc(align, size) hide(aligned_alloc(align, size))

enum { MOST = 2 << 20, THREADS = 4 };
static char *block[MOST];
/* Volatile, because the compiler may assume that malloc does not change them. */
static volatile size_t calls, asked;
static char *volatile reserve;

static size_t mapped(void)
{
	struct hak_stats s;

	hak_stats_get(&s, sizeof s);
	return s.mapped;
}

/* From here on the heap may grow by so much. */
static size_t allow(size_t more)
{
	size_t limit;

	free(malloc(100));
	limit = mapped() + more;
	hak_set_limit(limit);
	return limit;
}

/* Allocates until it fails, which is at most `total` bytes later. */
static size_t take_all(size_t size, size_t total)
{
	size_t n;

	for (n = 0; n < MOST && n * size <= total; n++) {
		errno = 0;
		block[n] = (char *)malloc(size);
		if (!block[n])
			break;
		memset(block[n], (int)n | 1, size < 4096 ? size : 4096);
	}
	if (n == MOST || n * size > total)
		fail("no failure after %zu blocks of %zu bytes", n, size);
	if (errno != ENOMEM)
		fail("errno %d instead of ENOMEM", errno);
	return n;
}

static void free_all(size_t n)
{
	while (n)
		free(block[--n]);
}

/* At least `least` of the bytes can be used, and as many when they were freed. */
static void reach(size_t size, size_t total, size_t least)
{
	size_t limit = allow(total), first, again, round;

	first = take_all(size, total + 8 * MB);
	if (first * size < least)
		fail("%zu bytes of %zu", first * size, total);
	for (round = 0; round < 3; round++) {
		free_all(first);
		again = take_all(size, total + 8 * MB);
		if (again < first - first / 4)
			fail("%zu blocks of %zu bytes at first, %zu after they were freed", first, size, again);
		first = again;
	}
	/* Metadata is not limited. */
	if (mapped() > limit + 2 * MB)
		fail("%zu bytes are mapped of %zu", mapped(), limit);
	free_all(first);
}

static void reach_size(void *arg)
{
	size_t size = *(size_t *)arg;

	reach(size, 64 * MB, size < MB ? 36 * MB : 24 * MB);
}

/* Memory that was freed as small blocks serves large ones, and the other way. */
static void other_sizes(void *arg)
{
	static const size_t sizes[] = { 100, 3 * MB, 20000, 40 * MB, 2000, 300000 };
	size_t i, n;

	(void)arg;
	allow(64 * MB);
	for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		n = take_all(sizes[i], 72 * MB);
		if (n * sizes[i] < 32 * MB)
			fail("%zu bytes in blocks of %zu", n * sizes[i], sizes[i]);
		free_all(n);
	}
}

static void other_functions(void *arg)
{
	void *p, *q;
	size_t n;
	int error;

	(void)arg;
	p = malloc(100);
	allow(16 * MB);
	n = take_all(100, 24 * MB);
	errno = 0;
	if (calloc(1000, 50) || errno != ENOMEM)
		fail("calloc");
	errno = 0;
	if (realloc(p, 100000) || errno != ENOMEM)
		fail("realloc");
	errno = 0;
	if (aligned_alloc(64, 64000) || errno != ENOMEM)
		fail("aligned_alloc");
	errno = 0;
	error = posix_memalign(&q, 4096, 40 * MB);
	if (error != ENOMEM || errno)
		fail("posix_memalign: %d, errno %d", error, errno);
	errno = 0;
	if (malloc(PTRDIFF_MAX / 2) || errno != ENOMEM)
		fail("far beyond the limit");
	free(p);
	free_all(n);
	p = calloc(1000, 50);
	if (!p || !all_zero(p, 50000))
		fail("calloc afterwards");
}

/* In place, or moved, with what a free range holds. */
static void growing(void *arg)
{
	size_t size;
	char *p, *q;

	(void)arg;
	allow(100 * MB);
	p = (char *)malloc(50 * MB);
	q = (char *)malloc(30 * MB);
	if (!p || !q)
		fail("not even these");
	fill(p, 50 * MB, 1);
	errno = 0;
	if (realloc(p, 90 * MB) || errno != ENOMEM)
		fail("it grew beyond the limit");
	if (!filled(p, 50 * MB, 1))
		fail("the block that did not grow has changed");
	free(q);
	q = (char *)realloc(p, 80 * MB);
	if (!q)
		fail("it did not grow into freed memory");
	if (!filled(q, 50 * MB, 1))
		fail("the block that grew has changed");
	free(q);
	p = NULL;
	for (size = MB; (q = (char *)realloc(p, size)) != NULL; size += MB)
		p = q;
	if (size < 90 * MB || size > 108 * MB)
		fail("a vector ends at %zu bytes", size);
	free(p);
}

/* Idle memory of a thread that does not call is used. */
static pthread_barrier_t gate;

static void *hold_free_memory(void *arg)
{
	enum { BLOCKS = 400000 };
	static char *mine[BLOCKS];
	size_t i;

	for (i = 0; i < BLOCKS; i++)
		mine[i] = (char *)malloc(100);
	pthread_barrier_wait(&gate);
	for (i = 0; i < BLOCKS; i++)
		free(mine[i]);
	pthread_barrier_wait(&gate);
	pthread_barrier_wait(&gate);
	return arg;
}

static void of_another_thread(void *arg)
{
	pthread_t t;
	size_t n;

	(void)arg;
	allow(64 * MB);
	pthread_barrier_init(&gate, NULL, 2);
	if (pthread_create(&t, NULL, hold_free_memory, NULL))
		fail("no thread");
	pthread_barrier_wait(&gate);
	pthread_barrier_wait(&gate);
	n = take_all(200, 72 * MB);
	if (n * 200 < 32 * MB)
		fail("%zu bytes of 64 MiB", n * 200);
	pthread_barrier_wait(&gate);
	pthread_join(t, NULL);
	free_all(n);
}

/* Many threads at the limit: none gets beyond it, and all of them get memory again. */
static _Atomic size_t failures;

static void *at_the_limit(void *arg)
{
	uint64_t state = *(uint64_t *)arg;
	char *mine[200];
	size_t size[200], i, at;

	memset(mine, 0, sizeof mine);
	for (i = 0; i < tap_rounds(20000); i++) {
		at = random_below(&state, 200);
		if (mine[at] && !filled(mine[at], size[at], at))
			fail("a block has changed");
		free(mine[at]);
		size[at] = random_size(&state, 4 * MB);
		mine[at] = (char *)malloc(size[at]);
		if (mine[at])
			fill(mine[at], size[at], at);
		else
			atomic_fetch_add(&failures, 1);
	}
	for (i = 0; i < 200; i++)
		free(mine[i]);
	return NULL;
}

static void threads(void *arg)
{
	size_t limit = allow(48 * MB);
	char *p;

	(void)arg;
	seeded_threads(THREADS, at_the_limit, 1);
	if (!atomic_load(&failures))
		fail("the limit was never reached");
	if (mapped() > limit + 4 * MB)
		fail("%zu bytes are mapped of %zu", mapped(), limit);
	p = (char *)malloc(30 * MB);
	if (!p)
		fail("freed memory is not there again");
}

/* A thread starts, allocates from what is free, and ends at the limit. */
static void *little(void *arg)
{
	bool got;
	void *p;

	free(arg);
	p = malloc(50);
	got = p != NULL;
	free(p);
	return got ? &gate : NULL;
}

static void start_at_the_limit(void *arg)
{
	struct hak_stats s;
	pthread_t t;
	void *got;
	size_t n;

	(void)arg;
	/* Some small blocks are free, and stay so because one next to them is in use. */
	reserve = (char *)malloc(50);
	small_activity();
	allow(16 * MB);
	n = take_all(MB + MB / 2, 24 * MB);
	if (pthread_create(&t, NULL, little, block[--n]) || pthread_join(t, &got))
		fail("no thread");
	if (!got)
		fail("the thread got nothing");
	if (hak_stats_get(&s, sizeof s) == 0 || s.mapped == 0)
		fail("no statistics");
	free_all(n);
}

static void after_fork(void *arg)
{
	size_t n;
	int status;
	pid_t pid;

	(void)arg;
	allow(32 * MB);
	n = take_all(1000, 40 * MB);
	pid = fork();
	if (pid < 0)
		fail("no fork");
	if (pid == 0) {
		if (malloc(40 * MB))
			_exit(3);
		free_all(n);
		n = take_all(5000, 40 * MB);
		_exit(n * 5000 < 20 * MB ? 4 : 0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		fail("status %x", (unsigned)status);
	free_all(n);
	if (!malloc(20 * MB))
		fail("the parent");
}

/* hak_set_limit: returns the former one; 0 removes it; a lower one takes effect. */
static void changed(void *arg)
{
	size_t limit, n;

	(void)arg;
	hak_set_limit(0);
	limit = allow(16 * MB);
	if (hak_set_limit(limit) != limit)
		fail("not the former limit");
	n = take_all(5000, 24 * MB);
	hak_set_limit(limit + 16 * MB);
	if (!(block[n++] = (char *)malloc(8 * MB)))
		fail("a higher limit has no effect");
	hak_set_limit(limit);
	if (malloc(3 * MB))
		fail("a lower limit has no effect");
	if (hak_set_limit(0) != limit || hak_set_limit(0) != 0)
		fail("it was not removed");
	if (!(block[n++] = (char *)malloc(64 * MB)))
		fail("a limit that was removed has an effect");
	free_all(n);
}

static void count_call(size_t size)
{
	calls++;
	asked = size;
	errno = EPERM;
	/* Fails too, without another call of the callback. */
	if (malloc(100 * MB))
		fail("beyond the limit");
}

static void callback(void *arg)
{
	size_t n;

	(void)arg;
	hak_set_limit_callback(count_call);
	allow(16 * MB);
	n = take_all(3000, 24 * MB);
	if (calls != 1 || asked < 3000 || asked > 3100)
		fail("%zu calls, the last one of %zu bytes", calls, asked);
	if (malloc(3000) || malloc(3 * MB) || realloc(block[0], 3 * MB) || calls != 1)
		fail("%zu calls while it stays at the limit", calls);
	free_all(n);
	n = take_all(40000, 24 * MB);
	if (calls != 2 || asked < 40000)
		fail("%zu calls after all was freed, of %zu bytes", calls, asked);
	hak_set_limit_callback(NULL);
	free_all(n);
	free_all(take_all(40000, 24 * MB));
	if (calls != 2)
		fail("it was called after it was removed");
}

static void give_reserve(size_t size)
{
	(void)size;
	calls++;
	free(reserve);
	reserve = NULL;
}

static void callback_helps(void *arg)
{
	char *p, *q;

	(void)arg;
	hak_set_limit_callback(give_reserve);
	allow(64 * MB);
	reserve = (char *)malloc(40 * MB);
	errno = 0;
	p = (char *)malloc(50 * MB);
	if (!p || calls != 1 || errno)
		fail("%zu calls, errno %d", calls, errno);
	free(p);
	/* After it has helped, it is called again. */
	reserve = (char *)malloc(40 * MB);
	p = (char *)calloc(1, 45 * MB);
	if (!p || calls != 2)
		fail("%zu calls for calloc", calls);
	free(p);
	p = (char *)malloc(20 * MB);
	reserve = (char *)malloc(35 * MB);
	q = (char *)realloc(p, 50 * MB);
	if (!q || calls != 3)
		fail("%zu calls for realloc", calls);
	free(q);
	while (calls == 3) {
		q = (char *)malloc(1000);
		if (!q)
			fail("no call");
		if (!reserve && calls == 3)
			reserve = (char *)malloc(30 * MB);
	}
}

/* The limit of the environment, in the program that this one executes. */
static int in_environment(void)
{
	size_t n = take_all(2000, 72 * MB);

	if (n * 2000 < 32 * MB)
		fail("%zu bytes", n * 2000);
	if (hak_set_limit(0) != 64 * MB)
		fail("not the limit of the environment");
	return 0;
}

static void from_environment(void *arg)
{
	(void)arg;
	setenv("HAKMEM_LIMIT", "64M", 1);
	child_exec("environment");
}

/* Reports of HAKMEM_OOM_REPORT, in the program that this one executes. */
static const char report_path[] = "heaplimit-report";

/* The level of the report that is there, which is then removed; 0: there is none. */
static char report[64 * KB];

static int take_report(void)
{
	char *at;
	ssize_t n;
	int fd;

	/* The next slow path writes it. */
	small_activity();
	fd = open(report_path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, report, sizeof report - 1);

	if (fd < 0)
		return 0;
	close(fd);
	unlink(report_path);
	report[n > 0 ? n : 0] = 0;
	at = strstr(report, "mapped ");
	return at && strstr(at, " % of its limit of 67108864 bytes\n") ? atoi(at + 7) : -1;
}

/* Blocks of 2 MiB until so much is mapped. */
static size_t fill_to(size_t n, size_t bytes)
{
	while (mapped() < bytes)
		if (!(block[n++] = (char *)malloc(MB + MB / 2)))
			fail("the limit was reached first");
	return n;
}

/* The bytes of a line of growth in the report; 0: there is none. */
static unsigned long growth(const char *what)
{
	char line[64], *at;

	snprintf(line, sizeof line, "\ngrowth %s ", what);
	at = strstr(report, line);
	return at ? strtoul(at + strlen(line), NULL, 10) : 0;
}

/* From half of the limit on only one size grows. Sampled blocks are in no class. */
static int grown(void)
{
	size_t n = fill_to(0, 34 * MB), bytes;

	small_activity();
	for (bytes = 0; mapped() < 59 * MB; bytes += 3072)
		memset(hide(malloc(3000)), 1, 3000);
	if (take_report() != 90 || !strstr(report, "\nseconds since half of the limit "))
		fail("no report with growth: %.100s", report);
	if (growth("size 3072 bytes") < bytes / 2 || growth("size 3072 bytes") > bytes + MB)
		fail("%zu bytes are %lu bytes of growth", bytes, growth("size 3072 bytes"));
	if (growth("large_bytes") > 4 * MB || growth("size 64 bytes") > MB)
		fail("what has not grown");
	if (!strstr(report, "\nsite bytes ") || !strstr(strstr(report, "\nsite bytes "), "+0x"))
		fail("no call site of this program");
	free_all(n);
	return 0;
}

/* It had nothing at half of its limit. */
static int grown_at_once(void)
{
	block[0] = (char *)malloc(58 * MB);
	if (take_report() < 90 || !strstr(report, "\nseconds since the start ") || growth("large_bytes") < 58 * MB)
		fail("no report with growth since the start: %.100s", report);
	free_all(1);
	return 0;
}

static int reports(void)
{
	size_t n, round;
	int level;

	for (round = 0; round < 2; round++) {
		n = fill_to(0, 54 * MB);
		if ((level = take_report()) != 0)
			fail("a report below 90 %%: %d", level);
		n = fill_to(n, 58 * MB);
		if ((level = take_report()) != 90)
			fail("%d instead of 90 in round %zu", level, round);
		n = fill_to(n, 61 * MB);
		if ((level = take_report()) != 95)
			fail("%d instead of 95 in round %zu", level, round);
		/* To three quarters of the limit and back. */
		while (mapped() > 48 * MB) {
			free(block[--n]);
			malloc_trim(0);
		}
		small_activity();
		n = fill_to(n, 61 * MB);
		if ((level = take_report()) != 0)
			fail("it was repeated: %d", level);
		free_all(n);
		malloc_trim(0);
		small_activity();
	}
	/* A link is not followed, and the program goes on; the message is dropped. */
	if (dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO) < 0 || symlink("heaplimit-target", report_path))
		fail("no link");
	free_all(fill_to(0, 58 * MB));
	small_activity();
	unlink(report_path);
	if (unlink("heaplimit-target") == 0)
		fail("a link was followed");
	return 0;
}

static void near_the_limit(void *arg)
{
	(void)arg;
	unlink(report_path);
	setenv("HAKMEM_LIMIT", "64M", 1);
	setenv("HAKMEM_OOM_REPORT", report_path, 1);
	child_exec("reports");
}

static void growth_near_it(void *arg)
{
	unlink(report_path);
	setenv("HAKMEM_LIMIT", "64M", 1);
	setenv("HAKMEM_OOM_REPORT", report_path, 1);
	if (!strcmp((const char *)arg, "grown"))
		setenv("HAKMEM_SAMPLE", "65536", 1);
	child_exec((const char *)arg);
}

int main(int argc, char **argv)
{
	static size_t sizes[] = { 48, 100, 2048, 10000, 40000, 500000, 1500000, 5000000, 35000000 };
	char name[80];
	size_t i;

	if (argc > 2) {
		child_attach(atoi(argv[2]));
		return !strcmp(argv[1], "reports") ? reports() : !strcmp(argv[1], "grown") ? grown() :
		       !strcmp(argv[1], "grown at once") ? grown_at_once() : in_environment();
	}
	tap_start();
	for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		snprintf(name, sizeof name, "%zu bytes: the limit is reached, and again after frees", sizes[i]);
		child_ok(reach_size, &sizes[i], 60, name);
	}
	child_ok(other_sizes, NULL, 60, "freed memory serves other sizes");
	child_ok(other_functions, NULL, 60, "calloc, realloc, aligned_alloc and posix_memalign fail too");
	child_ok(growing, NULL, 60, "realloc up to the limit, in place or not");
	child_ok(of_another_thread, NULL, 60, "idle memory of another thread is used");
	child_ok(threads, NULL, 120, "threads at the limit together");
	child_ok(start_at_the_limit, NULL, 60, "a thread starts and ends at the limit, and statistics work");
	child_ok(after_fork, NULL, 60, "the child of a fork has the same limit");
	child_ok(changed, NULL, 60, "a limit that is changed or removed");
	child_ok(callback, NULL, 60, "the callback is called once each time");
	child_ok(callback_helps, NULL, 60, "what the callback frees is used");
	child_ok(from_environment, NULL, 60, "HAKMEM_LIMIT");
	child_ok(near_the_limit, NULL, 60, "HAKMEM_OOM_REPORT: a report at 90 and at 95 %, once each");
	child_ok(growth_near_it, (void *)(uintptr_t)"grown", 60, "what has grown, and where it was allocated");
	child_ok(growth_near_it, (void *)(uintptr_t)"grown at once", 60, "what has grown since the start");
	return tap_end();
}
