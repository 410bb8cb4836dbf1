/* Waits while a process takes samples. Turns its sampler on before and off afterwards, if it is
 * off. */
#include "cmd/control.h"
#include "cmd/profile.h"
#include "config/settings.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const double usual_seconds = 10, answer_seconds = 5;

static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
enum { SIGNALS = sizeof signals / sizeof *signals };
static struct sigaction before_wait[SIGNALS];

static void note_signal(int number)
{
	(void)number;
	control_hurry = 1;
}

/* A signal ends the wait; the sampler is turned off afterwards. With nohup, SIGHUP does not. */
static void catch_signals(void)
{
	const struct sigaction action = { .sa_handler = note_signal };
	unsigned i;

	for (i = 0; i < SIGNALS; i++)
		if (sigaction(signals[i], &action, &before_wait[i]) == 0 && signals[i] == SIGHUP &&
		    before_wait[i].sa_handler == SIG_IGN)
			sigaction(SIGHUP, &before_wait[i], NULL);
}

/* What follows, such as finding names, may take long, and a signal may end it. */
static void restore_signals(void)
{
	unsigned i;

	for (i = 0; i < SIGNALS; i++)
		sigaction(signals[i], &before_wait[i], NULL);
}

static bool has_ended(pid_t pid, unsigned long long started)
{
	return process_started(pid) != started;
}

static void wait_seconds(pid_t pid, unsigned long long started, double seconds)
{
	double began = seconds_now(), now;
	bool shown = isatty(STDERR_FILENO);

	while (!control_hurry && !has_ended(pid, started) && (now = seconds_now()) < began + seconds) {
		double left = began + seconds - now;

		if (shown)
			fprintf(stderr, "\rhakmem: %.0f of %g s; press Ctrl-C to show the profile now  ", now - began, seconds);
		poll(NULL, 0, left < 0.5 ? (int)(left * 1000) + 1 : 500);
	}
	if (shown)
		fputs("\r\033[K", stderr);
}

/* False: an error was printed. */
static bool turn_on(pid_t pid, unsigned long long started, const char *rate, struct control_answer *answer)
{
	enum control_state state = set_remote(pid, started, "SAMPLE", rate, answer_seconds, answer);
	struct control_answer after;

	if (state == CONTROL_DONE || state == CONTROL_WAITS)
		return true;
	/* The request may have been written nevertheless. */
	if (state == CONTROL_FAILED)
		set_remote(pid, started, "SAMPLE", "0", answer_seconds, &after);
	warn("process %d cannot be sampled: %s", (int)pid, answer->why);
	return false;
}

/* on: samples were taken at the end of the wait. False, and a message: the process has noticed
 * neither the request to turn sampling on nor this one. */
static bool turn_off(pid_t pid, unsigned long long started, bool on)
{
	struct control_answer answer;
	enum control_state state;

	if (has_ended(pid, started))
		return true;
	state = set_remote(pid, started, "SAMPLE", "0", answer_seconds, &answer);
	if (state == CONTROL_WAITS && !on) {
		warn("note: no samples were taken: process %d %s, and so has not noticed the request", (int)pid,
		     process_stopped(pid) ? "is stopped" : "made no call of malloc or free that leaves the fast path");
		return false;
	}
	if (state == CONTROL_WAITS)
		warn("note: process %d turns sampling off at its next call that leaves the fast path", (int)pid);
	else if (state != CONTROL_DONE && !has_ended(pid, started))
		warn("process %d still takes samples: %s; to turn them off: hakmem set %d SAMPLE=0", (int)pid, answer.why, (int)pid);
	return true;
}

static void say_what_came(const struct profile *p, double before, const struct control_answer *answer)
{
	if (!p->mean || p->taken <= before)
		warn("note: no samples were taken: process %d has allocated little, or noticed the request too late",
		     (int)p->pid);
	else if (!answer->stacks)
		warn("note: only the callers of malloc are known, because the library was built without an unwinder");
}

bool profile_rate_good(const char *rate)
{
	uint64_t value;

	return hk_value_parse(HK_SET_SAMPLE, rate, &value) && value;
}

static bool observe(struct profile *p, const struct profile *before, const struct observation *o)
{
	unsigned long long started = process_started(p->pid);
	double seconds = o->seconds > 0 ? o->seconds : usual_seconds;
	pid_t pid = p->pid;
	struct control_answer answer = { .stacks = true };
	bool good, noticed = true;

	if (!before->on && !turn_on(pid, started, o->rate, &answer))
		return false;
	wait_seconds(pid, started, seconds);
	profile_free(p);
	good = profile_read(p, pid, o->min_age);
	if (!before->on)
		noticed = turn_off(pid, started, p->on);
	if (good && noticed && !before->on)
		say_what_came(p, before->mean ? before->taken : 0, &answer);
	return good;
}

bool profile_observe(struct profile *p, const struct profile *before, const struct observation *o)
{
	bool good;

	catch_signals();
	good = observe(p, before, o);
	restore_signals();
	return good;
}
