/* hakmem set and hakmem trim: settings and free memory of a running process. */
#include "cmd/control.h"

#include "config/settings.h"

#include <stdlib.h>
#include <string.h>

static const double usual_wait = 5;	/* seconds */

/* False: an error was printed. */
static bool add_change(struct hk_change *to, const char *entry)
{
	size_t length = strcspn(entry, "=");
	int id = entry[length] ? setting_find(entry, length) : -1;
	const struct hk_setting *setting = id < 0 ? NULL : &hk_setting_table[id];
	const char *value = entry + length + 1, *name;
	uint64_t unused;

	if (!setting) {
		warn("there is no setting %.*s", (int)length, entry);
		return false;
	}
	name = setting->name + sizeof "HAKMEM_" - 1;
	if (!setting->live) {
		warn("%s cannot change in a running process; set it when you start the program", name);
		return false;
	}
	if (!hk_value_parse((enum hk_setting_id)id, value, &unused) || strlen(value) >= sizeof to->value) {
		warn("%s: bad value \"%s\", accepted: %s", name, value, setting->accepted);
		return false;
	}
	*to = (struct hk_change){ { 0 }, { 0 } };
	strcpy(to->name, name);
	strcpy(to->value, value);
	return true;
}

/* The profile is changed first, so that the other settings of the command take precedence over it,
 * as at the start of a program. Of two profiles the later one counts, as of two values of any
 * setting. */
static void profile_first(struct hk_change *change, unsigned count)
{
	struct hk_change profile;
	unsigned i, profiles = 0;

	for (i = 0; i < count; i++)
		if (!strcmp(change[i].name, "PROFILE")) {
			profile = change[i];
			memmove(&change[profiles + 1], &change[profiles], (i - profiles) * sizeof *change);
			change[profiles++] = profile;
		}
}

static void tell_kept(pid_t pid, const struct hk_kept *kept)
{
	if (*kept->fixed)
		printf("process %d: these settings were not changed, because they can be set only at its start:%s\n",
		       (int)pid, kept->fixed);
	if (*kept->given)
		printf("process %d: these settings were not changed, because its environment sets them:%s\n",
		       (int)pid, kept->given);
}

/* Which of the changes the process has not made: count is 0 if they were requested before. */
static const char *outstanding(const struct hk_change *change, unsigned count)
{
	if (!count)
		return "earlier requests have not been carried out yet";
	return strcmp(change->name, HK_CONTROL_TRIM) ? "nothing has been changed yet" : "nothing has been released yet";
}

static int say_late(pid_t pid, const struct hk_change *change, unsigned count, double seconds)
{
	bool sets = count && strcmp(change->name, HK_CONTROL_TRIM) != 0;

	if (process_stopped(pid))
		return fail(LATER, "%s: process %d is stopped. Requests take effect when it runs again, for "
			    "example after kill -CONT %d",
			    outstanding(change, count), (int)pid, (int)pid);
	return fail(LATER, "%s: within %g s, process %d made no call of malloc or free that leaves the fast path. "
		    "Requests take effect at its next such call. Give the process work to do and wait again with "
		    "\"hakmem set %d\"%s", outstanding(change, count), seconds, (int)pid, (int)pid,
		    sets ? ", or restart it with the settings in its environment" : "");
}

static int send_all(const struct args *a, pid_t pid, const struct hk_change *change, unsigned count)
{
	double seconds = a->wait > 0 ? a->wait : usual_wait;
	struct control_answer answer;

	switch (control_send(pid, process_started(pid), change, count, seconds, &answer)) {
	case CONTROL_DONE:
		if (count && !a->quiet && !strcmp(change->name, HK_CONTROL_TRIM))
			printf("process %d released %s\n", (int)pid, SIZE(answer.released));
		if (!a->quiet)
			tell_kept(pid, &answer.kept);
		return 0;
	case CONTROL_WAITS:
		return say_late(pid, change, count, seconds);
	default:
		return fail(FOUND, "%s", answer.why);
	}
}

static int print_names(void)
{
	unsigned id;

	for (id = 0; id < HK_SET_COUNT; id++)
		if (hk_setting_table[id].live)
			puts(hk_setting_table[id].name);
	return 0;
}

static int set(int argc, char **argv)
{
	struct hk_change change[HK_CONTROL_CHANGES];
	struct args a;
	unsigned i;
	int status;
	pid_t pid;

	if (!args_read(&a, &command_set, argc, argv, &status))
		return status;
	if (a.names)
		return a.argc ? fail(USAGE, "set --names takes no argument") : print_names();
	if (a.argc < 1 || a.argc > 1 + HK_CONTROL_CHANGES)
		return fail(USAGE, "set takes a process id and up to %d settings as NAME=VALUE", HK_CONTROL_CHANGES);
	if (!process_id(a.argv[0], &pid))
		return USAGE;
	for (i = 1; i < (unsigned)a.argc; i++) {
		char *entry = args_setting(a.argv[i]);
		bool good = entry ? add_change(&change[i - 1], entry) : (warn("\"%s\" is not NAME=VALUE", a.argv[i]), false);

		free(entry);
		if (!good)
			return USAGE;
	}
	profile_first(change, i - 1);
	return send_all(&a, pid, change, i - 1);
}

static int trim(int argc, char **argv)
{
	const struct hk_change change = { HK_CONTROL_TRIM, "" };
	struct args a;
	int status;
	pid_t pid;

	if (!args_read(&a, &command_trim, argc, argv, &status))
		return status;
	if (a.argc != 1)
		return fail(USAGE, "trim takes one process id");
	return process_id(a.argv[0], &pid) ? send_all(&a, pid, &change, 1) : USAGE;
}

const struct command command_set = {
	"set", "tqN", set, USAGE, "[option ...] PID [NAME=VALUE ...] | --names", "change settings of a running process",
	"Changes settings of a process that runs on HAKMEM, at its next call of malloc or\n"
	"free that leaves the fast path. Without a setting, waits for changes that were\n"
	"requested before. With --names, lists the settings that can change. Needs the\n"
	"right to trace the process, as hakmem stats.",
};

const struct command command_trim = {
	"trim", "tq", trim, USAGE, "[option ...] PID", "make a running process release free memory",
	"Makes a process that runs on HAKMEM release its free memory to the system, as\n"
	"malloc_trim() does, at its next call of malloc or free that leaves the fast path.\n"
	"Needs the right to trace the process, as hakmem stats.",
};
