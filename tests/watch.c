/*
 * The watch on hung programs, which all other tests rely on: it ends what does
 * nothing or too much, and nothing else.
 */
#include "child.h"

static void use(double seconds)
{
	double end = tap_seconds(CLOCK_PROCESS_CPUTIME_ID) + seconds;

	while (tap_seconds(CLOCK_PROCESS_CPUTIME_ID) < end)
		;
}

static void wait_for_nothing(void *arg)
{
	(void)arg;
	use(0.1);
	for (;;)
		pause();
}

static void run_for_ever(void *arg)
{
	(void)arg;
	use(1e9);
}

/* As on a machine where a program seldom has a processor: the time is five
 * times that of the watch. */
static void get_little(void *arg)
{
	double end = tap_seconds(CLOCK_MONOTONIC) + 5;
	struct timespec other = { 0, 50000000 };

	(void)arg;
	while (tap_seconds(CLOCK_MONOTONIC) < end) {
		use(0.01);
		nanosleep(&other, NULL);
	}
}

/* This process itself does nothing then. */
static void wait_for_one_that_works(void *arg)
{
	struct child c = child_run(get_little, arg, 60);

	if (c.status)
		fail("the child's status is %d", c.status);
}

static void ends(void (*body)(void *), const char *name)
{
	struct child c = child_run(body, NULL, 1);

	if (!ok(WIFSIGNALED(c.status) && WTERMSIG(c.status) == SIGALRM, "%s", name))
		child_diag(&c);
}

int main(void)
{
	free(hide(malloc(1)));		/* or the linker leaves the library out */
	tap_start();
	ends(wait_for_nothing, "a program that waits for ever is ended");
	ends(run_for_ever, "so is one that runs for ever");
	child_ok(get_little, NULL, 1, "one that is slow is not");
	child_ok(wait_for_one_that_works, NULL, 1, "nor is one that waits for a slow child");
	return tap_end();
}
