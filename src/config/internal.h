/* Declarations shared by the files of config/. */
#ifndef HK_CONFIG_INTERNAL_H
#define HK_CONFIG_INTERNAL_H

#include "config/settings.h"
#include "os/platform.h"

extern const int16_t hk_preset_capacity[HK_PRESET_COUNT][HK_GROUPS];

/* Sets a value if all of it is valid; false: nothing changed. */
bool hk_value_set(enum hk_setting_id id, const char *text);

/* The settings in the environment: the first NAME=value of each spelling. */
struct hk_found {
	const char *newer[HK_SET_COUNT];	/* the value, or NULL */
	const char *older[HK_SET_COUNT];
	unsigned problems;			/* including those that were not reported */
};
void hk_names_find(struct hk_found *found, char *const *environment);

/* Report problems on standard error; after several lines they are only counted. */
void hk_problem_value(struct hk_found *found, enum hk_setting_id id,
		      const char *name, const char *text);
void hk_problem_end(const struct hk_found *found);

#endif
