/*
 * One run of the user's program. The command is a subreaper: processes that the program
 * leaves behind become children of the command, which measures them and ends them.
 */
#include "cmd/compare.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SERVER_START = 30, LOAD_START = 10, SERVER_END = 10, REST_END = 1, MOST_POINTS = 8192 };

extern char **environ;

static volatile sig_atomic_t interrupted;
static pid_t *inherited;		/* children that existed before exec */

static void on_signal(int number)
{
	if (number != SIGCHLD)
		interrupted = number;
}

static void catch(int number, int flags)
{
	struct sigaction old, new = { .sa_handler = on_signal, .sa_flags = flags };

	sigaction(number, NULL, &old);
	if (number == SIGCHLD || old.sa_handler != SIG_IGN)
		sigaction(number, &new, NULL);
}

void measure_begin(void)
{
	sigset_t child;

	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	sigprocmask(SIG_BLOCK, &child, &outside_mask);
	sigdelset(&outside_mask, SIGCHLD);
	catch(SIGCHLD, 0);
	/* A second Ctrl-C ends the command at once. */
	catch(SIGINT, (int)SA_RESETHAND);
	catch(SIGTERM, (int)SA_RESETHAND);
	catch(SIGHUP, (int)SA_RESETHAND);
	inherited = children_of(getpid());
	prctl(PR_SET_CHILD_SUBREAPER, 1);
}

bool measure_interrupted(void)
{
	return interrupted;
}

static bool is_inherited(pid_t pid)
{
	return is_among(inherited, pid);
}

struct process {
	pid_t pid;			/* 0: not started, or has ended */
	int status;
};

/* The state of a run. */
struct stage {
	struct run *r;
	struct process program, helper;	/* helper: the load, or the command of prepare */
	struct watch watch;
	struct output of_program, of_helper;
	bool ready;
	unsigned points, stride;	/* number of sights, and how many sights a point stands for */
	double began, ended, last_when, last_bytes, area, first_when, shared;
	bool several;
};

static void add_point(struct stage *s, double when, double bytes)
{
	struct run *r = s->r;
	unsigned i;

	if (s->points++ % s->stride) {
		if (bytes > r->curve[r->samples - 1].bytes)
			r->curve[r->samples - 1].bytes = bytes;
		return;
	}
	if (r->samples == MOST_POINTS) {
		for (i = 0; i < MOST_POINTS / 2; i++) {
			r->curve[i] = r->curve[2 * i];
			if (r->curve[2 * i + 1].bytes > r->curve[i].bytes)
				r->curve[i].bytes = r->curve[2 * i + 1].bytes;
		}
		r->samples = MOST_POINTS / 2;
		s->stride *= 2;
	}
	if ((r->samples & (r->samples - 1)) == 0)
		r->curve = grow(r->curve, (r->samples ? 2 * r->samples : 1) * sizeof *r->curve);
	r->curve[r->samples++] = (struct sample){ when, bytes };
}

/* The watcher may have been misled by what it reads, so its values are untrusted. */
static double sane(double value)
{
	return value > 0 && value < 1e18 ? value : 0;
}

static void take_sight(struct stage *s, const struct sight *seen)
{
	double bytes = sane(seen->bytes), when = seen->when - s->began;

	s->ready |= seen->ready == 1;
	s->several |= seen->several == 1;
	s->shared = sane(seen->shared);
	s->r->delay = sane(seen->delay);
	s->r->partly |= seen->partly == 1;
	if (!(when >= s->last_when && seen->when <= s->ended && seen->when <= seconds_now()))
		return;
	if (s->points)
		s->area += s->last_bytes * (when - s->last_when);
	else
		s->first_when = when;
	s->last_when = when;
	s->last_bytes = bytes;
	if (bytes > s->r->figure[PEAK])
		s->r->figure[PEAK] = bytes;
	add_point(s, when, bytes);
}

static void look(struct stage *s)
{
	struct sight seen;

	while (s->watch.in >= 0 && read(s->watch.in, &seen, sizeof seen) == (ssize_t)sizeof seen)
		take_sight(s, &seen);
}

/* Measuring starts here. */
static void restart(struct stage *s, double began)
{
	look(s);
	s->began = began;
	s->ended = HUGE_VAL;
	s->points = s->r->samples = 0;
	s->stride = 1;
	s->area = s->last_when = s->r->figure[PEAK] = 0;
}

static void add_usage(struct run *r, const struct rusage *usage)
{
	r->figure[CPU] += (double)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) +
		(double)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) / 1e6;
	r->figure[FAULTS] += (double)(usage->ru_minflt + usage->ru_majflt);
}

static double largest_rss(const struct rusage *usage)
{
	return (double)usage->ru_maxrss * 1024;
}

static void reap(struct stage *s)
{
	struct rusage usage;
	int status;
	pid_t pid;

	while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
		if (pid == s->watch.child) {
			s->watch.child = -1;
		} else if (pid == s->helper.pid) {
			s->helper = (struct process){ 0, status };
		} else if (!is_inherited(pid)) {
			add_usage(s->r, &usage);
			if (pid != s->program.pid)
				continue;
			s->program = (struct process){ 0, status };
			/* The peak between two sights is known only for a single process. */
			if (!s->several && largest_rss(&usage) - s->shared > s->r->figure[PEAK])
				s->r->figure[PEAK] = largest_rss(&usage) - s->shared;
		}
	}
}

/* Waits for an event, at most so many seconds. */
static void step(struct stage *s, double seconds)
{
	struct pollfd in[] = { { .fd = s->watch.in, .events = POLLIN }, { .fd = s->of_program.in, .events = POLLIN },
			       { .fd = s->of_helper.in, .events = POLLIN } };
	struct timespec most = { .tv_nsec = (long)((seconds < 0.5 ? seconds > 0 ? seconds : 0 : 0.5) * 1e9) };

	reap(s);
	if (ppoll(in, 3, &most, &outside_mask) > 0 && in[0].revents & POLLHUP && !(in[0].revents & POLLIN)) {
		close(s->watch.in);
		s->watch.in = -1;
	}
	look(s);
	output_read(&s->of_program);
	output_read(&s->of_helper);
	reap(s);
}

static bool is_apart(const struct stage *s, pid_t pid)
{
	return is_inherited(pid) || pid == s->watch.child;
}

/* Sends a signal to all processes that the run left behind; false: there are none. */
static bool signal_rest(const struct stage *s, int number)
{
	pid_t *list = children_of(getpid()), *at;
	bool any = false;

	for (at = list; *at; at++)
		if (!is_apart(s, *at)) {
			kill(*at, number);
			any = true;
		}
	free(list);
	return any;
}

/* The children of a killed process become children of the command, so this needs several
 * passes. */
static void end_rest(struct stage *s)
{
	double now = seconds_now(), polite = now + REST_END, last = now + SERVER_END;

	signal_rest(s, SIGCONT);
	for (; signal_rest(s, now < polite ? SIGTERM : SIGKILL) && now < last; now = seconds_now())
		step(s, 0.02);
}

static void end_server(struct stage *s)
{
	double until = seconds_now() + SERVER_END;

	if (s->program.pid)
		kill(s->program.pid, SIGTERM);
	while (s->program.pid && seconds_now() < until && !interrupted)
		step(s, until - seconds_now());
}

static bool shell(struct stage *s, const char *command)
{
	char *const argv[] = { (char *)"sh", (char *)"-c", (char *)command, NULL };
	int failed = spawn(&s->of_helper, &s->helper.pid, argv, environ, "/dev/null", true);

	if (failed)
		warn("cannot start a shell: %s", strerror(failed));
	return !failed;
}

static void complain(const char *what, const char *command, int status, char *words)
{
	char *how = exit_text(status), *shown = printable(command, 200);

	warn("the %s command %s: %s%s%s", what, how, shown, words ? "\n" : "", words ? words : "");
	free(how);
	free(shown);
	free(words);
}

static bool prepare(struct stage *s, const char *command)
{
	if (!shell(s, command))
		return false;
	while (s->helper.pid && !interrupted)
		step(s, 0.5);
	if (!s->helper.pid && s->helper.status && !interrupted)
		complain("--prepare", command, s->helper.status, output_last(&s->of_helper));
	end_rest(s);
	return !s->helper.status && !interrupted;
}

/* Why a server cannot be measured; NULL: it waits for clients. */
static char *wait_ready(struct stage *s)
{
	double until = seconds_now() + SERVER_START;
	pid_t *left, *at;
	char *how;

	while (s->program.pid && !s->ready && seconds_now() < until && !interrupted)
		step(s, until - seconds_now());
	if (s->program.pid)
		return s->ready || interrupted ? NULL :
		       text("did not listen on a socket within %d s; --load is for servers", SERVER_START);
	left = children_of(getpid());
	for (at = left; *at && is_apart(s, *at); at++)
		;
	how = exit_text(s->program.status);
	if (*at && !how)
		how = text("became a daemon: tell it to stay in the foreground");
	else
		how = text("%s before the load began", how ? how : "ended");
	free(left);
	return how;
}

/* How and when the server ended; NULL: it succeeded. */
static char *ended(const struct stage *s, const char *when)
{
	char *how = exit_text(s->program.status), *out = how ? text("%s %s", how, when) : NULL;

	free(how);
	return out;
}

/* Runs the command that drives the server, with the user's own environment. It is retried for
 * a while; the measured time is that of the successful attempt. */
static char *drive(struct stage *s, const char *load)
{
	double until = seconds_now() + LOAD_START, began;
	char *how;
	static bool complained;

	for (;;) {
		began = seconds_now();
		restart(s, began);
		s->helper = (struct process){ 0 };
		if (!shell(s, load))
			return text("no load");
		while (s->program.pid && s->helper.pid && !interrupted)
			step(s, 0.5);
		s->r->figure[WALL] = seconds_now() - began;
		if (s->helper.pid || interrupted)
			break;
		if (!s->helper.status)
			return s->program.pid ? NULL : ended(s, "during the load");
		if (!complained)
			complain("--load", load, s->helper.status, output_last(&s->of_helper));
		complained = true;
		if (seconds_now() > until || !s->program.pid)
			break;
		step(s, 0.1);
	}
	if (interrupted || s->program.pid)
		return interrupted ? NULL : text("cannot be measured: its --load failed for %d s", LOAD_START);
	how = ended(s, "during the load");
	return how ? how : text("ended during the load");
}

static void run_server(struct stage *s, const char *load)
{
	s->r->fault = wait_ready(s);
	if (!s->r->fault && !interrupted)
		s->r->fault = drive(s, load);
	if (s->r->fault)
		s->r->words = output_last(&s->of_program);
}

/* A heap that was corrupted during the run often aborts only when the server frees its
 * memory. SIGTERM and SIGKILL were sent by the command itself. */
static char *end_fault(const struct stage *s)
{
	int status = s->program.status;

	if (s->program.pid || !WIFSIGNALED(status) || WTERMSIG(status) == SIGTERM || WTERMSIG(status) == SIGKILL)
		return NULL;
	return ended(s, "on SIGTERM");
}

static void stop_server(struct stage *s)
{
	end_server(s);
	if (s->r->fault || interrupted)
		return;
	s->r->fault = end_fault(s);
	if (s->r->fault)
		s->r->words = output_last(&s->of_program);
}

static void run_program(struct stage *s)
{
	while (s->program.pid && !interrupted)
		step(s, 0.5);
	s->r->figure[WALL] = seconds_now() - s->began;
	s->r->fault = s->program.pid ? NULL : exit_text(s->program.status);
	if (s->r->fault)
		s->r->words = output_last(&s->of_program);
}

static void average(struct stage *s)
{
	double end = s->r->figure[WALL];

	if (s->points && end > s->last_when)
		s->area += s->last_bytes * (end - s->last_when);
	if (s->points && end > s->first_when)
		s->r->figure[AVERAGE] = s->area / (end - s->first_when);
}

/* The watcher ends first, so that the end of the remaining processes is not measured. */
static void end_watch(struct stage *s)
{
	s->ended = s->began + s->r->figure[WALL];
	look(s);
	if (s->watch.identity != MAP_FAILED)
		s->r->identity = *s->watch.identity;
	s->r->identity.program[PATH_MAX - 1] = 0;
	watch_end(&s->watch);
	while (s->watch.child > 0)
		step(s, 0.5);
}

static void run(struct stage *s, const struct subject *what, char *const *environment)
{
	struct watcher watcher = { .ready = what->load, .orphans = !what->load, .apart = inherited };
	int failed;

	restart(s, seconds_now());
	failed = spawn(&s->of_program, &s->program.pid, what->argv, environment, what->input, what->load);
	if (failed) {
		s->r->fault = text("cannot be run: %s", strerror(failed));
		return;
	}
	watcher.program = s->program.pid;
	watch_begin(&s->watch, &watcher);
	if (what->load)
		run_server(s, what->load);
	else
		run_program(s);
	end_watch(s);
	average(s);
	if (what->load)
		stop_server(s);
	end_rest(s);
	/* The run was too short for a sight between start and end. */
	if (!s->r->samples)
		s->r->figure[AVERAGE] = s->r->figure[PEAK];
}

bool measure(struct run *r, const struct subject *s, char *const *environment)
{
	struct stage stage = { .r = r, .of_program = { .in = -1 }, .of_helper = { .in = -1 },
			       .watch = { .child = -1, .in = -1, .identity = MAP_FAILED } };
	bool good = true;

	*r = (struct run){ 0 };
	if (s->prepare)
		good = prepare(&stage, s->prepare);
	memset(r->figure, 0, sizeof r->figure);
	if (good)
		run(&stage, s, environment);
	output_end(&stage.of_program);
	output_end(&stage.of_helper);
	return good && !interrupted;
}

void run_free(struct run *r)
{
	free(r->fault);
	free(r->words);
	free(r->curve);
	*r = (struct run){ 0 };
}
