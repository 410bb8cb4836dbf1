/*
 * What was learned, for reports and saved profiles. Any thread increments the counters
 * (relaxed); they never decrease.
 */
#ifndef HK_LEARN_LEARN_H
#define HK_LEARN_LEARN_H

#include "config/policy.h"
#include "learn/adapt.h"
#include "slab/classes.h"

#include <stdatomic.h>

struct hk_learn_counters {
	_Atomic size_t windows;			/* completed, of all threads */
	_Atomic size_t used[HK_CLASSES];	/* windows with a refill or flush */
	_Atomic size_t grants[HK_CLASSES];	/* windows that raised a capacity */
	_Atomic size_t cuts[HK_CLASSES];	/* windows that lowered a capacity */
};
extern struct hk_learn_counters hk_learn_counters;

/* windows.c: called after this setting of learning has changed, without locks held; may be called
 * in a signal handler. */
void hk_learn_follow(enum hk_setting_id id);

struct hk_mem_counters {
	_Atomic size_t promoted, demoted, reverted;	/* SuperSlabs so far */
};
extern struct hk_mem_counters hk_mem_counters;

/*
 * A decision of any thread. from and to are, depending on the reason, the old and new limit
 * of a list of the class in blocks, the old and new purge delay in ms, or the touched and
 * live shares of a SuperSlab in percent.
 */
struct hk_decision {
	unsigned class;
	unsigned from, to;
	enum hk_reason reason;
};
void hk_learn_record(unsigned class, unsigned from, unsigned to, enum hk_reason reason);

/* The latest decisions, newest first; false: there are no more. */
bool hk_learn_decision(unsigned index, struct hk_decision *decision);

/* pages.c. hk_mem_look examines some SuperSlabs; no lock held. hk_mem_threshold is the
 * present threshold in millionths. */
void hk_mem_look(void);
/* In the child of a fork. */
void hk_mem_forked(void);
void hk_mem_follow(enum hk_setting_id id);
unsigned hk_mem_threshold(void);

/* scavenger.c: 1 while its thread exists, and the number of its turns. */
extern _Atomic size_t hk_scavenger_runs, hk_scavenger_turns, hk_pressure_releases;
/* follow is called after HAKMEM_SCAVENGER has changed, without locks held; may be called in a signal
 * handler. settle waits, for a limited time, until a scavenger that is no longer wanted has ended;
 * the scavenger itself must not call it. */
void hk_scavenger_follow(void);
void hk_scavenger_settle(void);

/*
 * save.c: writes the settings in force, with learned values instead of configured ones, to
 * the file of HAKMEM_LEARN_SAVE. 0, or -1 if no file is set or writing fails.
 */
int hk_learn_save(void);

#endif
