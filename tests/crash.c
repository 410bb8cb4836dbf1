/*
 * Crash reporters: handlers of SIGABRT and SIGSEGV that fork, run another
 * program and allocate, after the library ended the program for a double free
 * and after the program damaged the heap. Each way to go wrong is a child of
 * its own, which the handler ends with its status.
 */
#include "guest.h"

enum { REPORTED = 42 };

static bool sound;	/* the heap is, so that reporters may use it */
static uintptr_t beside;	/* so many threads churn meanwhile */

/* With a sound heap the child allocates; with any, it runs another program. */
static void reporter(bool execs)
{
	if (sound && !use_every_size())
		_exit(90);
	if (execs) {
		execl("/proc/self/exe", "true", "true", "-1", NULL);
		_exit(91);
	}
	_exit(0);
}

static void report(int signal)
{
	bool execs;

	(void)signal;
	for (execs = false;; execs = true) {
		pid_t pid = fork();

		if (pid == 0)
			reporter(execs);
		if (pid < 0 || child_end(pid))
			_exit(93);
		if (execs)
			break;
	}
	if (sound && !use_every_size())
		_exit(94);
	_exit(REPORTED);
}

static void watch_for_crashes(void)
{
	static char stack[256 * 1024];
	stack_t other = { .ss_sp = stack, .ss_size = sizeof stack };
	struct sigaction action = { .sa_handler = report, .sa_flags = SA_ONSTACK };
	int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

	sigaltstack(&other, NULL);
	sigfillset(&action.sa_mask);
	sigaction(SIGABRT, &action, NULL);
	sigaction(SIGSEGV, &action, NULL);
	sigaction(SIGBUS, &action, NULL);
	dup2(null, STDERR_FILENO);	/* what the library says is tested elsewhere */
}

static void expect_report(void (*wrong)(size_t), size_t argument, const char *what)
{
	pid_t pid = fork();
	pthread_t id;
	uintptr_t i;
	int end;

	if (pid == 0) {
		watch_for_crashes();
		for (i = 0; i < beside; i++)
			start_thread(&id, churn_on, (void *)i);
		wrong(argument);
		_exit(95);
	}
	end = pid < 0 ? 96 : child_end(pid);
	if (end != REPORTED)
		fail("%s, %zu: ended with %d instead of %d\n", what, argument, end, REPORTED);
	step();
}

static const size_t each_size[] = { 20, 300, 2000, 9000, 50000, 300000, 3 * MB };
enum { SIZES = sizeof each_size / sizeof *each_size };

static void free_twice(size_t size)
{
	void *p = hide(malloc(size)), *again = hide(p);

	free(p);
	free(again);
}

/* By another thread, and seen by this one at the latest when it takes the block back. */
static void free_twice_elsewhere(size_t size)
{
	void *p = hide(malloc(size));
	int i;

	free_elsewhere(p);
	free_elsewhere(hide(p));
	for (i = 0; i < 10000; i++)
		p = hide(malloc(size > 100000 ? 100 : size));
	raise(SIGABRT);		/* where none of it was seen */
}

static void free_inside(size_t size)
{
	free(hide((char *)hide(malloc(size)) + 16));
}

static void free_static(size_t unused)
{
	static char block[4096];

	(void)unused;
	free(hide(block + 64));
}

static void realloc_freed(size_t size)
{
	void *p = hide(malloc(size)), *again = hide(p);

	free(p);
	if (hide(realloc(again, size * 3)))
		_exit(97);
}

/* What was freed once may belong to a thread beside: then no one can tell. */
static void every_abort(void)
{
	size_t i;

	for (i = 0; i < SIZES; i++) {
		expect_report(free_inside, each_size[i], "free inside a block");
		if (beside)
			continue;
		expect_report(free_twice, each_size[i], "double free");
		expect_report(free_twice_elsewhere, each_size[i], "double free by threads");
		expect_report(realloc_freed, each_size[i], "realloc after free");
	}
	expect_report(free_static, 0, "free of no block");
}

static void aborts(void)
{
	sound = true;
	do
		every_abort();
	while (more(SIZES));
}

static void aborts_beside_threads(void)
{
	beside = 2;
	aborts();
}

/* More and more stack, and the heap at each step. */
static size_t __attribute__((noinline)) deeper(size_t depth)
{
	char frame[2000];
	void *p = hide(malloc(depth % 5000 + 1));

	memset(hide(frame), (int)depth, sizeof frame);
	depth += p ? deeper(depth + 1) : 0;
	free(p);
	return depth + (size_t)frame[depth % sizeof frame];
}

static void overflow_stack(size_t unused)
{
	struct rlimit small = { MB, MB };

	(void)unused;
	setrlimit(RLIMIT_STACK, &small);
	if (deeper(1))
		_exit(98);
}

static void stack_overflow(void)
{
	sound = true;
	do
		expect_report(overflow_stack, 0, "stack overflow");
	while (more(5));
}

enum { COUNT = 3000 };
static char *block[COUNT];

static void take(size_t size)
{
	int i;

	for (i = 0; i < COUNT; i++)
		memset(block[i] = (char *)hide(malloc(size)), 1, size);
}

static void *give(void *unused)
{
	int i;

	for (i = 0; i < COUNT; i++)
		free(block[i]);
	return unused;
}

/* The whole pages of what was taken, but for the first and the last. */
static void forbid(size_t size)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	int i;

	for (i = 0; i < COUNT; i++) {
		uintptr_t at = ((uintptr_t)block[i] + page - 1) & ~(page - 1);

		if (i % 7 == 3 && at + page <= (uintptr_t)block[i] + size + page)
			mprotect((void *)at, page, PROT_NONE);
	}
}

static void use_up(size_t size)
{
	give(NULL);
	take(size);
	give(NULL);
	raise(SIGSEGV);		/* where the heap held */
}

static void forbid_taken(size_t size)
{
	take(size);
	forbid(size);
	use_up(size);
}

static void forbid_free(size_t size)
{
	take(size);
	give(NULL);
	forbid(size);
	take(size);
	use_up(size);
}

/* Another thread frees them. */
static void forbid_elsewhere(size_t size)
{
	pthread_t id;

	take(size);
	start_thread(&id, give, NULL);
	pthread_join(id, NULL);
	forbid(size);
	take(size);
	use_up(size);
}

static void overwrite_free(size_t size)
{
	int i;

	take(size);
	give(NULL);
	for (i = 0; i < COUNT; i += 5)
		memset(hide(block[i]), 0x41, size);
	take(size);
	use_up(size);
}

static void every_damage(void)
{
	static const size_t size[] = { 16, 64, 500, 2000, 9000 };
	size_t i;

	for (i = 0; i < sizeof size / sizeof *size; i++) {
		expect_report(forbid_taken, size[i], "pages of blocks in use forbidden");
		expect_report(forbid_free, size[i], "pages of free blocks forbidden");
		expect_report(forbid_elsewhere, size[i], "pages of blocks that a thread freed forbidden");
		expect_report(overwrite_free, size[i], "free blocks overwritten");
	}
}

static void damages(void)
{
	do
		every_damage();
	while (more(5));
}

int main(int argc, char **argv)
{
	struct guest guest[] = {
		{ "aborts", aborts, "a reporter of the library's aborts", NULL, NULL, true, 0.2 },
		{ "threads", aborts_beside_threads, "beside threads", NULL, NULL, true, 0.2 },
		{ "stack", stack_overflow, "a reporter of a stack that ran over", NULL, NULL, true, 0.2 },
		{ "damages", damages, "a reporter of a damaged heap", NULL, NULL, true, 0.2 },
		{ "slow", damages, "and without fast paths", "HAKMEM_DEBUG_LEVEL", "2", true, 0.2 },
	};

	if (argc > 2 && !strcmp(argv[1], "true"))
		return 0;	/* of a child that calls exec */
	return guest_main(argc, argv, guest, sizeof guest / sizeof *guest);
}
