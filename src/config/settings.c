#include "config/internal.h"

#include <string.h>

_Static_assert(HK_OVERRIDE_GROUPS == 8, "the accepted text of lists says C7");

static const char *const profile_words[] = {
#define PROFILE(id, name, ...) name,
#include "config/settings.def"
	NULL
};

static const char *const tiny_preset_words[] = {
#define PRESET(id, name, ...) name,
#include "config/settings.def"
	NULL
};

static const char *const scavenger_words[] = { "0", "1", "always", NULL };
static const char scavenger_accepted[] = ", 0, 1, always";

const int16_t hk_preset_capacity[HK_PRESET_COUNT][HK_GROUPS] = {
#define PRESET(id, name, ...) { __VA_ARGS__ },
#include "config/settings.def"
};

const struct hk_profile hk_profile_table[HK_PROFILE_COUNT] = {
#define PROFILE(id, name, purpose, ...) { name, purpose, { __VA_ARGS__ } },
#include "config/settings.def"
};

static const char profile_accepted[] =
#define PROFILE(id, name, ...) ", " name
#include "config/settings.def"
	;

static const char tiny_preset_accepted[] =
#define PRESET(id, name, ...) ", " name
#include "config/settings.def"
	;

#define TEXT_FLAG(field, least, most) .accepted = "0, 1",
#define TEXT_NUMBER(field, least, most) .accepted = #least " to " #most,
/* Only for the two values of least that occur in the table. */
#define TEXT_RATIO(field, least, most) .accepted = (least) ? \
	"more than 0 and at most 1, with at most 6 decimals as in 0.25" : \
	"0 to 1, with at most 6 decimals as in 0.25",
/* Only for the value of least that occurs in the table. */
#define TEXT_SIZE(field, least, most) .accepted = \
	"none, or a number of bytes of at least 4M, with K, M, G or T as in 512M",
#define TEXT_WORD(field, least, most) .accepted = field##_accepted + 2, .words = field##_words,
#define TEXT_LIST(field, least, most) .accepted = \
	"none, or a list as in C0:256:16,C3:192:12 of group:capacity:batch, " \
	"with groups C0 to C7 at most once each, capacity " #least " to " #most \
	", batch 1 to the capacity",
#define TEXT_PATH(field, least, most) .accepted = \
	"none, or a path in printable ASCII of at most " #most \
	" bytes, %p for the process id, %% for a percent sign",

const struct hk_setting hk_setting_table[HK_SET_COUNT] = {
#define SETTING(id, type, when, field, low, high, start, old, what) \
	{ .name = "HAKMEM_" #id, .older = (old), .initial = #start, \
	  .effect = (what), TEXT_##type(field, low, high) \
	  .offset = offsetof(struct hk_settings, field), \
	  .least = (low), .most = (high), .kind = HK_##type, .live = HK_##when },
#include "config/settings.def"
};

/* A static initial value, because malloc may be called before the settings are loaded. */
#define START_FLAG(field, initial) .field = (initial),
#define START_NUMBER(field, initial) .field = (initial),
#define START_RATIO(field, initial) .field = (unsigned)((initial) * HK_RATIO_ONE + 0.5),
#define START_SIZE(field, initial)
#define START_WORD(field, initial)
#define START_LIST(field, initial)
#define START_PATH(field, initial)
#define START_DEFAULT(...) .cache_capacity = { __VA_ARGS__ },
#define START_ULTRA_TIGHT(...)

struct hk_settings hk_settings = {
#define SETTING(id, kind, when, field, least, most, initial, ...) START_##kind(field, initial)
#define PRESET(id, name, ...) START_##id(__VA_ARGS__)
#include "config/settings.def"
};

/* An invalid value from the profile or the environment leaves the previous value in force. */
static bool put(enum hk_setting_id id, const char *text, enum hk_source source)
{
	if (!hk_value_set(id, text))
		return false;
	hk_settings.source[id] = (uint8_t)source;
	return true;
}

/* The profile is the first row, so it is known when the later rows are set. */
static void settle(struct hk_found *found, enum hk_setting_id id)
{
	const struct hk_setting *setting = &hk_setting_table[id];
	const char *of_profile, *given = found->newer[id], *name = setting->name;

	put(id, setting->initial, HK_FROM_DEFAULT);
	of_profile = hk_profile_table[hk_settings.profile].value[id];
	if (of_profile)
		put(id, of_profile, HK_FROM_PROFILE);
	if (!given && found->older[id]) {
		given = found->older[id];
		name = setting->older;
	}
	/* A value that will not be in force is checked too, so that mistakes are reported. */
	if (given && !put(id, given, HK_FROM_ENVIRONMENT))
		hk_problem_value(found, id, name, given);
	if (hk_setting_advanced(id) && !hk_settings.learn_advanced)
		put(id, of_profile ? of_profile : setting->initial,
		    of_profile ? HK_FROM_PROFILE : HK_FROM_DEFAULT);
	hk_settings.given[id] = hk_settings.source[id] == HK_FROM_ENVIRONMENT;
}

bool hk_setting_profiled(enum hk_setting_id id)
{
	unsigned profile;

	for (profile = 0; profile < HK_PROFILE_COUNT; profile++)
		if (hk_profile_table[profile].value[id])
			return true;
	return false;
}

bool hk_setting_advanced(enum hk_setting_id id)
{
	return id >= HK_SET_MEM_LEARN_SPARSE && id <= HK_SET_MEM_LEARN_DELAY;
}

uint8_t hk_harden = HK_HARDEN_UNKNOWN;

void hk_settings_load(char *const *environment, bool secure)
{
	struct hk_found found;
	unsigned id;

	memset(&found, 0, sizeof found);
	if (environment && !secure)
		hk_names_find(&found, environment);
	for (id = 0; id < HK_SET_COUNT; id++)
		settle(&found, id);
	hk_problem_end(&found);
	hk_harden = environment ? (uint8_t)hk_settings.harden : HK_HARDEN_UNKNOWN;
}

const char *hk_setting_source(enum hk_setting_id id)
{
	static const char *const names[] = { "default", "profile", "environment", "change" };

	return names[hk_settings.source[id]];
}

const char *hk_setting_kind(enum hk_setting_id id)
{
	static const char *const names[] = { "flag", "number", "ratio", "size", "word", "list", "path" };

	return names[hk_setting_table[id].kind];
}

enum hk_setting_id hk_setting_named(const char *name)
{
	unsigned id;

	for (id = 0; id < HK_SET_COUNT; id++)
		if (!strcmp(hk_setting_table[id].name + sizeof "HAKMEM_" - 1, name))
			break;
	return (enum hk_setting_id)id;
}
