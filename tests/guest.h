/*
 * Programs that must not hang. Each case is a separate program, run under every profile. It
 * counts its steps in a page shared with a watcher, which kills it if there is no step for a
 * minute. So the total time on a busy machine does not matter.
 *
 * HAKMEM_TEST_SECONDS is how long each case runs, HAKMEM_TEST_PATIENCE how long a step may
 * take; HAKMEM_TEST_CASE and HAKMEM_TEST_PROFILE select one.
 */
#ifndef TESTS_GUEST_H
#define TESTS_GUEST_H

#include "child.h"
#include "heap.h"

#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

struct guest {
	const char *mode;
	void (*body)(void);
	const char *name;
	const char *variable, *value;	/* set in addition to the profile, if not NULL */
	bool profiles;			/* run under each profile, not only the default */
	double seconds;			/* how long to run, if not 1 */
};

/* In the shared page of child.h, after the expected messages. */
struct guest_shared {
	_Atomic unsigned long steps;
	_Atomic unsigned long count[4];	/* for use by the case */
	uint64_t seed;
	double seconds;
};
static struct guest_shared *shared;

static void guest_share(void)
{
	shared = (struct guest_shared *)(void *)(expected + EXPECT_SIZE - sizeof *shared);
}

/* Called in a case to report progress. */
TAP_UNUSED static void step(void)
{
	atomic_fetch_add(&shared->steps, 1);
}

/* The watcher kills a case that makes no step for so many seconds. */
static unsigned guest_patience(void)
{
	const char *given = getenv("HAKMEM_TEST_PATIENCE");

	return given ? (unsigned)atoi(given) : getenv("HAKMEM_TEST_QUICK") ? 600 : 60;
}

static double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* True until the case has run for its time and for so many steps. */
TAP_UNUSED static bool more(unsigned long least)
{
	static double end;

	if (end == 0)
		end = seconds_now() + shared->seconds;
	return seconds_now() < end || atomic_load(&shared->steps) < least;
}

/* The exit status of the group's first process, or -1 if it hangs. */
static int guest_watch(pid_t group)
{
	unsigned long last = 0, steps;
	double since = seconds_now();
	int status;

	while (waitpid(group, &status, WNOHANG) == 0) {
		usleep(5000);
		steps = atomic_load(&shared->steps);
		if (steps != last)
			since = seconds_now();
		else if (seconds_now() > since + guest_patience())
			return -1;
		last = steps;
	}
	return status;
}

static const char *guest_profile;

__attribute__((noreturn)) static void guest_start(const struct guest *guest)
{
	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(0);
	setenv("HAKMEM_PROFILE", guest_profile, 1);
	if (guest->variable)
		setenv(guest->variable, guest->value, 1);
	unsetenv("HAKMEM_TEST_SECONDS");
	unsetenv("HAKMEM_TEST_PATIENCE");
	unsetenv("HAKMEM_TEST_CASE");
	unsetenv("HAKMEM_TEST_PROFILE");
	child_exec(guest->mode);
	_exit(98);
}

static uint64_t guest_seed;

/* The body of child.h's child. Processes that the case leaves behind are ended with it. */
static void guest_run(void *argument)
{
	const struct guest *guest = (const struct guest *)argument;
	const char *seconds = getenv("HAKMEM_TEST_SECONDS");
	pid_t group;
	int status;

	guest_share();
	shared->seed = guest_seed;
	shared->seconds = seconds ? atof(seconds) : guest->seconds > 0 ? guest->seconds : 1;
	group = fork();
	if (group == 0)
		guest_start(guest);
	setpgid(group, group);
	status = guest_watch(group);
	kill(-group, SIGKILL);
	if (status == -1)
		fail("stuck: no step for %u s after %lu\n", guest_patience(),
		     (unsigned long)atomic_load(&shared->steps));
	if (WIFSIGNALED(status))
		fail("ended by signal %d after %lu steps\n", WTERMSIG(status),
		     (unsigned long)atomic_load(&shared->steps));
	_exit(WEXITSTATUS(status));
}

enum { GUEST_SKIPS = 77, GUEST_ENDLESS = 36000 };

static void guest_under(struct guest *guest, const char *profile)
{
	char name[256];
	struct child c;

	snprintf(name, sizeof name, "%s%s%s", guest->name, guest->profiles ? ", " : "",
		 guest->profiles ? profile : "");
	guest_profile = profile;
	c = child_run(guest_run, guest, GUEST_ENDLESS);
	if (WIFEXITED(c.status) && WEXITSTATUS(c.status) == GUEST_SKIPS)
		skip(name, c.length ? c.err : "not here");
	else if (!ok(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 0 && c.length == 0, "%s", name))
		child_diag(&c);
}

/* Called in a case that cannot run, with the reason. */
TAP_UNUSED __attribute__((noreturn)) static void guest_skip(const char *reason)
{
	if (write(STDERR_FILENO, reason, strlen(reason)) < 0)
		_exit(2);
	_exit(GUEST_SKIPS);
}

static bool guest_wanted(const char *variable, const char *name)
{
	const char *only = getenv(variable);

	return !only || !strcmp(only, name);
}

static void guest_under_all(struct guest *guest)
{
	static const char *const profile[] = { "default", "balanced", "adaptive", "tight", "hardened" };
	unsigned i;

	for (i = 0; i < (guest->profiles ? sizeof profile / sizeof *profile : 1); i++)
		if (guest_wanted("HAKMEM_TEST_PROFILE", profile[i]))
			guest_under(guest, profile[i]);
}

/* The whole main function: runs all cases, or is the case that argv names. */
TAP_UNUSED static int guest_main(int argc, char **argv, struct guest *guest, size_t count)
{
	size_t i;

	if (argc > 2) {
		child_attach(atoi(argv[2]));
		guest_share();
		for (i = 0; i < count && strcmp(argv[1], guest[i].mode); i++)
			;
		if (i < count)
			guest[i].body();
		return 0;
	}
	tap_start();
	alarm(0);		/* the watcher limits the time instead */
	guest_seed = tap_seed();
	for (i = 0; i < count; i++)
		if (guest_wanted("HAKMEM_TEST_CASE", guest[i].mode) &&
		    !emulator_fails(LACK_FORK, guest[i].name))
			guest_under_all(&guest[i]);
	return tap_end();
}

static void guest_remove(const char *folder)
{
	DIR *files = opendir(folder);
	struct dirent *file;

	while (files && (file = readdir(files)))
		unlinkat(dirfd(files), file->d_name, 0);
	if (files)
		closedir(files);
	rmdir(folder);
}

/*
 * The same for cases that write files, into the directory TEST_FOLDER. This process removes it,
 * because a case may be killed. It is in the current directory, so that make clean removes it if
 * this process is killed.
 */
TAP_UNUSED static int guest_main_with_folder(int argc, char **argv, struct guest *guest, size_t count)
{
	char folder[] = "test-files-XXXXXX";
	int result;

	if (argc > 2)
		return guest_main(argc, argv, guest, count);
	if (!mkdtemp(folder) || setenv("TEST_FOLDER", folder, 1))
		bail("mkdtemp: errno %d", errno);
	result = guest_main(argc, argv, guest, count);
	guest_remove(folder);
	return result;
}

/* Allocates blocks of all sizes, Tiny to Huge, and writes both ends of each. */
TAP_UNUSED static bool use_every_size(void)
{
	static const size_t size[] = { 1, 24, 100, 1000, 2048, 5000, 30000, 100000, 700000,
				       3 * MB, 40 * MB };
	enum { COUNT = sizeof size / sizeof *size };
	char *p[COUNT];
	bool good = true;
	size_t i;

	for (i = 0; i < COUNT; i++) {
		p[i] = (char *)hide(i % 3 ? malloc(size[i]) : calloc(1, size[i]));
		if (i % 2)
			p[i] = (char *)hide(realloc(p[i], size[i] + size[i] / 2));
		good = good && p[i];
		if (p[i])
			p[i][0] = p[i][size[i] - 1] = (char)i;
	}
	for (i = 0; i < COUNT; i += 2)
		free(p[i]);
	for (i = 1; i < COUNT; i += 2)
		free(p[i]);
	return good;
}

/* Allocates blocks for several SuperSlabs: threads that grow the heap visit those of other
 * threads. */
TAP_UNUSED static bool use_many(void)
{
	enum { COUNT = 6000 };
	static _Thread_local void *p[COUNT];
	bool good = true;
	size_t i;

	for (i = 0; i < COUNT; i++)
		good = (p[i] = hide(malloc(200 + i % 8 * 200))) && good;
	for (i = 0; i < COUNT; i++)
		free(p[i]);
	return good;
}

/*
 * Calls of every kind on blocks of all sizes, one at a time. Each thread uses its own blocks
 * and checks their contents.
 */
struct churn {
	uint64_t random;
	struct { unsigned char *p; size_t size; } slot[256];
};

static void churn_mark(struct churn *c, size_t i, void *p, size_t size)
{
	c->slot[i].p = (unsigned char *)hide(p);
	c->slot[i].size = size;
	if (!p)
		fail("no memory for %zu bytes\n", size);
	c->slot[i].p[0] = c->slot[i].p[size - 1] = (unsigned char)(size * 31);
}

TAP_UNUSED static void churn_once(struct churn *c)
{
	size_t i = random_below(&c->random, 256), kind = random_below(&c->random, 16);
	size_t size = random_size(&c->random, kind == 15 ? 3 * MB : kind > 12 ? 100 * KB : 4 * KB);
	unsigned char *p = c->slot[i].p, byte = (unsigned char)(c->slot[i].size * 31);

	if (p && (p[0] != byte || p[c->slot[i].size - 1] != byte))
		fail("a block of %zu bytes was written to\n", c->slot[i].size);
	if (p && kind % 4 == 0) {
		churn_mark(c, i, realloc(p, size), size);
	} else if (p) {
		c->slot[i].p = NULL;
		free(p);
	} else if (kind % 4 == 1) {
		churn_mark(c, i, calloc(1, size), size);
	} else if (kind % 4 == 2) {
		churn_mark(c, i, memalign(64, size), size);
	} else {
		churn_mark(c, i, malloc(size), size);
	}
}

TAP_UNUSED static void churn_end(struct churn *c)
{
	size_t i;

	for (i = 0; i < 256; i++)
		free(c->slot[i].p);
	memset(c->slot, 0, sizeof c->slot);
}

TAP_UNUSED static struct churn *churn_new(uint64_t random)
{
	struct churn *c = (struct churn *)calloc(1, sizeof *c);

	if (!c)
		fail("no memory\n");
	c->random = random;
	return c;
}

TAP_UNUSED static void churn_delete(struct churn *c)
{
	churn_end(c);
	free(c);
}

static _Atomic bool churn_stop;

/* A thread that churns until the case sets churn_stop. */
TAP_UNUSED static void *churn_on(void *number)
{
	struct churn *churn = churn_new(shared->seed + (uintptr_t)number);

	while (!churn_stop)
		churn_once(churn);
	churn_delete(churn);
	return NULL;
}

#pragma weak _Fork
extern pid_t _Fork(void);

/* A fork that runs no handlers, by a system call if libc has no function for it. */
TAP_UNUSED static pid_t fork_by_clone(void)
{
#ifdef __s390__
	return (pid_t)syscall(SYS_clone, 0, SIGCHLD, NULL, NULL, 0);
#else
	return (pid_t)syscall(SYS_clone, SIGCHLD, 0, NULL, NULL, 0);
#endif
}

TAP_UNUSED static pid_t bare_fork(void)
{
	return _Fork ? _Fork() : fork_by_clone();
}

/* How a child ended: its exit status, or 128 plus its signal. */
TAP_UNUSED static int child_end(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 96;
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

TAP_UNUSED static void start_thread(pthread_t *id, void *(*body)(void *), void *argument)
{
	int error = pthread_create(id, NULL, body, argument);

	if (error)
		fail("cannot start a thread: error %d\n", error);
}

#endif
