/*
 * The settings by themselves: the parser linked into this program, with its
 * messages caught. With an argument it prints the table for the scripts that
 * compare it with the manual pages and the profile files:
 *
 *	settings table		name, older spelling, kind, default, accepted values
 *	settings values		name, value, source, as loaded from the environment
 *	settings capacities	the preset in force, and its capacities
 */
#include "env/catch.h"

extern char **environ;

static void test_defaults(void)
{
	static const int16_t usual[8] = { 512, 512, 384, 384, 256, 384, 192, 96 };
	struct hk_settings before = hk_settings;
	char *none[] = { NULL };
	unsigned id, wrong = 0;
	bool quiet;

	load(NULL);
	quiet = lines == 0;
	ok(quiet && same(&before, &hk_settings, true), "the static values are those of no environment");
	load(none);
	ok(lines == 0 && same(&before, &hk_settings, true), "an empty environment changes nothing");
	for (id = 0; id < HK_SET_COUNT; id++)
		if (strcmp(value_of(id), hk_setting_table[id].initial) ||
		    strcmp(hk_setting_source(id), "default"))
			wrong++;
	ok(wrong == 0, "every setting reports its default and where it is from");
	ok(hk_settings.superslab_reuse && !hk_settings.stats && !hk_settings.stats_dump[0] &&
	   hk_settings.superslab_prewarm == 0 && hk_settings.debug_level == 0,
	   "reuse is on, all else is off");
	ok(!memcmp(hk_settings.cache_capacity, usual, sizeof usual), "capacities of the default preset");
}

static void test_table(void)
{
	unsigned id, other, wrong = 0;

	for (id = 0; id < HK_SET_COUNT; id++) {
		const struct hk_setting *s = &hk_setting_table[id];

		wrong += strncmp(s->name, "HAKMEM_", 7) != 0 || strlen(s->name) > 7 + 40 ||
			 !strncmp(s->name, "HAKMEM_TEST_", 12) || !*s->effect || !*s->accepted;
		for (other = 0; other < id; other++)
			wrong += !strcmp(s->name, hk_setting_table[other].name);
	}
	ok(wrong == 0, "names are distinct and short, every row has its texts");
}

/*
 * One variable in an otherwise empty environment. value: what is in force
 * afterwards; NULL stands for a bad value, after which the default stands.
 */
static const struct {
	unsigned id;
	const char *given, *value;
} one[] = {
	{ HK_SET_PROFILE, "default", "default" },
	{ HK_SET_PROFILE, "", NULL },
	{ HK_SET_PROFILE, "Default", NULL },
	{ HK_SET_PROFILE, "defaul", NULL },
	{ HK_SET_PROFILE, "default ", NULL },
	{ HK_SET_PROFILE, "balanced", "balanced" },
	{ HK_SET_PROFILE, "Tight", NULL },
	{ HK_SET_ALLOC_LEARN, "1", "1" },
	{ HK_SET_ALLOC_LEARN, "2", NULL },
	{ HK_SET_ALLOC_LEARN_WINDOW, "1", "1" },
	{ HK_SET_ALLOC_LEARN_WINDOW, "100000000", "100000000" },
	{ HK_SET_ALLOC_LEARN_WINDOW, "0", NULL },
	{ HK_SET_ALLOC_LEARN_WINDOW, "100000001", NULL },
	{ HK_SET_ALLOC_LEARN_WINDOW, "4294967296", NULL },
	{ HK_SET_ALLOC_LEARN_WINDOW, "10000.0", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "1", "1" },
	{ HK_SET_ALLOC_LEARN_RATE, "1.0", "1" },
	{ HK_SET_ALLOC_LEARN_RATE, "0.1", "0.1" },
	{ HK_SET_ALLOC_LEARN_RATE, "0.150", "0.15" },
	{ HK_SET_ALLOC_LEARN_RATE, "0.000001", "0.000001" },
	{ HK_SET_ALLOC_LEARN_RATE, "0.999999", "0.999999" },
	{ HK_SET_ALLOC_LEARN_RATE, "0", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "0.0", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "0.000000", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "0.0000001", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "0.0000010", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "1.000001", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "2", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "1.", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "0.", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, ".5", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, ".", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "00.5", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "-0.5", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "+0.5", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "0,5", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "0.5.5", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "0.5 ", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "0.x", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "1e-1", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "0x0.8", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "nan", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "inf", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "10%", NULL },
	{ HK_SET_ALLOC_LEARN_RATE, "", NULL },
	{ HK_SET_MEM_LEARN_THRESHOLD, "0", "0" },
	{ HK_SET_MEM_LEARN_THRESHOLD, "0.0", "0" },
	{ HK_SET_MEM_LEARN_THRESHOLD, "0.9", "0.9" },
	{ HK_SET_MEM_LEARN_THRESHOLD, "1", "1" },
	{ HK_SET_MEM_LEARN_THRESHOLD, "1.1", NULL },
	{ HK_SET_LEARN_SAVE, "none", "none" },
	{ HK_SET_LEARN_SAVE, "/tmp/learnt-%p.env", "/tmp/learnt-%p.env" },
	{ HK_SET_LEARN_SAVE, "%d", NULL },
	{ HK_SET_SCAVENGER, "1", "1" },
	{ HK_SET_SCAVENGER, "0", "0" },
	{ HK_SET_SCAVENGER, "always", "always" },
	{ HK_SET_SCAVENGER, "on", NULL },
	{ HK_SET_SCAVENGER, "2", NULL },
	{ HK_SET_SCAVENGER, "Always", NULL },
	{ HK_SET_LIMIT, "none", "none" },
	{ HK_SET_LIMIT, "4194304", "4M" },
	{ HK_SET_LIMIT, "4194303", NULL },
	{ HK_SET_LIMIT, "4194305", "4194305" },
	{ HK_SET_LIMIT, "4096K", "4M" },
	{ HK_SET_LIMIT, "5000K", "5000K" },
	{ HK_SET_LIMIT, "512M", "512M" },
	{ HK_SET_LIMIT, "2048M", "2G" },
	{ HK_SET_LIMIT, "1024T", "1024T" },
	{ HK_SET_LIMIT, "1025T", NULL },
	{ HK_SET_LIMIT, "1125899906842624", "1024T" },
	{ HK_SET_LIMIT, "1125899906842625", NULL },
	{ HK_SET_LIMIT, "18446744073709551616", NULL },
	{ HK_SET_LIMIT, "99999999999999999999999999M", NULL },
	{ HK_SET_LIMIT, "18014398509481985K", NULL },
	{ HK_SET_LIMIT, "0", NULL },
	{ HK_SET_LIMIT, "0512M", NULL },
	{ HK_SET_LIMIT, "3M", NULL },
	{ HK_SET_LIMIT, "512m", NULL },
	{ HK_SET_LIMIT, "512MB", NULL },
	{ HK_SET_LIMIT, "512 M", NULL },
	{ HK_SET_LIMIT, "512M ", NULL },
	{ HK_SET_LIMIT, "-512M", NULL },
	{ HK_SET_LIMIT, "+512M", NULL },
	{ HK_SET_LIMIT, "0.5G", NULL },
	{ HK_SET_LIMIT, "50%", NULL },
	{ HK_SET_LIMIT, "M", NULL },
	{ HK_SET_LIMIT, "", NULL },
	{ HK_SET_SUPERSLAB_REUSE, "0", "0" },
	{ HK_SET_SUPERSLAB_REUSE, "1", "1" },
	{ HK_SET_SUPERSLAB_REUSE, "2", NULL },
	{ HK_SET_SUPERSLAB_REUSE, "yes", NULL },
	{ HK_SET_SUPERSLAB_REUSE, "", NULL },
	{ HK_SET_SUPERSLAB_PREWARM, "0", "0" },
	{ HK_SET_SUPERSLAB_PREWARM, "1", "1" },
	{ HK_SET_SUPERSLAB_PREWARM, "1024", "1024" },
	{ HK_SET_SUPERSLAB_PREWARM, "1025", NULL },
	{ HK_SET_SUPERSLAB_PREWARM, "-1", NULL },
	{ HK_SET_SUPERSLAB_PREWARM, "-0", NULL },
	{ HK_SET_SUPERSLAB_PREWARM, "+1", NULL },
	{ HK_SET_SUPERSLAB_PREWARM, " 1", NULL },
	{ HK_SET_SUPERSLAB_PREWARM, "1 ", NULL },
	{ HK_SET_SUPERSLAB_PREWARM, "1\n", NULL },
	{ HK_SET_SUPERSLAB_PREWARM, "\t1", NULL },
	{ HK_SET_SUPERSLAB_PREWARM, "01", NULL },
	{ HK_SET_SUPERSLAB_PREWARM, "00", NULL },
	{ HK_SET_SUPERSLAB_PREWARM, "0x10", NULL },
	{ HK_SET_SUPERSLAB_PREWARM, "1e2", NULL },
	{ HK_SET_SUPERSLAB_PREWARM, "1.0", NULL },
	{ HK_SET_SUPERSLAB_PREWARM, "1k", NULL },
	{ HK_SET_SUPERSLAB_PREWARM, "4294967297", NULL },
	{ HK_SET_SUPERSLAB_PREWARM, "18446744073709551617", NULL },
	{ HK_SET_SUPERSLAB_PREWARM, "99999999999999999999999999999999999999999999", NULL },
	{ HK_SET_SUPERSLAB_PREWARM, "\xd9\xa1", NULL },		/* an Arabic digit one */
	{ HK_SET_TINY_PRESET, "ultra-tight", "ultra-tight" },
	{ HK_SET_TINY_PRESET, "default", "default" },
	{ HK_SET_TINY_PRESET, "tight", NULL },
	{ HK_SET_TINY_PRESET, "ultra-tightest", NULL },
	{ HK_SET_TINY_PRESET, "default, ultra-tight", NULL },
	{ HK_SET_HARDEN, "3", "3" },
	{ HK_SET_HARDEN, "4", NULL },
	{ HK_SET_DEBUG_LEVEL, "3", "3" },
	{ HK_SET_DEBUG_LEVEL, "4", NULL },
	{ HK_SET_STATS, "1", "1" },
	{ HK_SET_STATS, "true", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "none", "none" },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C0:256:16", "C0:256:16" },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C0:256:16,C3:192:12", "C0:256:16,C3:192:12" },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C7:1:1,C0:4096:4096", "C0:4096:4096,C7:1:1" },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, ",", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C0", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C0:", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C0:256", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C0:256:", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C0:256:16,", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C0:256:16,,C1:1:1", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, ",C0:256:16", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C0:256:16 C1:1:1", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C0:256:16;C1:1:1", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C0:256:16,none", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C0:256:16,C0:256:16", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "c0:256:16", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "0:256:16", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C00:256:16", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C8:256:16", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C-1:256:16", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C0:0:0", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C0:256:0", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C0:16:17", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C0:4097:1", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C0:65537:1", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C0:4294967552:1", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C0:256:16:1", NULL },
	{ HK_SET_TINY_TLS_CLASS_OVERRIDE, "C4:64:8,C5:64:8,C6:0:8", NULL },
	{ HK_SET_SAMPLE, "0", "0" },
	{ HK_SET_SAMPLE, "524288", "524288" },
	{ HK_SET_SAMPLE, "1073741824", "1073741824" },
	{ HK_SET_SAMPLE, "1073741825", NULL },
	{ HK_SET_SAMPLE, "512k", NULL },
	{ HK_SET_SAMPLE_DUMP, "/tmp/%p.heap", "/tmp/%p.heap" },
	{ HK_SET_SAMPLE_DUMP, "%d", NULL },
	{ HK_SET_STATS_DUMP, "none", "none" },
	{ HK_SET_STATS_DUMP, "/tmp/a b-%p.json", "/tmp/a b-%p.json" },
	{ HK_SET_STATS_DUMP, "100%%", "100%%" },
	{ HK_SET_STATS_DUMP, "", NULL },
	{ HK_SET_STATS_DUMP, "%", NULL },
	{ HK_SET_STATS_DUMP, "a%", NULL },
	{ HK_SET_STATS_DUMP, "a%%%", NULL },
	{ HK_SET_STATS_DUMP, "%d", NULL },
	{ HK_SET_STATS_DUMP, "%n%n%s", NULL },
	{ HK_SET_STATS_DUMP, "%P", NULL },
	{ HK_SET_STATS_DUMP, "a\nb", NULL },
	{ HK_SET_STATS_DUMP, "a\x7f", NULL },
	{ HK_SET_STATS_DUMP, "\x1b[2J", NULL },
	{ HK_SET_STATS_DUMP, "gr\xc3\xbc\xc3\x9f" "e", NULL },
};

static void test_values(void)
{
	struct hk_settings defaults;
	unsigned i;

	load(NULL);
	defaults = hk_settings;
	for (i = 0; i < sizeof one / sizeof *one; i++) {
		const struct hk_setting *s = &hk_setting_table[one[i].id];
		char entry[256], name[256], *list[] = { entry, NULL }, *c;
		bool good;

		snprintf(entry, sizeof entry, "%s=%s", s->name, one[i].given);
		load(list);
		if (one[i].value)
			good = lines == 0 && !strcmp(value_of(one[i].id), one[i].value) &&
			       !strcmp(hk_setting_source(one[i].id), "environment");
		else
			good = lines == 1 && !cut && same(&defaults, &hk_settings, true);
		snprintf(name, sizeof name, "%s", entry);
		for (c = name; *c; c++)
			if (*c < ' ' || *c > '~')
				*c = '?';
		if (!ok(good, "%s \"%s\"", one[i].value ? "taken:" : "refused:", name)) {
			diag("  in force: %s", value_of(one[i].id));
			said_so();
		}
	}
}

/* Several variables together, and exactly what is said. */
static const struct {
	const char *name, *list[12], *lines[10];
	const char *check[8];	/* NAME=value (source) */
} many[] = {
	{ "a bad flag", { "HAKMEM_STATS=yes" },
	  { "hakmem: HAKMEM_STATS: bad value \"yes\", accepted: 0, 1; keeping 0 (default)" },
	  { "HAKMEM_STATS=0 (default)" } },
	{ "a bad number", { "HAKMEM_SUPERSLAB_PREWARM=9999" },
	  { "hakmem: HAKMEM_SUPERSLAB_PREWARM: bad value \"9999\", accepted: 0 to 1024; keeping 0 (default)" },
	  { "HAKMEM_SUPERSLAB_PREWARM=0 (default)" } },
	{ "a bad ratio", { "HAKMEM_ALLOC_LEARN_RATE=0" },
	  { "hakmem: HAKMEM_ALLOC_LEARN_RATE: bad value \"0\", accepted: more than 0 and at most 1, with at most "
	    "6 decimals as in 0.25; keeping 0.1 (default)" },
	  { "HAKMEM_ALLOC_LEARN_RATE=0.1 (default)" } },
	{ "a bad size", { "HAKMEM_LIMIT=64k" },
	  { "hakmem: HAKMEM_LIMIT: bad value \"64k\", accepted: none, or a number of bytes of at least 4M, "
	    "with K, M, G or T as in 512M; keeping none (default)" },
	  { "HAKMEM_LIMIT=none (default)" } },
	{ "a bad value after a profile", { "HAKMEM_MEM_LEARN_THRESHOLD=2", "HAKMEM_PROFILE=tight" },
	  { "hakmem: HAKMEM_MEM_LEARN_THRESHOLD: bad value \"2\", accepted: 0 to 1, with at most "
	    "6 decimals as in 0.25; keeping 0.9 (profile)" },
	  { "HAKMEM_MEM_LEARN_THRESHOLD=0.9 (profile)" } },
	{ "variables win over the profile, in any order",
	  { "HAKMEM_STATS=0", "HAKMEM_PROFILE=adaptive", "HAKMEM_ALLOC_LEARN_RATE=0.2" }, { NULL },
	  { "HAKMEM_STATS=0 (environment)", "HAKMEM_ALLOC_LEARN_RATE=0.2 (environment)",
	    "HAKMEM_ALLOC_LEARN_WINDOW=5000 (profile)", "HAKMEM_MEM_LEARN_WINDOW=10000 (default)" } },
	{ "an override wins over the profile's preset",
	  { "HAKMEM_PROFILE=tight", "HAKMEM_TINY_TLS_CLASS_OVERRIDE=C0:128:16" }, { NULL },
	  { "HAKMEM_TINY_PRESET=ultra-tight (profile)", "HAKMEM_TINY_TLS_CLASS_OVERRIDE=C0:128:16 (environment)" } },
	{ "a bad word", { "HAKMEM_TINY_PRESET=small" },
	  { "hakmem: HAKMEM_TINY_PRESET: bad value \"small\", accepted: default, ultra-tight; keeping default (default)" },
	  { "HAKMEM_TINY_PRESET=default (default)" } },
	{ "a bad list", { "HAKMEM_TINY_TLS_CLASS_OVERRIDE=C0:8:4,C9:1:1" },
	  { "hakmem: HAKMEM_TINY_TLS_CLASS_OVERRIDE: bad value \"C0:8:4,C9:1:1\", accepted: none, or a list "
	    "as in C0:256:16,C3:192:12 of group:capacity:batch, with groups C0 to C7 at most once each, "
	    "capacity 1 to 4096, batch 1 to the capacity; keeping none (default)" },
	  { "HAKMEM_TINY_TLS_CLASS_OVERRIDE=none (default)" } },
	{ "a bad path", { "HAKMEM_STATS_DUMP=%d" },
	  { "hakmem: HAKMEM_STATS_DUMP: bad value \"%d\", accepted: none, or a path in printable ASCII of at "
	    "most 255 bytes, %p for the process id, %% for a percent sign; keeping none (default)" },
	  { "HAKMEM_STATS_DUMP=none (default)" } },
	{ "the older spelling", { "HAKMEM_STATS_ENABLE=1" }, { NULL }, { "HAKMEM_STATS=1 (environment)" } },
	{ "the newer spelling wins, coming first", { "HAKMEM_STATS=0", "HAKMEM_STATS_ENABLE=1" },
	  { NULL }, { "HAKMEM_STATS=0 (environment)" } },
	{ "the newer spelling wins, coming last", { "HAKMEM_STATS_ENABLE=0", "HAKMEM_STATS=1" },
	  { NULL }, { "HAKMEM_STATS=1 (environment)" } },
	{ "a bad value of the older spelling", { "HAKMEM_STATS_ENABLE=on" },
	  { "hakmem: HAKMEM_STATS_ENABLE: bad value \"on\", accepted: 0, 1; keeping 0 (default)" },
	  { "HAKMEM_STATS=0 (default)" } },
	{ "of one name twice the first counts", { "HAKMEM_DEBUG_LEVEL=2", "HAKMEM_DEBUG_LEVEL=x" },
	  { NULL }, { "HAKMEM_DEBUG_LEVEL=2 (environment)" } },
	{ "the override comes after the preset in any order",
	  { "HAKMEM_TINY_TLS_CLASS_OVERRIDE=C2:100:10", "HAKMEM_TINY_PRESET=ultra-tight" }, { NULL },
	  { "HAKMEM_TINY_TLS_CLASS_OVERRIDE=C2:100:10 (environment)",
	    "HAKMEM_TINY_PRESET=ultra-tight (environment)" } },
	{ "one bad value leaves the others alone",
	  { "HAKMEM_STATS=1", "HAKMEM_DEBUG_LEVEL=9", "HAKMEM_SUPERSLAB_REUSE=0" },
	  { "hakmem: HAKMEM_DEBUG_LEVEL: bad value \"9\", accepted: 0 to 3; keeping 0 (default)" },
	  { "HAKMEM_STATS=1 (environment)", "HAKMEM_DEBUG_LEVEL=0 (default)",
	    "HAKMEM_SUPERSLAB_REUSE=0 (environment)" } },
	{ "a letter too many", { "HAKMEM_STATSS=1" },
	  { "hakmem: HAKMEM_STATSS: no such setting, the nearest is HAKMEM_STATS" },
	  { "HAKMEM_STATS=0 (default)" } },
	{ "a letter less", { "HAKMEM_STATS_DMP=x" },
	  { "hakmem: HAKMEM_STATS_DMP: no such setting, the nearest is HAKMEM_STATS_DUMP" }, { NULL } },
	{ "a wrong letter", { "HAKMEM_SUPERSLAB_REUZE=1" },
	  { "hakmem: HAKMEM_SUPERSLAB_REUZE: no such setting, the nearest is HAKMEM_SUPERSLAB_REUSE" }, { NULL } },
	{ "half a name", { "HAKMEM_PREWARM=1" },
	  { "hakmem: HAKMEM_PREWARM: no such setting, the nearest is HAKMEM_SUPERSLAB_PREWARM" }, { NULL } },
	{ "another half", { "HAKMEM_OVERRIDE=1" },
	  { "hakmem: HAKMEM_OVERRIDE: no such setting, the nearest is HAKMEM_TINY_TLS_CLASS_OVERRIDE" }, { NULL } },
	{ "lower case", { "HAKMEM_debug_level=1" },
	  { "hakmem: HAKMEM_debug_level: no such setting, the nearest is HAKMEM_DEBUG_LEVEL" },
	  { "HAKMEM_DEBUG_LEVEL=0 (default)" } },
	{ "lower case next to a similar name", { "HAKMEM_superslab_prewarm=1" },
	  { "hakmem: HAKMEM_superslab_prewarm: no such setting, the nearest is HAKMEM_SUPERSLAB_PREWARM" }, { NULL } },
	{ "the end of a long name does not count", { "HAKMEM_"
	    "XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXTINY_PRESET=1" },
	  { "hakmem: HAKMEM_XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX...: no such setting, "
	    "the nearest is HAKMEM_PROFILE" }, { NULL } },
	{ "near the older spelling the newer is named", { "HAKMEM_STATS_ENABEL=1" },
	  { "hakmem: HAKMEM_STATS_ENABEL: no such setting, the nearest is HAKMEM_STATS" }, { NULL } },
	{ "no name at all", { "HAKMEM_=1" },
	  { "hakmem: HAKMEM_: no such setting, the nearest is HAKMEM_LIMIT" }, { NULL } },
	{ "names of tests", { "HAKMEM_TEST_SEED=1", "HAKMEM_TEST_=2" }, { NULL }, { NULL } },
	{ "not quite a name of tests", { "HAKMEM_TEST=1" },
	  { "hakmem: HAKMEM_TEST: no such setting, the nearest is HAKMEM_TINY_PRESET" }, { NULL } },
	{ "names of others", { "HAKMEM=1", "hakmem_stats=1", "XHAKMEM_STATS=1", "HAKME", "=", "", "PATH=/bin" },
	  { NULL }, { "HAKMEM_STATS=0 (default)" } },
	{ "an entry that is no variable", { "HAKMEM_STATS", "HAKMEM_", "HAKMEM_NONSENSE" }, { NULL },
	  { "HAKMEM_STATS=0 (default)" } },
	{ "a value with an equals sign", { "HAKMEM_STATS_DUMP=a=b" }, { NULL },
	  { "HAKMEM_STATS_DUMP=a=b (environment)" } },
	{ "terminal control is not passed on",
	  { "HAKMEM_STATS=\x1b]0;title\a\r\nhakmem: \x7f\xc2\x9b" "2J", "HAKMEM_\x1b[31m\n=1" },
	  { "hakmem: HAKMEM_?[31m?: no such setting, the nearest is HAKMEM_LIMIT",
	    "hakmem: HAKMEM_STATS: bad value \"?]0;title???hakmem: ???2J\", accepted: 0, 1; keeping 0 (default)" },
	  { NULL } },
	{ "a long value is cut", { "HAKMEM_STATS=0123456789012345678901234567890123456789012345678901234567890" },
	  { "hakmem: HAKMEM_STATS: bad value \"012345678901234567890123456789012345678901234567...\", "
	    "accepted: 0, 1; keeping 0 (default)" }, { NULL } },
	{ "eight lines are said and no ninth",
	  { "HAKMEM_A=", "HAKMEM_B=", "HAKMEM_C=", "HAKMEM_D=", "HAKMEM_E=", "HAKMEM_F=", "HAKMEM_G=", "HAKMEM_STATS=" },
	  { "*", "*", "*", "*", "*", "*", "*",
	    "hakmem: HAKMEM_STATS: bad value \"\", accepted: 0, 1; keeping 0 (default)" }, { NULL } },
	{ "more than eight are counted",
	  { "HAKMEM_A=", "HAKMEM_B=", "HAKMEM_C=", "HAKMEM_D=", "HAKMEM_E=", "HAKMEM_F=", "HAKMEM_G=", "HAKMEM_H=",
	    "HAKMEM_STATS=", "HAKMEM_DEBUG_LEVEL=1", "HAKMEM_I=" },
	  { "*", "*", "*", "*", "*", "*", "*", "*",
	    "hakmem: 2 more problems with HAKMEM_ variables, not shown" },
	  { "HAKMEM_DEBUG_LEVEL=1 (environment)" } },
};

static bool in_force(const char *check)
{
	char line[640];
	unsigned id;

	for (id = 0; id < HK_SET_COUNT; id++) {
		snprintf(line, sizeof line, "%s=%s (%s)", hk_setting_table[id].name, value_of(id),
			 hk_setting_source(id));
		if (!strcmp(line, check))
			return true;
	}
	return false;
}

static void test_lists(void)
{
	unsigned i, j, n;

	for (i = 0; i < sizeof many / sizeof *many; i++) {
		bool good = true;

		load((char *const *)many[i].list);
		for (n = 0; many[i].lines[n]; n++)
			good &= n < lines && (*many[i].lines[n] == '*' || !strcmp(caught[n], many[i].lines[n]));
		good &= lines == n && !cut;
		for (j = 0; many[i].check[j]; j++)
			good &= in_force(many[i].check[j]);
		if (ok(good, "%s", many[i].name))
			continue;
		for (n = 0; many[i].lines[n]; n++)
			diag("  wanted: %s", many[i].lines[n]);
		said_so();
		for (j = 0; many[i].check[j]; j++)
			diag("  wanted in force: %s", many[i].check[j]);
	}
}

/* What the specification says of each profile. */
static void test_profiles(void)
{
	static const struct {
		unsigned id;
		const char *value[HK_PROFILE_COUNT];
	} rows[] = {
		{ HK_SET_PROFILE,		{ "default", "balanced", "adaptive", "tight", "hardened" } },
		{ HK_SET_ALLOC_LEARN,		{ "0", "1", "1", "1", "1" } },
		{ HK_SET_ALLOC_LEARN_WINDOW,	{ "10000", "10000", "5000", "20000", "10000" } },
		{ HK_SET_ALLOC_LEARN_RATE,	{ "0.1", "0.1", "0.15", "0.05", "0.1" } },
		{ HK_SET_MEM_LEARN,		{ "0", "0", "1", "1", "0" } },
		{ HK_SET_MEM_LEARN_WINDOW,	{ "10000", "10000", "10000", "20000", "10000" } },
		{ HK_SET_MEM_LEARN_THRESHOLD,	{ "0.8", "0.8", "0.8", "0.9", "0.8" } },
		{ HK_SET_LEARN_ADVANCED,	{ "0", "0", "1", "0", "0" } },
		{ HK_SET_LEARN_SAVE,		{ "none", "none", "none", "none", "none" } },
		{ HK_SET_SCAVENGER,		{ "0", "1", "1", "1", "1" } },
		{ HK_SET_SUPERSLAB_REUSE,	{ "1", "1", "1", "0", "1" } },
		{ HK_SET_SUPERSLAB_PREWARM,	{ "0", "0", "2", "0", "0" } },
		{ HK_SET_TINY_PRESET,		{ "default", "default", "default", "ultra-tight", "default" } },
		{ HK_SET_HARDEN,		{ "0", "0", "0", "0", "3" } },
		{ HK_SET_DEBUG_LEVEL,		{ "0", "0", "0", "0", "0" } },
		{ HK_SET_STATS,			{ "0", "0", "1", "0", "0" } },
		{ HK_SET_SAMPLE,		{ "0", "0", "0", "0", "0" } },
		{ HK_SET_SAMPLE_DUMP,		{ "none", "none", "none", "none", "none" } },
	};
	unsigned profile, row;

	for (profile = 0; profile < HK_PROFILE_COUNT; profile++) {
		char entry[64], *list[] = { entry, NULL };
		bool good;

		snprintf(entry, sizeof entry, "HAKMEM_PROFILE=%s", hk_profile_table[profile].name);
		load(list);
		good = lines == 0;
		for (row = 0; row < sizeof rows / sizeof *rows; row++) {
			const char *value = value_of(rows[row].id);

			if (strcmp(value, rows[row].value[profile])) {
				diag("  %s is %s", hk_setting_table[rows[row].id].name, value);
				good = false;
			}
		}
		ok(good, "profile %s has its values", hk_profile_table[profile].name);
	}
}

static void test_capacities(void)
{
	char *list[] = { "HAKMEM_TINY_TLS_CLASS_OVERRIDE=C1:256:16,C7:7:5", "HAKMEM_TINY_PRESET=ultra-tight", NULL };
	unsigned i;
	bool good = true;

	load(list + 1);
	for (i = 0; i < HK_OVERRIDE_GROUPS; i++)
		good &= hk_settings.cache_capacity[i] == 32 && hk_settings.refill_batch[i] == 0;
	ok(good, "ultra-tight is 32 everywhere");
	load(list);
	for (good = true, i = 0; i < HK_OVERRIDE_GROUPS; i++) {
		int capacity = i == 1 ? 256 : i == 7 ? 7 : 32, batch = i == 1 ? 16 : i == 7 ? 5 : 0;

		good &= hk_settings.cache_capacity[i] == capacity && hk_settings.refill_batch[i] == batch;
	}
	ok(good, "an override changes the groups that it names");
	for (; i < HK_GROUPS; i++)
		good &= hk_settings.cache_capacity[i] == 0 && hk_settings.refill_batch[i] == 0;
	ok(good, "Mid groups are left to the cache");
}

static void test_secure(void)
{
	char *list[] = { "HAKMEM_STATS=1", "HAKMEM_DEBUG_LEVEL=x", "HAKMEM_NONSENSE=1", "HAKMEM_STATS_DUMP=/x", NULL };
	struct hk_settings defaults;

	load(NULL);
	defaults = hk_settings;
	load(list);
	ok(lines == 2 && !same(&defaults, &hk_settings, false), "the list counts in an ordinary program");
	lines = 0;
	hk_settings_load(list, true);
	ok(lines == 0 && same(&defaults, &hk_settings, true), "a set-user-ID program ignores it, silently");
}

static int print_table(void)
{
	unsigned id;

	for (id = 0; id < HK_SET_COUNT; id++) {
		const struct hk_setting *s = &hk_setting_table[id];

		printf("%s\t%s\t%s\t%s\t%s\n", s->name, s->older ? s->older : "-",
		       hk_setting_kind(id), s->initial, s->accepted);
	}
	return 0;
}

static int print_values(void)
{
	unsigned id;

	load(environ);
	for (id = 0; id < HK_SET_COUNT; id++)
		printf("%s\t%s\t%s\n", hk_setting_table[id].name, value_of(id), hk_setting_source(id));
	for (id = 0; id < lines && id < CAUGHT; id++)
		fprintf(stderr, "%s\n", caught[id]);
	return lines != 0;
}

static int print_capacities(void)
{
	unsigned i;

	load(environ);
	printf("%s", value_of(HK_SET_TINY_PRESET));
	for (i = 0; i < HK_OVERRIDE_GROUPS; i++)
		printf(" %d", hk_settings.cache_capacity[i]);
	printf("\n");
	return lines != 0;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "table"))
		return print_table();
	if (argc > 1 && !strcmp(argv[1], "capacities"))
		return print_capacities();
	if (argc > 1)
		return print_values();
	tap_watch(300);
	test_defaults();
	test_table();
	test_values();
	test_lists();
	test_profiles();
	test_capacities();
	test_secure();
	return tap_end();
}
