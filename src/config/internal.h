/* What the files of config/ share with each other. */
#ifndef HK_CONFIG_INTERNAL_H
#define HK_CONFIG_INTERNAL_H

#include "config/settings.h"

extern const int16_t hk_preset_capacity[HK_PRESET_COUNT][HK_GROUPS];

/* Puts a value in force if all of it is acceptable; false: nothing changed. */
bool hk_value_set(enum hk_setting_id id, const char *text);

/* What the environment says: the first NAME=value of each spelling. */
struct hk_found {
	const char *newer[HK_SET_COUNT];	/* the value, or NULL */
	const char *older[HK_SET_COUNT];
	unsigned problems;			/* said or not */
};
void hk_names_find(struct hk_found *found, char *const *environment);

/* Lines for the user; past a bound they are counted and not written. */
void hk_problem_value(struct hk_found *found, enum hk_setting_id id,
		      const char *name, const char *text);
void hk_problem_end(const struct hk_found *found);

#endif
