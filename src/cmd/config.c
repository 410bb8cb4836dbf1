/* hakmem config: each effective value and where it came from. */
#include "cmd/reader.h"
#include "config/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

/* The HAKMEM_ variables of the environment that a process was started with: strings,
 * each ended by a zero, and a final zero. */
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

static bool add_process(struct source *s, const char *given)
{
	const struct reader r = { .size = sizeof(struct started_with), .read = read_environment,
		.done = add_environment, .argument = s };
	unsigned before = s->count;
	pid_t pid;

	return process_id(given, &pid) && reader_run(&r, &pid, 1) && s->count > before;
}

/* The first of a name counts, so the strongest comes first. */
static bool gather(struct source *s, const struct args *a)
{
	char **entry;

	if (!source_add_options(s, a))
		return false;
	if (a->argc)
		return add_process(s, a->argv[0]);
	for (entry = environ; *entry; entry++)
		source_add(s, *entry, "environment");
	return true;
}

static int config(int argc, char **argv)
{
	struct source s = { 0 };
	json_t *list = json_array();
	struct args a;
	unsigned id;
	int status;

	if (!args_read(&a, &command_config, argc, argv, &status))
		return status;
	if (a.argc > 1)
		return fail(USAGE, "config takes at most one process id");
	if (!gather(&s, &a))
		return USAGE;
	source_load(&s, say_problem);
	for (id = 0; id < HK_SET_COUNT; id++) {
		const struct hk_setting *setting = &hk_setting_table[id];
		const char *origin = setting_origin(&s, id);
		bool changed = strcmp(origin, "default") != 0;

		if (a.json)
			json_array_append_new(list, json_pack("{ss ss ss ss}", "name", setting->name,
				"value", setting_now(id), "source", origin, "accepted", setting->accepted));
		else
			printf("%s%-32s %-14s %s%s\n", ink(changed ? BOLD : PLAIN), setting->name,
			       setting_now(id), origin, ink(PLAIN));
	}
	return a.json ? print_json(json_pack("{si so}", "schema", 1, "settings", list)) : 0;
}

const struct command command_config = {
	"config", "psfj", config, USAGE, "[-p PROFILE] [-f FILE] [-s NAME=VALUE] [PID]",
	"each value in force and where it came from",
	"Shows the settings that a program started now would get, or those of a running\n"
	"process. Options win over files, files over the environment, all of these over\n"
	"the profile, and the profile over the defaults.",
};
