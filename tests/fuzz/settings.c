/*
 * The parser of the environment in the library: strings that end in a zero. For any
 * input, the settings in force are valid, messages about the others are plain text, and
 * the settings, printed and read again, are the same.
 *
 * sources: src/config/names.c src/config/settings.c src/config/values.c
 */
#include "../env/catch.h"
#include "fuzz.h"

enum { ENTRIES = 200 };

static void load_input(char *text, size_t size)
{
	static char *list[ENTRIES + 1];
	size_t at, n = 0;

	for (at = 0; at < size && n < ENTRIES; at += strlen(text + at) + 1)
		list[n++] = text + at;
	list[n] = NULL;
	load(list);
}

static void load_own(void)
{
	static char text[HK_SET_COUNT][512], *list[HK_SET_COUNT + 1];
	unsigned id;

	for (id = 0; id < HK_SET_COUNT; id++) {
		snprintf(text[id], sizeof text[id], "%s=%s", hk_setting_table[id].name, value_of(id));
		must_be_plain(text[id]);
		list[id] = text[id];
	}
	load(list);
}

static void expand(const char *pattern)
{
	char path[HK_PATH_MAX], little[16];
	size_t length = hk_settings_path(pattern, path, sizeof path);

	MUST(length == strlen(path) && (length > 0) == (*pattern != 0));
	MUST(hk_settings_path(pattern, little, sizeof little) == (length < sizeof little ? length : 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1);
	struct hk_settings first;
	unsigned i;

	memcpy(text, data, size);
	text[size] = 0;
	load_input(text, size);
	free(text);
	MUST(!cut);
	for (i = 0; i < lines && i < CAUGHT; i++)
		must_be_plain(caught[i]);
	expand(hk_settings.stats_dump);
	expand(hk_settings.learn_save);
	first = hk_settings;
	load_own();
	MUST(lines == 0 && same(&first, &hk_settings, false));
	return 0;
}
