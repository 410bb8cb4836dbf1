/*
 * One run of the user's program. The command is a subreaper: what the program leaves
 * running becomes a child of the command, which counts it and ends it.
 */
#include "cmd/compare.h"

#include <errno.h>
#include <fcntl.h>
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

enum { SERVER_START = 30, LOAD_START = 10, SERVER_END = 10, REST_END = 1, MOST_POINTS = 8192, WORDS = 2048 };

extern char **environ;

static volatile sig_atomic_t interrupted;
static sigset_t outside;		/* the mask of whoever started the command */
static pid_t *inherited;		/* children from before exec */

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
	sigprocmask(SIG_BLOCK, &child, &outside);
	sigdelset(&outside, SIGCHLD);
	catch(SIGCHLD, 0);
	/* Whoever presses Ctrl-C twice is in a hurry. */
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
	const pid_t *at = inherited;

	while (*at && *at != pid)
		at++;
	return *at;
}

struct process {
	pid_t pid;			/* 0: there is none, or it has ended */
	int status;
};

/* The end of what processes write, for messages. */
struct output {
	int in;				/* or -1 */
	char tail[WORDS];
	size_t length;
};

/* What goes on during a run. */
struct stage {
	struct run *r;
	struct process program, helper;	/* helper: the load, or what prepares */
	struct watch watch;
	struct output of_program, of_helper;
	bool ready;
	unsigned points, stride;	/* sights, and how many of them a point stands for */
	double began, ended, last_when, last_bytes, area, first_when, shared;
	bool several;
};

/* Starts a process and waits until it has called exec; errno, or 0. */
static int spawn(pid_t *pid, char *const *argv, char *const *environment, const char *input, int out, int error)
{
	int ends[2], failed = 0, in;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return errno;
	*pid = fork();
	if (*pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		in = open(input, O_RDONLY);
		dup2(in, STDIN_FILENO);
		if (in > STDERR_FILENO)
			close(in);
		dup2(out, STDOUT_FILENO);
		dup2(error, STDERR_FILENO);
		sigprocmask(SIG_SETMASK, &outside, NULL);
		execvpe(argv[0], argv, environment);
		failed = errno;
		if (write(ends[1], &failed, sizeof failed) < 0)
			_exit(RUN_NOWHERE);
		_exit(RUN_CANNOT);
	}
	failed = *pid < 0 ? errno : 0;
	close(ends[1]);
	if (*pid > 0 && read(ends[0], &failed, sizeof failed) != (ssize_t)sizeof failed)
		failed = 0;
	close(ends[0]);
	if (failed && *pid > 0)
		waitpid(*pid, NULL, 0);
	if (failed)
		*pid = 0;
	return failed;
}

/* Without all, standard output is dropped by the kernel: a pipe would slow down a program
 * that writes much. */
static int spawn_heard(struct output *o, pid_t *pid, char *const *argv, char *const *environment,
		       const char *input, bool all)
{
	int ends[2], nothing = open("/dev/null", O_WRONLY | O_CLOEXEC), failed;

	if (o->in >= 0)
		close(o->in);
	o->in = -1;
	o->length = 0;
	if (pipe2(ends, O_CLOEXEC) < 0) {
		failed = errno;
	} else {
		failed = spawn(pid, argv, environment, input, all ? ends[1] : nothing, ends[1]);
		close(ends[1]);
		o->in = ends[0];
		fcntl(o->in, F_SETFL, O_NONBLOCK);
	}
	close(nothing);
	return failed;
}

static void hear(struct output *o)
{
	char piece[4096];
	unsigned times;

	for (times = 0; times < 64 && o->in >= 0; times++) {
		ssize_t got = read(o->in, piece, sizeof piece);
		size_t keep, size;

		if (got < 0)
			return;
		if (got == 0) {
			close(o->in);
			o->in = -1;
			return;
		}
		size = (size_t)got < WORDS ? (size_t)got : WORDS;
		keep = o->length + size > WORDS ? WORDS - size : o->length;
		memmove(o->tail, o->tail + o->length - keep, keep);
		memcpy(o->tail + keep, piece + got - size, size);
		o->length = keep + size;
	}
}

/* The last lines, each printable and indented. */
static char *last_words(struct output *o)
{
	enum { LINES = 5 };
	char copy[WORDS + 1], *from, *line, *out = text("%s", ""), *more, *shown;
	unsigned lines = 0;

	hear(o);
	while (o->length && o->tail[o->length - 1] == '\n')
		o->length--;
	if (!o->length) {
		free(out);
		return NULL;
	}
	memcpy(copy, o->tail, o->length);
	copy[o->length] = 0;
	for (from = copy + o->length; from > copy && lines < LINES; from--)
		lines += from[-1] == '\n';
	if (lines == LINES)
		from++;
	while ((line = strsep(&from, "\n"))) {
		shown = printable(line, 200);
		more = text("%s%s  %s", out, *out ? "\n" : "", shown);
		free(shown);
		free(out);
		out = more;
	}
	return out;
}

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

/* The watcher may have been misled, by what it reads, into sending anything. */
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
	if (!(when >= s->last_when && seen->when <= s->ended))
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

/* Figures count from now on. */
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
			/* Only of a single process is the peak between two sights known. */
			if (!s->several && largest_rss(&usage) - s->shared > s->r->figure[PEAK])
				s->r->figure[PEAK] = largest_rss(&usage) - s->shared;
		}
	}
}

/* Waits for something to happen, at most so many seconds. */
static void step(struct stage *s, double seconds)
{
	struct pollfd in[] = { { .fd = s->watch.in, .events = POLLIN }, { .fd = s->of_program.in, .events = POLLIN },
			       { .fd = s->of_helper.in, .events = POLLIN } };
	struct timespec most = { .tv_nsec = (long)((seconds < 0.5 ? seconds > 0 ? seconds : 0 : 0.5) * 1e9) };

	reap(s);
	if (ppoll(in, 3, &most, &outside) > 0 && in[0].revents & POLLHUP && !(in[0].revents & POLLIN)) {
		close(s->watch.in);
		s->watch.in = -1;
	}
	look(s);
	hear(&s->of_program);
	hear(&s->of_helper);
	reap(s);
}

static char *signal_text(int number)
{
	static const struct {
		int number;
		const char *name;
	} signals[] = {
		{ SIGSEGV, "SEGV" }, { SIGABRT, "ABRT" }, { SIGBUS, "BUS" }, { SIGILL, "ILL" }, { SIGFPE, "FPE" },
		{ SIGKILL, "KILL" }, { SIGTERM, "TERM" }, { SIGTRAP, "TRAP" }, { SIGPIPE, "PIPE" }, { SIGSYS, "SYS" },
		{ SIGINT, "INT" }, { SIGHUP, "HUP" }, { SIGALRM, "ALRM" }, { SIGXCPU, "XCPU" }, { SIGXFSZ, "XFSZ" },
	};
	unsigned i;

	for (i = 0; i < sizeof signals / sizeof *signals; i++)
		if (signals[i].number == number)
			return text("killed by SIG%s", signals[i].name);
	return text("killed by signal %d", number);
}

/* How a process ended, unless it succeeded. A shell adds 128 to the signal that killed
 * its command. */
static char *ending(int status)
{
	int code = WEXITSTATUS(status);
	char *killed, *out;

	if (WIFSIGNALED(status))
		return signal_text(WTERMSIG(status));
	if (code <= 128 || code >= 128 + NSIG)
		return code ? text("ended with status %d", code) : NULL;
	killed = signal_text(code - 128);
	out = text("ended with status %d, as if %s", code, killed);
	free(killed);
	return out;
}

static bool is_apart(const struct stage *s, pid_t pid)
{
	return is_inherited(pid) || pid == s->watch.child;
}

/* Sends a signal to all that the run has left; false: nothing is left. */
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

/* A process that is killed leaves its children to the command, so it takes several times. */
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
	int failed = spawn_heard(&s->of_helper, &s->helper.pid, argv, environ, "/dev/null", true);

	if (failed)
		warn("cannot start a shell: %s", strerror(failed));
	return !failed;
}

static void complain(const char *what, const char *command, int status, char *words)
{
	char *how = ending(status), *shown = printable(command, 200);

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
	if (!s->helper.pid && s->helper.status)
		complain("--prepare", command, s->helper.status, last_words(&s->of_helper));
	end_rest(s);
	return !s->helper.status && !interrupted;
}

/* What keeps a server from being measured; NULL: it waits for clients. */
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
	how = ending(s->program.status);
	if (*at && !how)
		how = text("became a daemon: tell it to stay in the foreground");
	else
		how = text("%s before the load began", how ? how : "ended");
	free(left);
	return how;
}

/* The command that drives the server, with the user's own environment. It is tried again
 * for a while; the time is that of the try that succeeded. */
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
			return NULL;
		if (!complained)
			complain("--load", load, s->helper.status, last_words(&s->of_helper));
		complained = true;
		if (seconds_now() > until || !s->program.pid)
			break;
		step(s, 0.1);
	}
	if (interrupted || s->program.pid)
		return interrupted ? NULL : text("cannot be measured: its --load failed for %d s", LOAD_START);
	how = ending(s->program.status);
	return text("%s during the load", how ? how : "ended");
}

static void run_server(struct stage *s, const char *load)
{
	s->r->fault = wait_ready(s);
	if (!s->r->fault && !interrupted)
		s->r->fault = drive(s, load);
	if (s->r->fault)
		s->r->words = last_words(&s->of_program);
}

static void run_program(struct stage *s)
{
	while (s->program.pid && !interrupted)
		step(s, 0.5);
	s->r->figure[WALL] = seconds_now() - s->began;
	s->r->fault = s->program.pid ? NULL : ending(s->program.status);
	if (s->r->fault)
		s->r->words = last_words(&s->of_program);
}

static void average(struct stage *s)
{
	double end = s->r->figure[WALL];

	if (s->points && end > s->last_when)
		s->area += s->last_bytes * (end - s->last_when);
	if (s->points && end > s->first_when)
		s->r->figure[AVERAGE] = s->area / (end - s->first_when);
}

/* The watcher ends before the rest does: what goes on then is not measured. */
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
	failed = spawn_heard(&s->of_program, &s->program.pid, what->argv, environment, what->input, what->load);
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
		end_server(s);
	end_rest(s);
	/* Too short for a sight between start and end. */
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
	if (stage.of_program.in >= 0)
		close(stage.of_program.in);
	if (stage.of_helper.in >= 0)
		close(stage.of_helper.in);
	return good && !interrupted;
}

void run_free(struct run *r)
{
	free(r->fault);
	free(r->words);
	free(r->curve);
	*r = (struct run){ 0 };
}
