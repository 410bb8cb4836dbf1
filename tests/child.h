/*
 * Runs a function in a forked child and records how it ended and what it wrote to standard
 * error. In cases of misuse, the child announces the expected message before the bad call.
 */
#ifndef TESTS_CHILD_H
#define TESTS_CHILD_H

#include "emulated.h"

#include <pthread.h>

struct child {
	int status;		/* from waitpid */
	size_t length;
	char err[16384];		/* standard error, NUL-terminated */
};

/* The messages that are expected, shared with the child even across exec. */
enum { EXPECT_SIZE = 4096 };
static char *expected;
static int expected_fd = -1;

TAP_UNUSED static void child_attach(int fd)
{
	expected_fd = fd;
	expected = (char *)mmap(NULL, EXPECT_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (expected == MAP_FAILED)
		bail("cannot map the shared page");
}

/*
 * Announces an expected message. Several calls give alternatives; a '*' at the end matches
 * any rest.
 */
TAP_FORMAT(1) static void expect(const char *format, ...)
{
	size_t used = strlen(expected);
	va_list args;

	va_start(args, format);
	vsnprintf(expected + used, EXPECT_SIZE - used - 1, format, args);
	va_end(args);
	strcat(expected, "\n");
}

/* Removes the line that a user-mode emulator adds when a signal ends the child. */
static void child_drop_emulator(struct child *c)
{
	char *line = emulator() ? strstr(c->err, "qemu: uncaught target signal ") : NULL;

	if (line && (line == c->err || line[-1] == '\n')) {
		*line = 0;
		c->length = (size_t)(line - c->err);
	}
}

static void child_collect(int fd, struct child *c)
{
	char rest[512];

	for (;;) {
		bool room = c->length < sizeof c->err - 1;
		ssize_t got = room ? read(fd, c->err + c->length, sizeof c->err - 1 - c->length)
				   : read(fd, rest, sizeof rest);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			break;
		if (room)
			c->length += (size_t)got;
	}
	c->err[c->length] = 0;
	child_drop_emulator(c);
}

/* seconds: as in tap_watch, which ends a child that hangs by SIGALRM. */
static struct child child_run(void (*body)(void *), void *arg, unsigned seconds)
{
	struct rlimit none = { 0, 0 };
	struct child c;
	int ends[2];
	pid_t pid;

	memset(&c, 0, sizeof c);
	if (expected_fd < 0) {
		int fd = memfd_create("expected", 0);

		if (fd < 0 || ftruncate(fd, EXPECT_SIZE) < 0)
			bail("cannot make the shared page");
		child_attach(fd);
	}
	memset(expected, 0, EXPECT_SIZE);
	if (pipe2(ends, O_CLOEXEC) < 0 || (pid = fork()) < 0)
		bail("cannot start a child: errno %d", errno);
	if (pid == 0) {
		dup2(ends[1], STDERR_FILENO);
		setrlimit(RLIMIT_CORE, &none);
		tap_watch(seconds);
		body(arg);
		_exit(0);
	}
	tap_watched.child = pid;
	close(ends[1]);
	child_collect(ends[0], &c);
	close(ends[0]);
	while (waitpid(pid, &c.status, 0) < 0 && errno == EINTR)
		;
	tap_watched.child = 0;
	return c;
}

/* Called in a child: reports why the case fails, and exits. */
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

/* Called in a child: runs several threads, each with a pointer to a seed, and joins them. */
TAP_UNUSED static void seeded_threads(unsigned count, void *(*body)(void *), uint64_t seed)
{
	uint64_t seeds[8];
	pthread_t id[8];
	unsigned i;

	for (i = 0; i < count; i++) {
		seeds[i] = seed + i;
		if (pthread_create(&id[i], NULL, body, &seeds[i]))
			fail("cannot start a thread");
	}
	for (i = 0; i < count; i++)
		pthread_join(id[i], NULL);
}

TAP_UNUSED static void child_diag(const struct child *c)
{
	const char *line = c->err;

	if (WIFSIGNALED(c->status))
		diag("  ended by signal %d", WTERMSIG(c->status));
	else
		diag("  ended with exit status %d", WEXITSTATUS(c->status));
	while (*line) {
		size_t n = strcspn(line, "\n");

		diag("  said: %.*s", (int)n, line);
		line += n + (line[n] == '\n');
	}
}

/* A case that passes if the child exited with 0 and printed nothing. */
TAP_UNUSED static bool child_passes(const struct child *c, const char *name)
{
	bool good = WIFEXITED(c->status) && WEXITSTATUS(c->status) == 0 && c->length == 0;

	if (!ok(good, "%s", name))
		child_diag(c);
	return good;
}

/* The body must return and print nothing. */
TAP_UNUSED static bool child_ok(void (*body)(void *), void *arg, unsigned seconds, const char *name)
{
	struct child c = child_run(body, arg, seconds);

	return child_passes(&c, name);
}

static bool line_matches(const char *line, size_t n, const char *pattern, size_t m)
{
	if (m && pattern[m - 1] == '*')
		return n >= m - 1 && !memcmp(line, pattern, m - 1);
	return n == m && !memcmp(line, pattern, m);
}

/* One announced line, then SIGABRT, and nothing else. */
static bool child_said_it(const struct child *c)
{
	const char *level = getenv("HAKMEM_DEBUG_LEVEL");
	bool ring = level && *level != '0';
	const char *pattern = expected;
	size_t n = strcspn(c->err, "\n");

#ifdef HK_DEBUG
	ring = true;
#endif
	if (!WIFSIGNALED(c->status) || WTERMSIG(c->status) != SIGABRT || c->err[n] != '\n')
		return false;
	/* Debug levels and debug builds print the ring of events after the message. */
	if (c->err[n + 1] && !ring)
		return false;
	while (*pattern) {
		size_t m = strcspn(pattern, "\n");

		if (line_matches(c->err, n, pattern, m))
			return true;
		pattern += m + (pattern[m] == '\n');
	}
	return false;
}

TAP_UNUSED static bool child_aborts(void (*body)(void *), void *arg, const char *name)
{
	struct child c;
	const char *line;

	if (tap_other) {
		skip(name, "only HAKMEM promises this");
		return true;
	}
	c = child_run(body, arg, 60);
	if (ok(child_said_it(&c), "%s", name))
		return true;
	for (line = expected; *line;) {
		size_t n = strcspn(line, "\n");

		diag("  wanted: %.*s", (int)n, line);
		line += n + (line[n] == '\n');
	}
	child_diag(&c);
	return false;
}

/*
 * Called in a child: executes this program again in another mode. It gets the mode as argv[1]
 * and the descriptor of the shared page as argv[2].
 */
TAP_UNUSED static void child_exec(const char *mode)
{
	char fd[16];

	snprintf(fd, sizeof fd, "%d", expected_fd);
	/* The library reports HAKMEM_ names that it does not know. */
	unsetenv("HAKMEM_TEST_SEED");
	unsetenv("HAKMEM_TEST_OTHER");
	unsetenv("HAKMEM_TEST_QUICK");
	exec_self("again", mode, fd);
	_exit(98);
}

#endif
