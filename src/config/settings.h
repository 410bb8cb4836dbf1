/*
 * Settings: read from the environment once, at start, and constant from then
 * on. settings.def is the table behind everything here.
 */
#ifndef HK_CONFIG_SETTINGS_H
#define HK_CONFIG_SETTINGS_H

#include "os/line.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HK_GROUPS = 12,			/* C0 to C11; Mid is C8 and up */
	HK_OVERRIDE_GROUPS = 8,		/* those that an override may name */
	HK_PATH_MAX = 2560,		/* room for any expanded path */
	HK_RATIO_ONE = 1000000,		/* ratios are in millionths */
};

enum hk_setting_id {
#define SETTING(id, ...) HK_SET_##id,
#include "config/settings.def"
	HK_SET_COUNT
};

enum hk_preset_id {
#define PRESET(id, ...) HK_PRESET_##id,
#include "config/settings.def"
	HK_PRESET_COUNT
};

enum hk_profile_id {
#define PROFILE(id, ...) HK_PROFILE_##id,
#include "config/settings.def"
	HK_PROFILE_COUNT
};

/* Who gives memory back while the program is idle: nobody, a thread of ours in
 * programs that have threads, or one in any program. */
enum hk_scavenger_id { HK_SCAVENGER_OFF, HK_SCAVENGER_THREADED, HK_SCAVENGER_ALWAYS };

/* Where a value came from; a later one wins. */
enum hk_source { HK_FROM_DEFAULT, HK_FROM_PROFILE, HK_FROM_ENVIRONMENT };

/* The values in force. Written by hk_settings_load alone, before the first
 * second thread; valid, as the default profile, even before that. */
struct hk_settings {
	unsigned profile;			/* enum hk_profile_id */
	bool alloc_learn;
	unsigned alloc_learn_window;		/* operations */
	unsigned alloc_learn_rate;		/* millionths */
	bool mem_learn;
	unsigned mem_learn_window;		/* operations */
	unsigned mem_learn_threshold;		/* millionths */
	bool learn_advanced;
	unsigned mem_learn_sparse;		/* millionths */
	unsigned mem_learn_stable;		/* ms */
	unsigned mem_learn_step;		/* SuperSlabs */
	unsigned mem_learn_delay;		/* ms */
	char learn_save[256];			/* the pattern; "": no file */
	unsigned scavenger;			/* enum hk_scavenger_id */
	bool superslab_reuse;
	unsigned superslab_prewarm;
	unsigned tiny_preset;			/* enum hk_preset_id */
	int16_t cache_capacity[HK_GROUPS];	/* 0: chosen by the cache */
	int16_t refill_batch[HK_GROUPS];	/* 0: chosen by the cache */
	unsigned harden;
	unsigned debug_level;
	bool stats;
	char stats_dump[256];			/* the pattern; "": no dump */
	uint8_t source[HK_SET_COUNT];		/* enum hk_source */
};
extern struct hk_settings hk_settings;

/* The level of HAKMEM_HARDEN. Until the environment is known, blocks are sealed and
 * cleared, in case the level turns out to be set. Not in hk_settings, for fast access. */
enum { HK_HARDEN_SEALS = 1, HK_HARDEN_CONTENTS, HK_HARDEN_GUARDS, HK_HARDEN_UNKNOWN = HK_HARDEN_CONTENTS };
extern uint8_t hk_harden;

/*
 * Takes the settings from a list of NAME=value strings, NULL for none; secure
 * (set-user-ID) ignores it. What is wrong in it is said on standard error, a
 * line each and not too many. Does not allocate.
 */
void hk_settings_load(char *const *environment, bool secure);

/* How far what was typed is from a name, in any case; 1 for a letter left out, 3 for a
 * wrong one. Only the start of a long text counts. */
unsigned hk_name_distance(const char *typed, size_t length, const char *name);

/*
 * The path of a pattern with the process id of this moment filled in; its
 * length, or 0 if there is none or it does not fit (out is then empty). A
 * buffer of HK_PATH_MAX always fits.
 */
size_t hk_settings_path(const char *pattern, char *out, size_t size);
/* Says that a file of a setting could not be written; what: "the ... of HAKMEM_...". */
void hk_problem_file(const char *what, const char *path, const char *why);
bool hk_settings_dump_json(void);	/* the pattern ends in .json */

/* Is it in force with HAKMEM_LEARN_ADVANCED=1 alone? */
bool hk_setting_advanced(enum hk_setting_id id);

/* For reports: the table itself. */
enum hk_kind { HK_FLAG, HK_NUMBER, HK_RATIO, HK_WORD, HK_LIST, HK_PATH };

struct hk_setting {
	const char *name;		/* with HAKMEM_ */
	const char *older;		/* older spelling or NULL */
	const char *initial;		/* the default, as text */
	const char *accepted;		/* values, in words */
	const char *effect;
	const char *const *words;	/* of a WORD; ends in NULL */
	size_t offset;			/* of the value in struct hk_settings */
	unsigned least, most;
	enum hk_kind kind;
};
extern const struct hk_setting hk_setting_table[HK_SET_COUNT];

struct hk_profile {
	const char *name, *purpose;
	const char *value[HK_SET_COUNT];	/* NULL: the default */
};
extern const struct hk_profile hk_profile_table[HK_PROFILE_COUNT];

/* Appends a value in the spelling that the environment takes: printable ASCII,
 * though a path may hold quotes and backslashes. */
void hk_setting_value(enum hk_setting_id id, struct hk_line *line);
/* One group of a LIST: C3:192:12. */
void hk_setting_group(struct hk_line *line, unsigned group, int32_t capacity, int32_t batch);
/* A RATIO of so many millionths. */
void hk_setting_ratio(struct hk_line *line, unsigned value);
const char *hk_setting_source(enum hk_setting_id id);
const char *hk_setting_kind(enum hk_setting_id id);

#endif
