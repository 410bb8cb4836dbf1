/* A program that is stopped: whatever it set up around that must not hang it. */
#include "child.h"
#include "heap.h"

#include "os/glibc.h"
#include <pthread.h>

/* As crash reporters do: allocate here and in a thread, fork, look around. */
static void report(int number)
{
	char *text = (char *)hide(malloc(90)), *more = (char *)hide(malloc(300000));
	int i;

	(void)number;
	memset(text, 1, 90);
	free(text);
	free(more);
	for (i = 0; i < 3000; i++)
		hide(malloc((size_t)i));
	free_elsewhere(hide(malloc(90)));
	malloc_trim(0);
	if (fork() == 0) {
		free(hide(malloc(90)));
		_exit(0);
	}
	wait(NULL);
	_exit(42);
}

static void twice(void)
{
	void *p = hide(malloc(90));

	free(hide(p));
	free(hide(p));
}

static void twice_flushed(void)
{
	static void *other[5000];
	int i;

	for (i = 0; i < 5000; i++)
		other[i] = hide(malloc(90));
	free(other[0]);
	for (i = 0; i < 5000; i++)
		free(hide(other[i]));
}

static void thread_and_owner(void)
{
	void *p = hide(malloc(90));
	int i;

	free_elsewhere(p);
	free(hide(p));
	for (i = 0; i < 2000; i++)
		hide(malloc(90));
}

static void static_data(void)
{
	static char data[64];

	free(hide(data));
}

static void huge_inside(void)
{
	free((char *)hide(malloc(100 << 20)) + 4096);
}

static void mid_twice(void)
{
	void *p = hide(malloc(200000));

	free(hide(p));
	free(hide(p));
}

static pthread_key_t late;

static void destroy_late(void *again)
{
	if (again == &late)
		static_data();
	pthread_setspecific(late, &late);
}

static void *die_late(void *unused)
{
	free(hide(malloc(16)));
	pthread_setspecific(late, hide(malloc(16)));
	return unused;
}

/* The allocator's own destructor ran in the round before. */
static void after_teardown(void)
{
	pthread_t t;

	pthread_key_create(&late, destroy_late);
	pthread_create(&t, NULL, die_late, NULL);
	pthread_join(t, NULL);
}

static void *volatile handed;

static void *free_and_exit(void *barrier)
{
	void *p = hide(malloc(90));

	handed = p;
	free(p);
	pthread_barrier_wait((pthread_barrier_t *)barrier);
	pthread_barrier_wait((pthread_barrier_t *)barrier);
	return NULL;
}

/* What another thread freed again is found when its owner ends. */
static void at_thread_exit(void)
{
	pthread_barrier_t barrier;
	pthread_t t;

	pthread_barrier_init(&barrier, NULL, 2);
	pthread_create(&t, NULL, free_and_exit, &barrier);
	pthread_barrier_wait(&barrier);
	free(handed);
	pthread_barrier_wait(&barrier);
	pthread_join(t, NULL);
}

static void handled(void *bad)
{
	signal(SIGABRT, report);
	(*(void (*const *)(void))bad)();
}

static void handler_runs(void (*bad)(void), const char *name)
{
	struct child c = child_run(handled, &bad, 20);

	if (!ok(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 42, "SIGABRT handler: %s", name))
		child_diag(&c);
}

static void *cancelled(void *unused)
{
	pthread_cancel(pthread_self());
	static_data();
	return unused;
}

static void pending_cancel(void *unused)
{
	pthread_t t;

	(void)unused;
	expect("hakmem: free(): *");
	pthread_create(&t, NULL, cancelled, NULL);
	pthread_join(t, NULL);
}

static void no_stderr(void *unused)
{
	(void)unused;
	close(STDERR_FILENO);
	static_data();
}

static void broken_pipe(void *unused)
{
	int ends[2];

	(void)unused;
	if (pipe(ends) < 0)
		_exit(3);
	dup2(ends[1], STDERR_FILENO);
	close(ends[1]);
	close(ends[0]);
	static_data();
}

static void full_pipe(void *unused)
{
	char bytes[4096] = { 0 };
	int ends[2];

	(void)unused;
	if (pipe2(ends, O_NONBLOCK) < 0)
		_exit(3);
	while (write(ends[1], bytes, sizeof bytes) > 0)
		;
	fcntl(ends[1], F_SETFL, 0);
	dup2(ends[1], STDERR_FILENO);
	static_data();
}

static void aborts_anyway(void (*body)(void *), const char *name)
{
	struct child c = child_run(body, NULL, 20);

	if (!ok(WIFSIGNALED(c.status) && WTERMSIG(c.status) == SIGABRT, "%s", name))
		child_diag(&c);
}

int main(void)
{
	tap_start();
	if (tap_other) {
		skip("hostile programs", "only HAKMEM promises this");
		return tap_end();
	}
	handler_runs(twice, "freed twice");
	handler_runs(twice_flushed, "freed twice, a flush apart");
	handler_runs(thread_and_owner, "freed by a thread and by the owner");
	handler_runs(static_data, "static data");
	handler_runs(huge_inside, "inside a Huge block");
	handler_runs(mid_twice, "Mid freed twice");
	handler_runs(at_thread_exit, "found at the owner's exit");
	handler_runs(after_teardown, "in a thread after its teardown");
	child_aborts(pending_cancel, NULL, "a pending cancellation does not swallow the message");
	aborts_anyway(no_stderr, "standard error is closed");
	aborts_anyway(broken_pipe, "standard error is a pipe without a reader");
	if (!emulator_fails(LACK_STDERR, "standard error is a full pipe"))
		aborts_anyway(full_pipe, "standard error is a full pipe");
	return tap_end();
}
