/* hakmem config: each effective value and where it came from. */
#include "cmd/cmd.h"
#include "config/settings.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

/* The environment that a process was started with. */
static bool add_process(struct source *s, const char *pid)
{
	char *path = text("/proc/%s/environ", pid), *entry = NULL;
	FILE *in = pid[strspn(pid, "0123456789")] ? NULL : fopen(path, "re");
	size_t room = 0;

	if (!in) {
		warn("cannot read %s: %s", path, strerror(pid[strspn(pid, "0123456789")] ? EINVAL : errno));
		return false;
	}
	while (getdelim(&entry, &room, 0, in) > 0)
		source_add(s, entry, "environment");
	free(entry);
	free(path);
	fclose(in);
	return true;
}

/* The first of a name counts, so the strongest comes first. */
static bool gather(struct source *s, const struct args *a)
{
	unsigned n = 0;
	char **entry;

	for (entry = a->set; entry && *entry; entry++)
		source_add(s, *entry, "option");
	while (a->file && a->file[n])
		n++;
	while (n)
		if (!source_add_named(s, a->file[--n]))
			return false;
	if (a->profile && (profile_find(a->profile) < 0 || !source_add_named(s, a->profile)))
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
