/*
 * Writes the control block of another process, in a child (reader.h), because a page of the
 * process may never be delivered. The child writes only to a block whose magic, version and
 * size fit. It then looks for the answer for a part of a second; the parent repeats that.
 */
#include "cmd/control.h"

#include "cmd/heap.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

volatile sig_atomic_t control_hurry;

static const double report_after = 2, at_a_time = 0.5, pause_between = 0.02;	/* seconds */

/* What the child is to do, and its reply. asked is the number of the request, or 0 if it has not
 * been written yet; without changes, the child waits for the answer to the previous request. */
struct work {
	pid_t pid;
	unsigned long long started;
	const struct hk_change *change;
	unsigned count;
	uint32_t asked;
	double seconds;			/* that the child may wait for the answer */
};
enum step { FAILED, WRITTEN, ANSWERED, LOST };
struct reply {
	uint32_t step, asked, refused, verdict, stacks;
	uint64_t released;
	struct hk_change change;	/* the refused one */
	struct hk_kept kept;
	char why[sizeof(((struct heap_reply *)0)->why)];
};
static struct work work;		/* the child has a copy */

static bool get(size_t address, void *to, size_t size)
{
	struct iovec here = { to, size }, there = { (void *)address, size };

	return process_vm_readv(work.pid, &here, 1, &there, 1, 0) == (ssize_t)size;
}

static bool put(size_t address, const void *from, size_t size)
{
	struct iovec here = { (void *)from, size }, there = { (void *)address, size };

	return process_vm_writev(work.pid, &here, 1, &there, 1, 0) == (ssize_t)size;
}

static bool no(struct reply *reply, const char *why)
{
	reply->step = FAILED;
	snprintf(reply->why, sizeof reply->why, "%s", why);
	return false;
}

static bool fits(const struct hk_control *c)
{
	return !memcmp(c->magic, HK_CONTROL_MAGIC, sizeof HK_CONTROL_MAGIC) && c->version == HK_CONTROL_VERSION &&
	       c->size == sizeof *c;
}

static bool find_block(size_t *address, struct hk_control *c, struct reply *reply)
{
	struct heap_reply *found = grow(NULL, sizeof *found);
	struct hk_stats_page page;
	bool there;

	memset(found, 0, sizeof *found);
	there = heap_find(work.pid, &page, found);
	if (!there)
		no(reply, found->why);
	free(found);
	if (!there)
		return false;
	*address = (size_t)page.control;
	if (!get(*address, c, sizeof *c) || !fits(c))
		return no(reply, "its statistics page leads to no control block");
	return true;
}

/* Adds a change at the end, so that it takes precedence over a profile that was requested before,
 * and removes an earlier change of the same setting. False: there is no room. */
static bool add_change(struct hk_request *r, const struct hk_change *change)
{
	uint32_t i;

	for (i = 0; i < r->count && strcmp(r->change[i].name, change->name) != 0; i++)
		;
	if (i == HK_CONTROL_CHANGES)
		return false;
	if (i < r->count) {
		r->count--;
		memmove(&r->change[i], &r->change[i + 1], (r->count - i) * sizeof r->change[i]);
	}
	r->change[r->count++] = *change;
	return true;
}

/* Texts in the block may have any contents. */
static void keep_waiting_changes(struct hk_request *r, const struct hk_control *c)
{
	uint32_t i;

	if (c->asked == c->done || c->count > HK_CONTROL_CHANGES)
		return;
	for (i = 0; i < c->count; i++) {
		struct hk_change change = c->change[i];

		change.name[HK_CONTROL_TEXT - 1] = change.value[HK_CONTROL_TEXT - 1] = 0;
		add_change(r, &change);
	}
}

static uint32_t another_number(const struct hk_control *c)
{
	uint32_t number = 0;

	while (!number || number == c->asked || number == c->done)
		if (getrandom(&number, sizeof number, 0) != (ssize_t)sizeof number)
			number = c->asked + 1 + (uint32_t)getpid();
	return number;
}

/* The number is written by a call of its own, after everything else. A reader that sees it first
 * finds that the sum does not fit. */
static bool write_request(size_t address, const struct hk_control *c, struct reply *reply)
{
	struct hk_request r = { .asked = another_number(c) };
	struct hk_control new = *c;
	unsigned i;

	keep_waiting_changes(&r, c);
	for (i = 0; i < work.count; i++)
		if (!add_change(&r, &work.change[i]))
			return no(reply, "too many changes at a time");
	new.count = r.count;
	new.sum = hk_request_sum(&r);
	memcpy(new.change, r.change, sizeof new.change);
	if (!put(address + offsetof(struct hk_control, count), &new.count,
		 offsetof(struct hk_control, done) - offsetof(struct hk_control, count)))
		return no(reply, strerror(errno));
	if (!put(address + offsetof(struct hk_control, asked), &r.asked, sizeof r.asked))
		return no(reply, strerror(errno));
	reply->asked = r.asked;
	reply->step = WRITTEN;
	return true;
}

static void pause_for(double seconds)
{
	nanosleep(&(struct timespec){ .tv_nsec = (long)(seconds * 1e9) }, NULL);
}

static void take_answer(const struct hk_control *c, struct reply *reply)
{
	reply->step = ANSWERED;
	reply->refused = c->refused;
	reply->verdict = c->verdict;
	reply->stacks = c->stacks;
	reply->kept = c->kept;
	reply->released = c->released;
	if (c->refused && c->refused <= HK_CONTROL_CHANGES)
		reply->change = c->change[c->refused - 1];
}

/* Another command may have replaced the request. */
static void await(size_t address, struct reply *reply)
{
	double until = seconds_now() + work.seconds;
	struct hk_control c = { .size = 0 };

	for (;;) {
		if (!get(address, &c, sizeof c) || !fits(&c)) {
			no(reply, errno == ESRCH ? "it has ended" : "its control block is gone");
			return;
		}
		if (c.done == reply->asked) {
			take_answer(&c, reply);
			return;
		}
		if (c.asked != reply->asked)
			reply->step = LOST;
		if (reply->step == LOST || seconds_now() >= until || reader_late(0.8))
			return;
		pause_for(pause_between);
	}
}

/* In the child. */
static void ask(pid_t pid, void *out)
{
	struct hk_control c = { .size = 0 };
	struct reply *reply = out;
	size_t address = 0;

	if (work.started && process_started(pid) != work.started) {
		no(reply, "it has ended");
		return;
	}
	if (!find_block(&address, &c, reply))
		return;
	reply->asked = work.asked ? work.asked : c.asked;
	reply->step = WRITTEN;
	if (work.asked || !work.count || write_request(address, &c, reply))
		await(address, reply);
}

static void answered(pid_t pid, const void *reply, const char *fault, void *argument)
{
	struct reply *to = argument;

	(void)pid;
	if (reply)
		*to = *(const struct reply *)reply;
	else
		no(to, fault);
	to->why[sizeof to->why - 1] = 0;
	to->kept.fixed[HK_CONTROL_NAMES - 1] = to->kept.given[HK_CONTROL_NAMES - 1] = 0;
	to->change.name[HK_CONTROL_TEXT - 1] = to->change.value[HK_CONTROL_TEXT - 1] = 0;
}

static const char *const verdicts[HK_VERDICTS] = {
	[HK_GARBLED] = "another command has written a request at the same time",
	[HK_NO_SETTING] = "its library has no such setting",
	[HK_BAD_VALUE] = "its library does not accept this value",
	[HK_FIXED] = "this setting cannot change in a running process",
	[HK_NO_ROOM] = "the process does not have enough memory for it",
};

static void explain(struct control_answer *answer, const struct reply *reply)
{
	const char *why = reply->verdict < HK_VERDICTS && verdicts[reply->verdict] ? verdicts[reply->verdict] :
			  "its library gives no known reason";
	char *said = *reply->change.name ? text("%s%s%s: %s", reply->change.name, *reply->change.value ? "=" : "",
						reply->change.value, why) : text("%s", why);
	char *shown = printable(said, sizeof answer->why - 1);

	snprintf(answer->why, sizeof answer->why, "%s", shown);
	free(shown);
	free(said);
}

static void show_names(char *to, const char *names)
{
	char *shown = printable(names, HK_CONTROL_NAMES - 1);

	snprintf(to, HK_CONTROL_NAMES, "%s", shown);
	free(shown);
}

static enum control_state judge(const struct reply *reply, struct control_answer *answer)
{
	char *shown;

	switch ((enum step)reply->step) {
	case ANSWERED:
		answer->released = (size_t)reply->released;
		answer->stacks = reply->stacks == 1;
		show_names(answer->kept.fixed, reply->kept.fixed);
		show_names(answer->kept.given, reply->kept.given);
		if (!reply->refused)
			return CONTROL_DONE;
		explain(answer, reply);
		return CONTROL_REFUSED;
	case WRITTEN:
		return CONTROL_WAITS;
	case LOST:
		snprintf(answer->why, sizeof answer->why, "another command has replaced the request");
		return CONTROL_FAILED;
	default:
		shown = printable(reply->why, sizeof answer->why - 1);
		snprintf(answer->why, sizeof answer->why, "%s", shown);
		free(shown);
		return CONTROL_FAILED;
	}
}

static void run_once(struct reply *reply)
{
	const struct reader r = { .size = sizeof *reply, .read = ask, .done = answered, .argument = reply };

	*reply = (struct reply){ 0 };
	reader_run(&r, &work.pid, 1);
}

/* If two commands write at the same time, the library refuses the mixed request. The command
 * that pauses longer succeeds at its next attempt. */
enum control_state control_send(pid_t pid, unsigned long long started, const struct hk_change *change,
				unsigned count, double seconds, struct control_answer *answer)
{
	double until = seconds_now() + seconds, report = seconds_now() + report_after, left;
	unsigned attempts = 0;
	struct reply reply;

	memset(answer, 0, sizeof *answer);
	work = (struct work){ .pid = pid, .started = started, .change = change, .count = count };
	do {
		left = until - seconds_now();
		work.seconds = left < at_a_time ? left : at_a_time;
		run_once(&reply);
		work.asked = reply.step == WRITTEN ? reply.asked : 0;
		if (reply.step != WRITTEN && !((reply.step == LOST || (reply.step == ANSWERED &&
		    reply.verdict == HK_GARBLED)) && attempts++ < 10))
			break;
		if (report && seconds_now() > report && !control_hurry) {
			warn("waiting for process %d to notice the request", (int)pid);
			report = 0;
		}
	} while (seconds_now() < until && !(control_hurry && reply.step == WRITTEN));
	return answer->state = judge(&reply, answer);
}

enum control_state set_remote(pid_t pid, unsigned long long started, const char *name, const char *value,
			      double seconds, struct control_answer *answer)
{
	struct hk_change change = { { 0 }, { 0 } };

	if (strlen(name) >= sizeof change.name || strlen(value) >= sizeof change.value) {
		*answer = (struct control_answer){ .state = CONTROL_FAILED, .why = "the name or the value is too long" };
		return answer->state;
	}
	strcpy(change.name, name);
	strcpy(change.value, value);
	return control_send(pid, started, &change, 1, seconds, answer);
}
