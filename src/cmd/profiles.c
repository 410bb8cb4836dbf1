/* hakmem profiles, show and diff: the profiles as data. */
#include "cmd/cmd.h"
#include "config/settings.h"

#include <stdlib.h>
#include <string.h>

static const char *effect_of(unsigned id)
{
	return hk_setting_table[id].effect;
}

/* The values that a profile or a file sets. */
static bool values_of(const char *name, char *value[HK_SET_COUNT])
{
	struct source s = { 0 };
	unsigned id;

	if (!source_add_named(&s, name))
		return false;
	source_load(&s, say_problem);
	for (id = 0; id < HK_SET_COUNT; id++)
		value[id] = text("%s", setting_now(id));
	return true;
}

static json_t *as_json(char *const *value)
{
	json_t *object = json_object();
	unsigned id;

	for (id = 0; id < HK_SET_COUNT; id++)
		json_object_set_new(object, hk_setting_table[id].name, json_string(value[id]));
	return object;
}

static int profiles(int argc, char **argv)
{
	json_t *list = json_array();
	struct args a;
	int status;
	unsigned i;

	if (!args_read(&a, &command_profiles, argc, argv, &status))
		return status;
	if (a.argc)
		return fail(USAGE, "profiles takes no argument; hakmem show %s", a.argv[0]);
	for (i = 0; i < HK_PROFILE_COUNT; i++) {
		const struct hk_profile *p = &hk_profile_table[i];

		if (a.json)
			json_array_append_new(list, json_pack("{ss ss}", "name", p->name, "purpose", p->purpose));
		else if (a.names)
			puts(p->name);
		else
			printf("%s%-10s%s %s\n", ink(BOLD), p->name, ink(PLAIN), p->purpose);
	}
	return a.json ? print_json(json_pack("{si so}", "schema", 1, "profiles", list)) : 0;
}

static int show(int argc, char **argv)
{
	char *value[HK_SET_COUNT];
	struct args a;
	int status;
	unsigned id;

	if (!args_read(&a, &command_show, argc, argv, &status))
		return status;
	if (a.argc != 1)
		return fail(USAGE, "show takes one profile or file: %s",
			    hk_setting_table[HK_SET_PROFILE].accepted);
	if (!values_of(a.argv[0], value))
		return USAGE;
	if (a.json)
		return print_json(json_pack("{si ss so}", "schema", 1, "profile", value[HK_SET_PROFILE],
					    "settings", as_json(value)));
	printf("LD_PRELOAD=" SONAME "\n");
	for (id = 0; id < HK_SET_COUNT; id++)
		printf("%s\n# %s\n# (%s)%s\n%s=%s\n", ink(DIM), effect_of(id),
		       hk_setting_table[id].accepted, ink(PLAIN), hk_setting_table[id].name, value[id]);
	return 0;
}

static int diff(int argc, char **argv)
{
	json_t *list = json_array();
	char *left[HK_SET_COUNT], *right[HK_SET_COUNT];
	unsigned id, found = 0;
	struct args a;
	int status;

	if (!args_read(&a, &command_diff, argc, argv, &status))
		return status;
	if (a.argc != 2)
		return fail(USAGE, "diff takes two profiles or files: %s",
			    hk_setting_table[HK_SET_PROFILE].accepted);
	if (!values_of(a.argv[0], left) || !values_of(a.argv[1], right))
		return USAGE;
	for (id = 0; id < HK_SET_COUNT; id++) {
		const char *name = hk_setting_table[id].name;

		if (!strcmp(left[id], right[id]))
			continue;
		if (!found++ && !a.json)
			printf("%s%-32s %-14s %s%s\n", ink(BOLD), "", printable(a.argv[0], 80), printable(a.argv[1], 80),
			       ink(PLAIN));
		if (a.json)
			json_array_append_new(list, json_pack("{ss ss ss}", "name", name, "left", left[id],
							      "right", right[id]));
		else
			printf("%-32s %-14s %s\n", name, left[id], right[id]);
	}
	if (a.json)
		print_json(json_pack("{si so}", "schema", 1, "differences", list));
	return found ? FOUND : 0;
}

const struct command command_profiles = {
	"profiles", "Nj", profiles, USAGE, "[--names | --json]", "list the profiles",
	"Lists the profiles and what each is for.",
};
const struct command command_show = {
	"show", "j", show, USAGE, "[--json] PROFILE|FILE", "every setting of a profile",
	"Writes a profile in the syntax of /etc/hakmem/*.env: redirect it to start a\n"
	"file of your own.",
};
const struct command command_diff = {
	"diff", "j", diff, USAGE, "[--json] A B", "what differs between two profiles",
	"Compares two profiles or files by the values that they put in force.\n"
	"Exit status: 0 the same, 1 different, 2 trouble.",
};
