/*
 * exit, quick_exit and _exit in a signal handler that interrupts malloc, with
 * HAKMEM_STATS_DUMP and HAKMEM_LEARN_SAVE set. Each is a program that is struck
 * at a random moment of its life: it ends with its status, and each file is
 * whole or is not there.
 */
#include "guest.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

enum way { EXIT, QUICK_EXIT, DIRECT_EXIT };
enum { STATUS = 42 };

/* What the victim reads of the page shared. */
enum { MOMENT, WAY, THREADS, LATE };

static void at_end(void)
{
	if (!use_every_size())
		_exit(90);
}

static void end_here(int signal)
{
	(void)signal;
	switch ((enum way)shared->count[WAY]) {
	case EXIT:
		exit(STATUS);
	case QUICK_EXIT:
		quick_exit(STATUS);
	default:
		_exit(STATUS);
	}
}

/* The signal comes to the thread that called this. */
static void arm(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF };
	struct itimerspec when = { .it_value.tv_nsec = (long)shared->count[MOMENT] };
	timer_t timer;

	event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &when, NULL))
		_exit(97);
}

static void *struck(void *number)
{
	arm();
	return churn_on(number);
}

/* Never ends by itself. With threads, one of them is struck every second time. */
static void victim(void)
{
	unsigned long threads = shared->count[THREADS];
	bool main_struck = shared->count[MOMENT] & 1;
	pthread_t id;
	uintptr_t i;

	signal(SIGPROF, end_here);
	if (shared->count[LATE]) {
		atexit(at_end);
		at_quick_exit(at_end);
	}
	for (i = 0; i < threads; i++)
		start_thread(&id, i == 0 && !main_struck ? struck : churn_on, (void *)i);
	if (main_struck || !threads)
		arm();
	churn_on((void *)i);
}

static char dump[64], learned[64];

/* The text of a file, or NULL; the size of the text is below that of the buffer. */
static char *contents(const char *path)
{
	static char text[1 << 18];

	return tap_read(path, text, sizeof text) ? text : NULL;
}

static const char *last_line(const char *text)
{
	size_t i = strlen(text);

	if (i == 0 || text[i - 1] != '\n')
		return "(not ended)";
	for (i--; i && text[i - 1] != '\n'; i--)
		;
	return text + i;
}

/* No text in it has a brace. */
static bool whole_json(const char *text)
{
	int open_braces = 0, objects = 0;

	for (; *text; text++) {
		open_braces += (*text == '{') - (*text == '}');
		objects += *text == '}' && open_braces == 0;
	}
	return open_braces == 0 && objects == 1;
}

/* If nothing has been allocated, the dump has no classes after the figures. */
static const char last_figure[] = " waste_estimate ";

static void check_files(void)
{
	const char *text = contents(dump);

	if (text && !(strstr(dump, ".json") ? whole_json(text)
					    : !strncmp(last_line(text), "class ", 6) ||
					      !strncmp(last_line(text), last_figure, strlen(last_figure)) ||
					      !strncmp(last_line(text), "decision ", 9) ||
					      !strncmp(last_line(text), "compare-and-swap ", 17)))
		fail("a dump that is not whole: ... %s\n", last_line(text));
	text = contents(learned);
	if (text && strncmp(last_line(text), "HAKMEM_", 7))
		fail("a learned file that is not whole: ... %s\n", last_line(text));
}

static int one(void)
{
	pid_t pid = fork();

	if (pid == 0) {
		setenv("HAKMEM_STATS_DUMP", dump, 1);
		setenv("HAKMEM_LEARN_SAVE", learned, 1);
		child_exec("victim");
	}
	return pid < 0 ? 95 : child_end(pid);
}

static void strike(enum way way, unsigned threads, bool late)
{
	uint64_t random = shared->seed;
	int number, end = STATUS;

	snprintf(learned, sizeof learned, "%s/learned", getenv("TEST_FOLDER"));
	for (number = 0; end == STATUS && more(20); number++) {
		snprintf(dump, sizeof dump, "%s/dump%s", getenv("TEST_FOLDER"), number % 2 ? ".json" : "");
		shared->count[MOMENT] = 1000 + random_below(&random, number % 4 ? 3 * MB : 200 * KB);
		shared->count[WAY] = way;
		shared->count[THREADS] = threads;
		shared->count[LATE] = late;
		end = one();
		check_files();
		unlink(dump);
		unlink(learned);
		step();
	}
	if (end != STATUS)
		fail("the program ended with %d instead of %d\n", end, STATUS);
}

static void exits(void)
{
	strike(EXIT, 0, false);
}

static void exits_late(void)
{
	strike(EXIT, 0, true);
}

static void exits_quickly(void)
{
	strike(QUICK_EXIT, 0, true);
}

static void exits_directly(void)
{
	strike(DIRECT_EXIT, 2, false);
}

static void exits_beside_threads(void)
{
	strike(EXIT, 2, false);
}

int main(int argc, char **argv)
{
	struct guest guest[] = {
		{ "exit", exits, "exit in a handler that interrupts malloc", NULL, NULL, true, 0 },
		{ "slow", exits, "at the debug level without fast paths",
		  "HAKMEM_DEBUG_LEVEL", "2", true, 0 },
		{ "threads", exits_beside_threads, "beside threads", NULL, NULL, true, 0 },
		{ "late", exits_late, "with the heap used by atexit's handlers", NULL, NULL, true, 0 },
		{ "quick", exits_quickly, "and by those of quick_exit", NULL, NULL, true, 0 },
		{ "direct", exits_directly, "_exit beside threads", NULL, NULL, false, 0 },
	};

	if (argc > 2 && !strcmp(argv[1], "victim")) {
		child_attach(atoi(argv[2]));
		guest_share();
		victim();
		return 1;
	}
	return guest_main_with_folder(argc, argv, guest, sizeof guest / sizeof *guest);
}
