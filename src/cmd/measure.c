/* One run of the user's program, and its memory while it runs. */
#include "cmd/compare.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SERVER_START = 10, SERVER_END = 10 };	/* seconds */

static double resident(pid_t pid)
{
	static long page;
	char path[64];
	double pages = 0;
	FILE *in;

	if (!page)
		page = sysconf(_SC_PAGESIZE);
	snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
	in = fopen(path, "re");
	if (in && fscanf(in, "%*s %lf", &pages) != 1)
		pages = 0;
	if (in)
		fclose(in);
	return pages * (double)page;
}

/* A process and its descendants: programs come wrapped in scripts. Pages that
 * they share count for each. */
static double tree_resident(pid_t pid, unsigned depth)
{
	double sum = resident(pid);
	char path[64];
	FILE *in;
	int child;

	snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
	in = depth ? fopen(path, "re") : NULL;
	while (in && fscanf(in, "%d", &child) == 1)
		sum += tree_resident(child, depth - 1);
	if (in)
		fclose(in);
	return sum;
}

static pid_t start(char *const *argv, char *const *environment, const char *input, const sigset_t *mask)
{
	pid_t child = fork();
	int in, out;

	if (child)
		return child;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	in = open(input, O_RDONLY);
	out = open("/dev/null", O_WRONLY);
	dup2(in, STDIN_FILENO);
	dup2(out, STDOUT_FILENO);
	dup2(out, STDERR_FILENO);
	sigprocmask(SIG_SETMASK, mask, NULL);
	execvpe(argv[0], argv, environment);
	_exit(errno == ENOENT ? RUN_NOWHERE : RUN_CANNOT);
}

static int shell_status(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void sample(struct run *r, pid_t pid, double when)
{
	double bytes = tree_resident(pid, 8);

	/* The program has not replaced its starter yet, or it is gone. */
	if (bytes == 0)
		return;
	if ((r->samples & (r->samples - 1)) == 0)
		r->curve = grow(r->curve, (r->samples ? 2 * r->samples : 1) * sizeof *r->curve);
	r->curve[r->samples++] = (struct sample){ when, bytes };
	if (bytes > r->figure[PEAK])
		r->figure[PEAK] = bytes;
}

/* Samples the process until a child ends; false: until the time is up. */
static bool wait_child(struct run *r, pid_t pid, double began, double until, pid_t awaited, int *status,
		       struct rusage *usage)
{
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	while (wait4(awaited, status, WNOHANG, usage) != awaited) {
		double now = seconds_now(), pause = (now - began) / 500;
		struct timespec t;

		if (now > until)
			return false;
		if (pid)
			sample(r, pid, now - began);
		/* Often in a short run, seldom enough in a long one. */
		pause = pause < 0.001 ? 0.001 : pause > 0.02 ? 0.02 : pause;
		t = (struct timespec){ .tv_nsec = (long)(pause * 1e9) };
		sigtimedwait(&child, NULL, &t);
	}
	return true;
}

static double average(const struct run *r, double end)
{
	double area = 0;
	unsigned i;

	for (i = 0; i < r->samples; i++) {
		double next = i + 1 < r->samples ? r->curve[i + 1].when : end;

		area += r->curve[i].bytes * (next - r->curve[i].when);
	}
	return r->samples && end > r->curve[0].when ? area / (end - r->curve[0].when) : 0;
}

/* A server that is ready sleeps until somebody comes. Clients that come before
 * it listens may fail, or wait for ever. */
static void wait_ready(pid_t pid, double until)
{
	struct timespec pause = { .tv_nsec = 10000000 };
	char path[64], state = 0;
	unsigned asleep = 0;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	while (asleep < 10 && state != 'Z' && seconds_now() < until) {
		FILE *in = fopen(path, "re");

		if (in && fscanf(in, "%*d (%*[^)]) %c", &state) == 1)
			asleep = state == 'S' ? asleep + 1 : 0;
		if (in)
			fclose(in);
		nanosleep(&pause, NULL);
	}
}

/* The command that drives the server, with the user's own environment. It is
 * tried again for a while; the time is that of the try that went well. */
static bool drive(struct run *r, pid_t server, const char *load, const sigset_t *mask, double began,
		  double *wall)
{
	extern char **environ;
	char *const argv[] = { (char *)"sh", (char *)"-c", (char *)load, NULL };
	struct timespec pause = { .tv_nsec = 50000000 };
	struct rusage unused;
	siginfo_t info;
	double from;
	int status;

	wait_ready(server, began + SERVER_START);
	do {
		pid_t child;

		from = seconds_now();
		r->samples = 0;
		child = start(argv, environ, "/dev/null", mask);
		wait_child(r, server, began, 1e18, child, &status, &unused);
		*wall = seconds_now() - from;
		info.si_pid = 0;
		waitid(P_PID, (id_t)server, &info, WEXITED | WNOHANG | WNOWAIT);
		if (status)
			nanosleep(&pause, NULL);
	} while (status && !info.si_pid && seconds_now() - began < SERVER_START);
	return !status;
}

struct run measure(char *const *argv, const struct contender *c, const char *load, const char *input)
{
	struct run r = { 0 };
	struct rusage usage = { 0 };
	sigset_t child, mask;
	double began, end;
	int status = 0;
	bool driven = true;
	pid_t pid;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &mask);
	began = seconds_now();
	pid = start(argv, c->environment, input, &mask);
	if (pid < 0)
		exit(fail(FOUND, "cannot start a process: %s", strerror(errno)));
	if (load) {
		driven = drive(&r, pid, load, &mask, began, &r.figure[WALL]);
		end = seconds_now() - began;
		r.figure[AVERAGE] = average(&r, end);
		kill(pid, SIGTERM);
		if (!wait_child(&r, 0, began, seconds_now() + SERVER_END, pid, &status, &usage)) {
			kill(pid, SIGKILL);
			wait_child(&r, 0, began, 1e18, pid, &status, &usage);
		}
	} else {
		wait_child(&r, pid, began, 1e18, pid, &status, &usage);
		end = r.figure[WALL] = seconds_now() - began;
		r.figure[AVERAGE] = average(&r, end);
	}
	sigprocmask(SIG_SETMASK, &mask, NULL);
	/* How a server takes its SIGTERM is not what counts. */
	r.status = !load ? shell_status(status) : driven ? 0 : FOUND;
	r.figure[CPU] = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
		(double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
	r.figure[FAULTS] = (double)(usage.ru_minflt + usage.ru_majflt);
	if ((double)usage.ru_maxrss * 1024 > r.figure[PEAK])
		r.figure[PEAK] = (double)usage.ru_maxrss * 1024;
	/* Too short for a sample between start and end. */
	if (!r.samples)
		r.figure[AVERAGE] = r.figure[PEAK];
	return r;
}
