/*
 * TAP output for tests of a malloc; nothing here allocates memory. Lines are composed on the
 * stack with %s, %p and integers only, for which snprintf needs no heap, and are written by
 * write(2).
 *
 * A program calls tap_start first, ok() once per case, and returns tap_end(). The plan is the
 * last line, so that a program that crashes has none, which the harness detects.
 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#ifdef HK_PREFIXED
#include "prefixed.h"
#endif

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TAP_UNUSED __attribute__((unused))
#define TAP_FORMAT(n) __attribute__((unused, format(printf, n, n + 1)))

static int tap_count, tap_failures;

static void tap_write(const char *text, size_t length)
{
	while (length) {
		ssize_t done = write(STDOUT_FILENO, text, length);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return;
		text += done;
		length -= (size_t)done;
	}
}

static void tap_line(const char *prefix, const char *format, va_list args)
{
	char line[1024];
	int n = snprintf(line, sizeof line, "%s", prefix);

	n += vsnprintf(line + n, sizeof line - (size_t)n - 1, format, args);
	if (n > (int)sizeof line - 2)
		n = (int)sizeof line - 2;
	line[n++] = '\n';
	tap_write(line, (size_t)n);
}

TAP_FORMAT(1) static void diag(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tap_line("# ", format, args);
	va_end(args);
}

/* Reports one case; returns its outcome. */
TAP_FORMAT(2) static bool ok(bool good, const char *format, ...)
{
	char prefix[32];
	va_list args;

	snprintf(prefix, sizeof prefix, "%sok %d - ", good ? "" : "not ", ++tap_count);
	tap_failures += !good;
	va_start(args, format);
	tap_line(prefix, format, args);
	va_end(args);
	return good;
}

TAP_UNUSED static void skip(const char *name, const char *reason)
{
	char line[512];
	int n = snprintf(line, sizeof line, "ok %d - %s # SKIP %s\n", ++tap_count, name, reason);

	tap_write(line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1);
}

TAP_UNUSED static int tap_end(void)
{
	char line[32];
	int n = snprintf(line, sizeof line, "1..%d\n", tap_count);

	tap_write(line, (size_t)n);
	return tap_failures != 0;
}

/* A failure after which the program cannot continue. */
TAP_FORMAT(1) __attribute__((noreturn)) static void bail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	tap_line("Bail out! ", format, args);
	va_end(args);
	_exit(99);
}

/* Reads a file whole, or as much of it as fits, and ends the text. False: it cannot be opened. */
TAP_UNUSED static bool tap_read(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t n;

	if (fd < 0)
		return false;
	while ((n = read(fd, text + length, size - 1 - length)) > 0)
		length += (size_t)n;
	close(fd);
	text[length] = 0;
	return true;
}

/* HAKMEM_TEST_QUICK=20 shortens long loops to a twentieth, for valgrind and similar tools. */
TAP_UNUSED static unsigned long tap_rounds(unsigned long full)
{
	const char *given = getenv("HAKMEM_TEST_QUICK");
	unsigned long part = given ? strtoul(given, NULL, 10) : 0;

	return part ? full / part + 1 : full;
}

/* The seed of this run; HAKMEM_TEST_SEED repeats an earlier run. */
TAP_UNUSED static uint64_t tap_seed(void)
{
	const char *given = getenv("HAKMEM_TEST_SEED");
	struct timespec now;
	uint64_t seed;

	clock_gettime(CLOCK_REALTIME, &now);
	seed = given ? strtoull(given, NULL, 0)
		     : (uint64_t)now.tv_sec * 1000000007u ^ (uint64_t)now.tv_nsec;
	diag("HAKMEM_TEST_SEED=%llu", (unsigned long long)seed);
	return seed;
}

/*
 * Ends a program that hangs, by SIGALRM: one that used less than a hundredth of a processor
 * for so many seconds, or that used more processor time than the limit. A program that is
 * slow on a busy machine does neither. The time is divided into parts, and the program must
 * be idle in each of them: one that was stopped for a while is not ended. A child that this
 * process waits for is included.
 */
enum { TAP_PARTS = 4 };
static struct {
	double part, limit, before;
	int idle;
	pid_t child;
} tap_watched;

static double tap_seconds(clockid_t clock)
{
	struct timespec t;

	return clock_gettime(clock, &t) ? 0 : (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double tap_used(void)
{
	struct rusage ended;
	clockid_t child;
	double used = tap_seconds(CLOCK_PROCESS_CPUTIME_ID);

	getrusage(RUSAGE_CHILDREN, &ended);
	used += (double)(ended.ru_utime.tv_sec + ended.ru_stime.tv_sec) +
		(double)(ended.ru_utime.tv_usec + ended.ru_stime.tv_usec) / 1e6;
	if (tap_watched.child && clock_getcpuclockid(tap_watched.child, &child) == 0)
		used += tap_seconds(child);
	return used;
}

static void tap_look_again(void)
{
	struct itimerval next;

	memset(&next, 0, sizeof next);
	next.it_value.tv_sec = (time_t)tap_watched.part;
	next.it_value.tv_usec = (suseconds_t)((tap_watched.part - (double)next.it_value.tv_sec) * 1e6);
	setitimer(ITIMER_REAL, &next, NULL);
}

static void tap_look(int number)
{
	double used = tap_used(), now = used - tap_watched.before;
	int kept = errno;

	/* It is less than before if a child has ended whose time is not counted yet. */
	tap_watched.idle = now >= 0 && now < tap_watched.part / 100 ? tap_watched.idle + 1 : 0;
	tap_watched.before = used;
	if (used > tap_watched.limit || tap_watched.idle == TAP_PARTS) {
		signal(number, SIG_DFL);
		raise(number);
	}
	tap_look_again();
	errno = kept;
}

/* The limit is the processor time available in that period; HAKMEM_TEST_QUICK raises it. */
TAP_UNUSED static void tap_watch(unsigned seconds)
{
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	struct sigaction look;

	memset(&tap_watched, 0, sizeof tap_watched);
	tap_watched.part = seconds / (double)TAP_PARTS;
	tap_watched.limit = seconds * (processors < 4 ? (double)processors : 4.0) *
		(getenv("HAKMEM_TEST_QUICK") ? 20 : 1);
	memset(&look, 0, sizeof look);
	look.sa_handler = tap_look;
	look.sa_flags = SA_RESTART;
	sigaction(SIGALRM, &look, NULL);
	tap_look_again();
}

/*
 * Makes sure that the program ends, and that malloc is the one under test: a suite that runs
 * with libc's malloc by mistake would pass. HAKMEM_TEST_OTHER=1 allows any malloc, to test
 * the tests.
 */
TAP_UNUSED static bool tap_other;

TAP_UNUSED static void tap_start(void)
{
	tap_watch(300);
	tap_other = getenv("HAKMEM_TEST_OTHER") != NULL;
#ifndef HK_PREFIXED
	void *ours = dlsym(RTLD_DEFAULT, "hak_malloc");
	void *used = dlsym(RTLD_DEFAULT, "malloc");
	Dl_info a, b;

	if (tap_other)
		return;
	if (!ours || !dladdr(ours, &a) || !dladdr(used, &b) || a.dli_fbase != b.dli_fbase)
		bail("malloc is not HAKMEM's in this process");
#endif
}

/* Skips all tests and returns true if a level of HAKMEM_HARDEN is in force, which this suite
 * does not support. */
TAP_UNUSED static bool tap_hardened(const char *reason)
{
	const char *level = getenv("HAKMEM_HARDEN"), *profile = getenv("HAKMEM_PROFILE");
	bool on = level ? strcmp(level, "0") != 0 : profile && !strcmp(profile, "hardened");

	if (on)
		skip("all", reason);
	return on;
}

/*
 * Hide the origin of a pointer or a size from the compiler: otherwise it would remove pairs
 * of malloc and free, and warn about intended errors.
 */
TAP_UNUSED static void *hide(const void *p)
{
	uintptr_t q = (uintptr_t)p;

	__asm__ volatile("" : "+r"(q) : : "memory");
	return (void *)q;
}

/* A new thread shares a cache with others until it has made some calls. */
TAP_UNUSED static void get_own_cache(void)
{
	int i;

	for (i = 0; i < 100; i++)
		free(hide(malloc(100)));
}

TAP_UNUSED static size_t hide_size(size_t size)
{
	__asm__ volatile("" : "+r"(size));
	return size;
}

#endif
