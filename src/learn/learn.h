/*
 * What the program taught: for reports and for files to start from. The
 * counts are any thread's to raise (relaxed) and only ever grow.
 */
#ifndef HK_LEARN_LEARN_H
#define HK_LEARN_LEARN_H

#include "config/policy.h"
#include "learn/adapt.h"
#include "slab/classes.h"

#include <stdatomic.h>

struct hk_learn_counters {
	_Atomic size_t windows;			/* that ended, of all threads */
	_Atomic size_t used[HK_CLASSES];	/* windows with a refill or flush */
	_Atomic size_t grants[HK_CLASSES];	/* windows that raised a capacity */
	_Atomic size_t cuts[HK_CLASSES];	/* or lowered one */
};
extern struct hk_learn_counters hk_learn_counters;

struct hk_mem_counters {
	_Atomic size_t promoted, demoted, reverted;	/* SuperSlabs so far */
};
extern struct hk_mem_counters hk_mem_counters;

/*
 * A decision of any thread, by its reason: limits of lists of the class in blocks,
 * the purge delay in ms; of pages, what was touched and live of the SuperSlab in
 * percent.
 */
struct hk_decision {
	unsigned class;
	unsigned from, to;
	enum hk_reason reason;
};
void hk_learn_record(unsigned class, unsigned from, unsigned to, enum hk_reason reason);

/* The last ones, newest first; false: there are no more. */
bool hk_learn_decision(unsigned index, struct hk_decision *decision);

/* pages.c: a look at some SuperSlabs, with no lock held; and the
 * threshold, in millionths, that is in force by now. */
void hk_mem_look(void);
/* In the child of a fork. */
void hk_mem_forked(void);
unsigned hk_mem_threshold(void);

/* scavenger.c: 1 while its thread exists, and how often it had a look. */
extern _Atomic size_t hk_scavenger_runs, hk_scavenger_turns;

/*
 * save.c: writes the settings in force, with what was learned in place of
 * what was set, to the file of HAKMEM_LEARN_SAVE. 0, or -1 if there is none
 * or it fails.
 */
int hk_learn_save(void);

#endif
