#include "cmd/cmd.h"

/* The library's messages are passed to a callback: this file defines hk_line_write in place
 * of the function that writes them. */
#define hk_line_write hk_line_to_stderr
#include "os/line.c"
#undef hk_line_write

#include "config/settings.h"
#include "os/os.h"

#include <string.h>

enum { LEFT_OUT_SHOWN = 8 };

static void (*listener)(const char *line);
static const struct source *loading;

/* File and line of the setting that a message is about; NULL: the setting is not from a file. */
static const char *place_of(const char *line)
{
	unsigned i;

	for (i = 0; i < loading->count; i++) {
		size_t length = strcspn(loading->entry[i], "=");

		if (!strncmp(loading->entry[i], line, length) && line[length] == ':')
			return strchr(loading->origin[i], ':') ? loading->origin[i] : NULL;
	}
	return NULL;
}

void hk_line_write(struct hk_line *line);
void hk_line_write(struct hk_line *line)
{
	static const char prefix[] = "hakmem: ";

	char *kept, *said;
	const char *place;

	line->text[line->length] = 0;
	/* The caller reports the consequence. */
	kept = strstr(line->text, "; keeping ");
	if (kept)
		*kept = 0;
	if (!listener)
		return;
	said = line->text + sizeof prefix - 1;
	place = place_of(said);
	said = place ? text("%s: %s", place, said) : text("%s", said);
	listener(said);
	free(said);
}

long hk_os_process_id(void)
{
	return getpid();
}

void say_problem(const char *line)
{
	warn("%s", line);
}

void source_add(struct source *s, const char *entry, const char *origin)
{
	s->entry = grow(s->entry, (s->count + 2) * sizeof *s->entry);
	s->origin = grow(s->origin, (s->count + 2) * sizeof *s->origin);
	s->entry[s->count] = text("%s", entry);
	s->origin[s->count++] = text("%s", origin);
	s->entry[s->count] = NULL;
}

int profile_find(const char *name)
{
	unsigned i;

	for (i = 0; i < HK_PROFILE_COUNT; i++)
		if (!strcmp(hk_profile_table[i].name, name))
			return (int)i;
	fail(0, "there is no profile \"%s\"; those that are: %s", name,
	     hk_setting_table[HK_SET_PROFILE].accepted);
	return -1;
}

int setting_find(const char *name, size_t length)
{
	unsigned id;

	for (id = 0; id < HK_SET_COUNT; id++) {
		const struct hk_setting *s = &hk_setting_table[id];

		if ((strlen(s->name) == length && !memcmp(s->name, name, length)) ||
		    (s->older && strlen(s->older) == length && !memcmp(s->older, name, length)))
			return (int)id;
	}
	return -1;
}

/* Reports only the first such lines, which show what kind of file it is. */
static void say_left_out(const char *path, unsigned number, const char *line, const char *why, unsigned before)
{
	char *name, *shown;

	if (before >= LEFT_OUT_SHOWN)
		return;
	name = text("%.*s", (int)strcspn(line, "="), line);
	shown = printable(name, 48);
	warn("%s:%u: %s is left out: %s", path, number, shown, why);
	free(shown);
	free(name);
}

bool source_add_file(struct source *s, const char *path)
{
	unsigned left_out = 0;
	struct envfile file;
	size_t length;
	char *line;

	if (!envfile_open(&file, path))
		return false;
	while ((line = envfile_line(&file, &length))) {
		const char *why = envfile_refuses(line);
		char *origin;

		if (!*line || *line == '#')
			continue;
		if (why) {
			say_left_out(path, file.number, line, why, left_out++);
			continue;
		}
		origin = text("%s:%u", path, file.number);
		source_add(s, line, origin);
		free(origin);
	}
	if (left_out > LEFT_OUT_SHOWN)
		warn("%s: and %u more line%s", path, left_out - LEFT_OUT_SHOWN, plural(left_out - LEFT_OUT_SHOWN));
	envfile_close(&file);
	return true;
}

static void add_profile(struct source *s, const char *name)
{
	char *entry = text("HAKMEM_PROFILE=%s", name);

	source_add(s, entry, "option");
	free(entry);
}

bool source_add_named(struct source *s, const char *name)
{
	unsigned i;

	for (i = 0; i < HK_PROFILE_COUNT; i++)
		if (!strcmp(hk_profile_table[i].name, name)) {
			add_profile(s, name);
			return true;
		}
	if (strpbrk(name, "/.") || access(name, R_OK) == 0)
		return source_add_file(s, name);
	return profile_find(name) >= 0;
}

static void reverse(char **list, unsigned count)
{
	unsigned i;

	for (i = 0; i < count / 2; i++) {
		char *kept = list[i];

		list[i] = list[count - 1 - i];
		list[count - 1 - i] = kept;
	}
}

/* Adds the sources from the weakest to the strongest, because a later EnvironmentFile
 * overrides an earlier one, and then reverses the order. */
bool source_add_options(struct source *s, const struct args *a)
{
	unsigned i;

	for (i = 0; a->file && a->file[i]; i++)
		if (!source_add_file(s, a->file[i]))
			return false;
	if (a->profile && profile_find(a->profile) < 0)
		return false;
	if (a->profile)
		add_profile(s, a->profile);
	for (i = 0; a->set && a->set[i]; i++)
		source_add(s, a->set[i], "option");
	reverse(s->entry, s->count);
	reverse(s->origin, s->count);
	return true;
}

void source_load(const struct source *s, void (*said)(const char *line))
{
	listener = said;
	loading = s;
	hk_settings_load(s->entry, false);
	listener = NULL;
}

const char *setting_now(unsigned id)
{
	static struct hk_line line;

	line.length = 0;
	hk_setting_value(id, &line);
	line.text[line.length] = 0;
	return line.text;
}

const char *setting_origin(const struct source *s, unsigned id)
{
	static char *from_profile;
	unsigned pass, i;

	free(from_profile);
	from_profile = NULL;
	if (hk_settings.source[id] == HK_FROM_PROFILE)
		return from_profile = text("profile %s", hk_profile_table[hk_settings.profile].name);
	for (pass = 0; pass < 2 && hk_settings.source[id] == HK_FROM_ENVIRONMENT; pass++) {
		const char *name = pass ? hk_setting_table[id].older : hk_setting_table[id].name;

		for (i = 0; name && i < s->count; i++)
			if (!strncmp(s->entry[i], name, strlen(name)) && s->entry[i][strlen(name)] == '=')
				return s->origin[i];
	}
	return hk_setting_source(id);
}
