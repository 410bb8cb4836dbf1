/* hakmem config: each setting in force, and its origin. */
#include "cmd/reader.h"
#include "cmd/verdict.h"
#include "config/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

/* The HAKMEM_ variables of the environment that a process was started with, as NUL-terminated
 * strings, followed by an empty one. */
struct started_with {
	uint8_t whole;
	int error;
	char entries[1 << 16];
};

static void read_environment(pid_t pid, void *reply)
{
	struct started_with *to = reply;
	char *path = text("/proc/%d/environ", (int)pid), *entry = NULL;
	FILE *in = fopen(path, "re");
	size_t room = 0, used = 0, length;

	while (in && getdelim(&entry, &room, 0, in) > 0) {
		length = strlen(entry) + 1;
		if (strncmp(entry, "HAKMEM_", 7) != 0)
			continue;
		if (length >= sizeof to->entries - used) {
			errno = E2BIG;
			break;
		}
		memcpy(to->entries + used, entry, length);
		used += length;
	}
	to->whole = in && feof(in);
	to->error = errno;
}

static void add_environment(pid_t pid, const void *reply, const char *fault, void *argument)
{
	const struct started_with *from = reply;
	const char *entry;

	if (!from || !from->whole) {
		warn("cannot read /proc/%d/environ: %s", (int)pid, fault ? fault : strerror(from->error));
		return;
	}
	for (entry = from->entries; *entry && memchr(entry, 0, (size_t)((const char *)(from + 1) - entry));
	     entry += strlen(entry) + 1)
		source_add(argument, entry, "environment");
	source_add(argument, "", "");
}

static bool add_process(struct source *s, pid_t pid)
{
	const struct reader r = { .size = sizeof(struct started_with), .read = read_environment,
		.done = add_environment, .argument = s };
	unsigned before = s->count;

	return reader_run(&r, &pid, 1) && s->count > before;
}

/* The first entry of a name counts, so the strongest source comes first. */
static bool gather(struct source *s, const struct args *a, pid_t pid)
{
	char **entry;

	if (!source_add_options(s, a))
		return false;
	if (pid)
		return add_process(s, pid);
	for (entry = environ; *entry; entry++)
		source_add(s, *entry, "environment");
	return true;
}

/* A process without the library has no settings, whatever its environment contains. */
static int say_presence(pid_t pid, const struct verdict *v)
{
	char *what = printable(v->what, 8192);

	if (v->present != PRESENT)
		warn("note: process %d %s on HAKMEM, so this is what its environment asks for, not what is in force: %s",
		     (int)pid, v->present == ABSENT ? "is not" : "may not be", what);
	free(what);
	return v->present == ABSENT ? FOUND : 0;
}

static void put_setting(json_t *list, unsigned id, const char *origin)
{
	const struct hk_setting *setting = &hk_setting_table[id];
	bool changed = strcmp(origin, "default") != 0;

	if (list)
		json_array_append_new(list, json_pack("{ss ss so ss}", "name", setting->name,
			"value", setting_now(id), "source", json_text(origin), "accepted", setting->accepted));
	else
		printf("%s%-32s %-14s %s%s\n", ink(changed ? BOLD : PLAIN), setting->name,
		       setting_now(id), origin, ink(PLAIN));
}

static int config(int argc, char **argv)
{
	struct source s = { 0 };
	struct verdict v = { 0 };
	json_t *list, *all;
	struct args a;
	pid_t pid = 0;
	unsigned id;
	int status;

	if (!args_read(&a, &command_config, argc, argv, &status))
		return status;
	if (a.argc > 1)
		return fail(USAGE, "config takes at most one process id");
	if ((a.argc && !process_id(a.argv[0], &pid)) || !gather(&s, &a, pid))
		return USAGE;
	source_load(&s, say_problem);
	list = a.json ? json_array() : NULL;
	for (id = 0; id < HK_SET_COUNT; id++)
		put_setting(list, id, setting_origin(&s, id));
	if (pid) {
		v = process_verdict(pid);
		status = say_presence(pid, &v);
	}
	if (!list)
		return status;
	all = json_pack("{si so}", "schema", 1, "settings", list);
	if (pid)
		json_object_set_new(all, "present", verdict_json(&v));
	return print_json(all) ? FOUND : status;
}

const struct command command_config = {
	"config", "psfj", config, USAGE, "[-p PROFILE] [-f FILE] [-s NAME=VALUE] [PID]",
	"each value in force and where it came from",
	"Shows the settings that a program started now would get, or those of a running\n"
	"process. Options win over files, files over the environment, all of these over\n"
	"the profile, and the profile over the defaults.\n"
	"Exit status: 0 done, 1 the process is not on HAKMEM, 2 trouble.",
};
