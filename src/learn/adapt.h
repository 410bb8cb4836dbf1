/*
 * ALLOC learning, as a function: it computes the limits of one thread's lists for the next
 * window from the counts of the last one. It uses neither threads nor clocks.
 *
 * A capacity is too small if there are round trips: blocks that were flushed and refilled
 * within one window, which a longer list would have kept. If a window has only refills or
 * only flushes, the program is growing or shrinking; a larger capacity would not help it,
 * but a larger batch does.
 *
 * The pressure on a class is its number of round trips per byte of capacity. Classes with
 * nearly the highest pressure grow (HK_ADAPT_GROW_SHARE), classes with much less give up
 * capacity (HK_ADAPT_PAY_SHARE), and the others do not change. Growth reduces the pressure, so
 * the pressures converge, and then the limits are stable. A class without pressure keeps its
 * capacity as long as no other class needs the bytes and no blocks lie idle in its list.
 */
#ifndef HK_LEARN_ADAPT_H
#define HK_LEARN_ADAPT_H

#include "config/policy.h"
#include "config/settings.h"

enum {
	HK_LEARN_UNIT = 256,		/* limits are stored in 1/256 of a block, so that a
					 * change of 5 % is not lost in a short list */
};

/* Why a limit changed. */
enum hk_reason {
	HK_KEPT,
	HK_ROUND_TRIPS,		/* capacity: raised because of round trips */
	HK_LENT,		/* capacity: lowered in favour of classes that grew */
	HK_OVER_BUDGET,		/* capacity: lowered because the budget was exceeded */
	HK_IDLE,		/* capacity: lowered because blocks lay idle for windows */
	HK_STREAM,		/* batch: raised because all refilled blocks were used */
	HK_TOO_LARGE,		/* batch: lowered because it fills the list, which is
				 * then flushed again */

	/* From learn/pages.c. */
	HK_DENSE,		/* pages: huge, because it is full of blocks in use */
	HK_SPARSE,		/* pages: small, because few blocks in use are left */
	HK_UNUSED,		/* pages: small, because a huge page's memory was not used */
	HK_NEEDED_AGAIN,	/* purge delay: raised, released memory was needed again */
	HK_NOT_NEEDED,		/* purge delay: lowered, it was not needed again */
};

/*
 * One class of one thread. Invariant between two steps:
 *	HK_LEARN_UNIT <= batch <= capacity, unless capacity is 0
 * The caller sets the first group of members for each step; the others belong to
 * hk_learn_step.
 */
struct hk_learn_class {
	size_t refills, flushes;	/* in this window */
	unsigned size;			/* of a block */
	unsigned low;			/* fewest blocks in the list */

	unsigned capacity, batch;	/* in HK_LEARN_UNIT of a block */
	uint64_t in, out;		/* refilled and flushed per window, averages in
					 * the same unit */
	int run;			/* consecutive changes of the capacity: positive
					 * upwards, negative downwards */
	unsigned damped;		/* halvings of its pace after reversals */
	unsigned needed;		/* the capacity when it last made round trips */
	unsigned idle;			/* windows without a refill or flush */
	enum hk_reason capacity_moved, batch_moved;	/* in this step */
};

struct hk_learn_bounds {
	unsigned rate;			/* millionths: largest relative change */
	uint64_t operations;		/* of the window: blocks moved */
	int64_t budget;			/* bytes of all capacities, at most */
	bool busy;			/* false: growth would not pay off */
};

void hk_learn_step(struct hk_learn_class *class, unsigned count,
		   const struct hk_learn_bounds *bounds);

/* The bytes of all capacities. */
int64_t hk_learn_bytes(const struct hk_learn_class *class, unsigned count);

/* For reports: the reason, and what it changed. */
const char *hk_learn_reason(enum hk_reason reason);
const char *hk_learn_moved(enum hk_reason reason);

#endif
