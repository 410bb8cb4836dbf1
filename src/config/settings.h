/*
 * Settings are read from the environment once, at the start. Those that the table marks can
 * change afterwards (api/set.c); the others are constant. settings.def is the table of all
 * settings.
 */
#ifndef HK_CONFIG_SETTINGS_H
#define HK_CONFIG_SETTINGS_H

#include "os/line.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HK_GROUPS = 12,			/* C0 to C11; Mid starts at C8 */
	HK_OVERRIDE_GROUPS = 8,		/* groups that an override may name */
	HK_PATH_MAX = 2560,		/* any expanded path fits */
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

/* Which programs have a background thread that releases memory while they are idle: none,
 * programs with threads, or all. */
enum hk_scavenger_id { HK_SCAVENGER_OFF, HK_SCAVENGER_THREADED, HK_SCAVENGER_ALWAYS };

/* The source of a value; a later one takes precedence. */
enum hk_source { HK_FROM_DEFAULT, HK_FROM_PROFILE, HK_FROM_ENVIRONMENT, HK_FROM_CHANGE };

/* The values in force. hk_settings_load writes them, before a second thread exists; before that
 * they are the default profile. Those that can change in a running process are atomic, and are
 * read relaxed. */
struct hk_settings {
	_Atomic unsigned profile;		/* enum hk_profile_id */
	_Atomic bool alloc_learn;
	_Atomic unsigned alloc_learn_window;	/* operations */
	_Atomic unsigned alloc_learn_rate;	/* millionths */
	_Atomic bool mem_learn;
	_Atomic unsigned mem_learn_window;	/* operations */
	_Atomic unsigned mem_learn_threshold;	/* millionths */
	bool learn_advanced;
	_Atomic unsigned mem_learn_sparse;	/* millionths */
	_Atomic unsigned mem_learn_stable;	/* ms */
	_Atomic unsigned mem_learn_step;	/* SuperSlabs */
	_Atomic unsigned mem_learn_delay;	/* ms */
	char learn_save[256];			/* path pattern; "": no file */
	_Atomic unsigned scavenger;		/* enum hk_scavenger_id */
	bool superslab_reuse;
	unsigned superslab_prewarm;
	unsigned tiny_preset;			/* enum hk_preset_id */
	int16_t cache_capacity[HK_GROUPS];	/* 0: chosen by the cache */
	int16_t refill_batch[HK_GROUPS];	/* 0: chosen by the cache */
	_Atomic uint64_t limit;			/* bytes; 0: none */
	char oom_report[256];			/* path pattern; "": no file */
	unsigned harden;
	unsigned debug_level;
	_Atomic bool stats;
	char stats_dump[256];			/* path pattern; "": no file */
	_Atomic unsigned sample;		/* bytes; 0: off */
	bool sample_guard;
	char sample_dump[256];			/* path pattern; "": no file */
	_Atomic uint8_t source[HK_SET_COUNT];	/* enum hk_source */
	bool given[HK_SET_COUNT];		/* by the environment */
};
extern struct hk_settings hk_settings;

/* The level of HAKMEM_HARDEN. Until the environment is known, blocks are sealed and cleared,
 * because the level may turn out to be set. It is not in hk_settings, for fast access. */
enum { HK_HARDEN_SEALS = 1, HK_HARDEN_CONTENTS, HK_HARDEN_GUARDS, HK_HARDEN_UNKNOWN = HK_HARDEN_CONTENTS };
extern uint8_t hk_harden;

/*
 * Loads the settings from a list of NAME=value strings, NULL for none. The list is ignored
 * if secure is set (set-user-ID programs). Problems are reported on standard error, one line
 * each, up to a bound. Does not allocate.
 */
void hk_settings_load(char *const *environment, bool secure);

/* The edit distance between the typed text and a name, ignoring case: 1 for a missing
 * letter, 3 for a wrong one. Only the start of a long text is compared. */
unsigned hk_name_distance(const char *typed, size_t length, const char *name);

/*
 * Expands a path pattern with the present process id. Returns the length of the path, or 0
 * if there is no pattern or the path does not fit (out is then empty). A buffer of
 * HK_PATH_MAX bytes is always large enough.
 */
size_t hk_settings_path(const char *pattern, char *out, size_t size);
/* Reports that the file of a setting could not be written; what: "the ... of HAKMEM_...". */
void hk_problem_file(const char *what, const char *path, const char *why);
bool hk_settings_dump_json(void);	/* the pattern ends in .json */

/* For settings that can change. parse: the value of a text; false: it is not valid. change:
 * stores the value. */
bool hk_value_parse(enum hk_setting_id id, const char *text, uint64_t *value);
void hk_value_change(enum hk_setting_id id, uint64_t value, enum hk_source source);
/* The value in force; not of a list or a path. */
uint64_t hk_value_now(enum hk_setting_id id);
/* Does any profile give this setting a value? Then every change of the profile affects it. */
bool hk_setting_profiled(enum hk_setting_id id);
/* The setting with this name, without HAKMEM_; HK_SET_COUNT: there is none. */
enum hk_setting_id hk_setting_named(const char *name);

/* Is the setting in force only with HAKMEM_LEARN_ADVANCED=1? */
bool hk_setting_advanced(enum hk_setting_id id);

/* For reports: the table itself. */
enum { HK_AT_START, HK_ANY_TIME };
enum hk_kind { HK_FLAG, HK_NUMBER, HK_RATIO, HK_SIZE, HK_WORD, HK_LIST, HK_PATH };

struct hk_setting {
	const char *name;		/* with HAKMEM_ */
	const char *older;		/* older spelling or NULL */
	const char *initial;		/* the default, as text */
	const char *accepted;		/* description of the valid values */
	const char *effect;
	const char *const *words;	/* of a WORD; ends in NULL */
	size_t offset;			/* of the value in struct hk_settings */
	unsigned least, most;
	enum hk_kind kind;
	bool live;			/* it can change in a running process */
};
extern const struct hk_setting hk_setting_table[HK_SET_COUNT];

struct hk_profile {
	const char *name, *purpose;
	const char *value[HK_SET_COUNT];	/* NULL: the default */
};
extern const struct hk_profile hk_profile_table[HK_PROFILE_COUNT];

/* Appends a value as the environment would give it: printable ASCII, but a path may contain
 * quotes and backslashes. */
void hk_setting_value(enum hk_setting_id id, struct hk_line *line);
/* One group of a LIST: C3:192:12. */
void hk_setting_group(struct hk_line *line, unsigned group, int32_t capacity, int32_t batch);
/* A RATIO, given in millionths. */
void hk_setting_ratio(struct hk_line *line, unsigned value);
const char *hk_setting_source(enum hk_setting_id id);
const char *hk_setting_kind(enum hk_setting_id id);

#endif
