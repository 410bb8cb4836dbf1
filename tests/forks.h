/*
 * Shared by the tests that fork: timers that interrupt a thread at a random moment, what a
 * child does, and threads that hold locks of libc's streams while they allocate.
 */
#ifndef TESTS_FORKS_H
#define TESTS_FORKS_H

#include "guest.h"

#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

TAP_UNUSED static _Thread_local timer_t timer;
TAP_UNUSED static _Thread_local uint64_t moment;

/* The timer of a thread sends SIGPROF to this thread, once each time it is armed. */
TAP_UNUSED static void make_timer(uint64_t seed)
{
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGPROF };

	moment = seed;
	event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	if (timer_create(CLOCK_MONOTONIC, &event, &timer))
		fail("timer_create: errno %d\n", errno);
}

TAP_UNUSED static void arm_timer(void)
{
	struct itimerspec when = { .it_value.tv_nsec = 5000 + (long)random_below(&moment, 300000) };

	timer_settime(timer, 0, &when, NULL);
}

TAP_UNUSED static void *use_in_thread(void *good)
{
	*(bool *)good = use_every_size();
	return NULL;
}

TAP_UNUSED static bool threads_work(void)
{
	bool good[2] = { false, false };
	pthread_t id[2];
	int i;

	for (i = 0; i < 2; i++)
		start_thread(&id[i], use_in_thread, &good[i]);
	for (i = 0; i < 2; i++)
		pthread_join(id[i], NULL);
	return good[0] && good[1];
}

TAP_UNUSED static void fork_again(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(use_every_size() ? 0 : 89);
	_exit(pid < 0 ? 92 : child_end(pid));
}

TAP_UNUSED static pid_t by_vfork(void)
{
	pid_t pid = vfork();

	if (pid == 0)
		_exit(use_every_size() ? 0 : 90);
	return pid;
}

TAP_UNUSED static FILE *common;	/* a stream that many threads use */

/* So long that getline calls realloc many times, with the stream's lock held. */
TAP_UNUSED static void read_long_line(void)
{
	static _Thread_local FILE *file;
	static _Thread_local int round;
	char *line = NULL;
	size_t size = 0;

	if (!file) {
		file = tmpfile();
		for (round = 0; round < 60000; round++)
			putc('x', file);
		putc('\n', file);
	}
	rewind(file);
	if (getline(&line, &size, file) != 60001)
		fail("getline read something else\n");
	free(line);
}

TAP_UNUSED static void flush_all(void)
{
	fflush(NULL);
}

TAP_UNUSED static void open_and_close(void)
{
	FILE *file = fopen("/dev/null", "w");

	if (!file)
		fail("fopen: errno %d\n", errno);
	fprintf(file, "%s %d", "text", 7);
	fclose(file);
}

TAP_UNUSED static void hold_stream(void)
{
	char *p;

	flockfile(common);
	p = (char *)hide(malloc(20000));
	p = (char *)hide(realloc(p, 90000));
	fprintf(common, "%p\n", (void *)p);
	free(p);
	funlockfile(common);
}

TAP_UNUSED static void print_to_common(void)
{
	fprintf(common, "%d %s %g\n", 1, "two", 3.0);
}

/* The stream's buffer grows by realloc under its lock. */
TAP_UNUSED static void write_to_memory(void)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);
	int i;

	if (!file)
		fail("open_memstream: errno %d\n", errno);
	for (i = 0; i < 3000; i++)
		fputs("some more text ", file);
	fclose(file);
	free(text);
}

TAP_UNUSED static ssize_t cookie_write(void *cookie, const char *text, size_t size)
{
	void *p = hide(malloc(size * 50 + 1));

	(void)cookie;
	(void)text;
	free(p);
	return (ssize_t)size;
}

TAP_UNUSED static void write_to_cookie(void)
{
	cookie_io_functions_t calls = { .write = cookie_write };
	FILE *file = fopencookie(NULL, "w", calls);
	int i;

	if (!file)
		fail("fopencookie: errno %d\n", errno);
	for (i = 0; i < 20; i++) {
		fputs("a line\n", file);
		fflush(file);
	}
	fclose(file);
}

#endif
