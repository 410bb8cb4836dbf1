/*
 * The settings at their limits: dump paths that hardly fit, values of
 * megabytes, random environments.
 */
#include "catch.h"

static size_t dump_path(char *out, size_t size)
{
	return hk_settings_path(hk_settings.stats_dump, out, size);
}

static void test_dump_path(void)
{
	char out[HK_PATH_MAX], entry[300], *list[] = { entry, NULL };
	size_t n, i;
	bool good;

	load(NULL);
	strcpy(out, "x");
	ok(dump_path(out, sizeof out) == 0 && !*out && !hk_settings_dump_json(), "no dump, no path");
	strcpy(entry, "HAKMEM_STATS_DUMP=/run/%%p-%p-%%%p.json");
	load(list);
	n = dump_path(out, sizeof out);
	ok(!strcmp(out, "/run/%p-12345-%12345.json") && n == strlen(out), "percent signs are expanded");
	ok(hk_settings_dump_json(), "a pattern that ends in .json asks for JSON");
	strcpy(entry, "HAKMEM_STATS_DUMP=/run/x.json.txt");
	load(list);
	ok(!hk_settings_dump_json(), "any other end asks for text");
	strcpy(entry, "HAKMEM_STATS_DUMP=ab%p");
	load(list);
	memset(out, 'x', sizeof out);
	for (good = true, i = 1; i < 8; i++)
		good &= dump_path(out, i) == 0 && !*out && out[i] == 'x';
	ok(good, "a path that does not fit is none, and nothing is written past the end");
	ok(dump_path(out, 8) == 7 && !strcmp(out, "ab12345"), "one that just fits is whole");
	memset(out, 'x', sizeof out);
	ok(dump_path(out, 0) == 0 && *out == 'x', "no room, nothing written");
	n = (size_t)snprintf(entry, sizeof entry, "HAKMEM_STATS_DUMP=");
	for (i = 0; i < 127; i++)
		n += (size_t)snprintf(entry + n, sizeof entry - n, "%%p");
	strcpy(entry + n, "x");
	process_id = 4194304;
	load(list);
	ok(lines == 0 && dump_path(out, sizeof out) == 127 * 7 + 1, "the longest pattern fits the room for it");
	process_id = 12345;
	strcpy(entry + n, "xx");
	load(list);
	ok(lines == 1 && !*hk_settings.stats_dump, "256 bytes are too many");
}

/* Every message is whole even with the worst value, and size does not matter. */
static void test_huge(void)
{
	enum { HUGE_SIZE = 4 << 20 };
	char *text = mmap(NULL, HUGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *list[] = { text, NULL };
	unsigned id;
	bool good = true;

	if (text == MAP_FAILED)
		bail("cannot map");
	for (id = 0; id < HK_SET_COUNT; id++) {
		memset(text, '7', HUGE_SIZE - 1);
		strcpy(text, hk_setting_table[id].name);
		text[strlen(text)] = '=';
		load(list);
		good &= lines == 1 && !cut && strstr(caught[0], "...\", accepted: ") && strstr(caught[0], " (default)");
	}
	ok(good, "values of megabytes are refused in one whole line");
	memset(text, 'S', HUGE_SIZE - 1);
	memcpy(text, "HAKMEM_", 7);
	text[HUGE_SIZE - 2] = '=';
	load(list);
	ok(lines == 1 && !cut && strstr(caught[0], "...: no such setting, the nearest is HAKMEM_"),
	   "a name of megabytes gets one line");
	munmap(text, HUGE_SIZE);
}

/*
 * Random environments made of what the parser looks for, cut, joined and
 * damaged. Whatever comes in: values stay in their ranges, a bounded number
 * of clean lines is said, and what is in force, given back, gives the same.
 */
static uint64_t state;

static unsigned below(unsigned bound)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(state >> 33) % bound;
}

static size_t random_entry(char *out, size_t size)
{
	static const char *const bits[] = {
		"=", "=", "=", "HAKMEM_", "HAKMEM_TEST_", "0", "1", "3", "12", "4096", "1024", "99999999999",
		"C0:256:16", "C3:192:12", "C7:1:1", "C", ":", ",", "%p", "%", "%%", ".json", "/tmp/x", "none",
		"default", "ultra-tight", "-", "+", " ", "\n", "\x1b[", "\xff", "ENABLE", "STATS", "0.", "0.5", "balanced", "adaptive", "tight", "A_LONG_TEXT_OF_NO_USE",
	};
	unsigned pieces = below(6);
	size_t n = 0, i;

	if (below(8)) {
		const struct hk_setting *s = &hk_setting_table[below(HK_SET_COUNT)];

		n = (size_t)snprintf(out, size, "%s=", s->older && below(4) == 0 ? s->older : s->name);
	}
	for (i = 0; i <= pieces; i++)
		n += (size_t)snprintf(out + n, size - n, "%s", bits[below(sizeof bits / sizeof *bits)]);
	if (below(4) == 0)
		out[below((unsigned)n)] = (char)below(256);
	return strlen(out);
}

static bool sound(void)
{
	const struct hk_settings *s = &hk_settings;
	unsigned i, j;
	bool good = s->profile < HK_PROFILE_COUNT && s->superslab_prewarm <= 1024 &&
		    s->tiny_preset < HK_PRESET_COUNT && s->debug_level <= 3 &&
		    s->alloc_learn_rate >= 1 && s->alloc_learn_rate <= HK_RATIO_ONE &&
		    s->mem_learn_threshold <= HK_RATIO_ONE && s->alloc_learn_window >= 1 &&
		    s->mem_learn_window >= 1 && memchr(s->learn_save, 0, sizeof s->learn_save) &&
		    memchr(s->stats_dump, 0, sizeof s->stats_dump) && lines <= 9 && !cut;

	for (i = 0; i < HK_GROUPS; i++)
		good &= s->cache_capacity[i] <= 4096 && s->refill_batch[i] >= 0 &&
			s->refill_batch[i] <= s->cache_capacity[i] &&
			s->cache_capacity[i] >= (i < HK_OVERRIDE_GROUPS);
	for (i = 0; i < lines && good; i++)
		for (j = 0; caught[i][j]; j++)
			good &= caught[i][j] >= ' ' && caught[i][j] <= '~';
	return good;
}

static bool round_trip(void)
{
	static char text[HK_SET_COUNT][640];
	char *list[HK_SET_COUNT + 1];
	struct hk_settings before = hk_settings;
	unsigned id;

	for (id = 0; id < HK_SET_COUNT; id++) {
		snprintf(text[id], sizeof *text, "%s=%s", hk_setting_table[id].name, value_of(id));
		list[HK_SET_COUNT - 1 - id] = text[id];
	}
	list[HK_SET_COUNT] = NULL;
	load(list);
	return lines == 0 && same(&before, &hk_settings, false);
}

static void test_random(void)
{
	static char text[16][512];
	unsigned long rounds = tap_rounds(200000), i, taken = 0, unsound = 0, lossy = 0;
	struct hk_settings defaults;

	load(NULL);
	defaults = hk_settings;
	state = tap_seed();
	for (i = 0; i < rounds; i++) {
		unsigned entries = below(17), j;
		char *list[17];

		for (j = 0; j < entries; j++) {
			random_entry(text[j], sizeof *text);
			list[j] = text[j];
		}
		list[entries] = NULL;
		load(list);
		taken += !same(&defaults, &hk_settings, false);
		unsound += !sound();
		lossy += !round_trip();
	}
	ok(unsound == 0, "%lu random environments give sound settings and clean lines", rounds);
	ok(lossy == 0, "what is reported as in force can be given back");
	ok(taken > rounds / 100, "many of them changed something");
}

int main(void)
{
	tap_watch(300);
	test_dump_path();
	test_huge();
	test_random();
	return tap_end();
}
