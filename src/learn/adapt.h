/*
 * ALLOC learning, as a function: from what a window saw of the lists of one
 * thread to their limits in the next. It knows neither threads nor clocks.
 *
 * What counts against a capacity is a round trip: blocks that were flushed
 * and refilled within one window, which a longer list would have kept. A
 * window that only refills or only flushes is a program that grows or
 * shrinks; no capacity short of all its blocks would help it, a larger batch
 * does.
 *
 * The pressure on a class is its round trips per byte of capacity. Classes
 * under at least half of the highest pressure grow, those under less than a
 * quarter of it pay, and between the two nothing moves: growing relieves, so
 * the pressures draw near to each other and then the limits rest. A capacity
 * that nothing presses on stays, as long as nobody needs its bytes and no
 * blocks lie idle in its list.
 */
#ifndef HK_LEARN_ADAPT_H
#define HK_LEARN_ADAPT_H

#include "config/policy.h"
#include "config/settings.h"

enum {
	HK_LEARN_UNIT = 256,		/* limits are kept in this part of a block: at
					 * 5 % a list of ten blocks moves too */
};

/* Why a limit moved. */
enum hk_reason {
	HK_KEPT,
	HK_ROUND_TRIPS,		/* capacity: grew, others or the budget gave */
	HK_LENT,		/* capacity: gave to those that grew */
	HK_OVER_BUDGET,		/* capacity: gave since the budget was exceeded */
	HK_IDLE,		/* capacity: blocks lay in the list for windows */
	HK_STREAM,		/* batch: all that came was used */
	HK_TOO_LARGE,		/* batch: it fills the list and is flushed again */

	/* Of learn/pages.c. */
	HK_DENSE,		/* pages: huge, for blocks in use fill it */
	HK_SPARSE,		/* pages: small, for few blocks in use are left */
	HK_UNUSED,		/* pages: small, for huge ones took memory in vain */
	HK_WANTED_AGAIN,	/* purge delay: what went back was missed */
	HK_NOT_WANTED,		/* purge delay: what went back was not missed */
};

/*
 * One class of one thread. Invariants between two steps:
 *	HK_LEARN_UNIT <= batch <= capacity, but where capacity is 0
 * The first group is filled in by the caller for each step, the rest belongs
 * to hk_learn_step.
 */
struct hk_learn_class {
	size_t refills, flushes;	/* in this window */
	unsigned size;			/* of a block */
	unsigned low;			/* blocks that never left the list */

	unsigned capacity, batch;	/* in HK_LEARN_UNIT of a block */
	uint64_t in, out;		/* refilled and flushed in a window of late, in
					 * the same unit */
	int run;			/* moves of the capacity in one direction: up,
					 * or below zero, down */
	unsigned damped;		/* halvings of its pace, for having turned */
	unsigned hurt;			/* the capacity when it made round trips */
	unsigned calm;			/* windows without refill and flush */
	enum hk_reason capacity_moved, batch_moved;	/* by this step */
};

struct hk_learn_bounds {
	unsigned rate;			/* millionths: most relative change */
	uint64_t operations;		/* of the window: blocks moved */
	int64_t budget;			/* bytes that all capacities may have */
	bool busy;			/* false: growth would not be worth it */
};

void hk_learn_step(struct hk_learn_class *class, unsigned count,
		   const struct hk_learn_bounds *bounds);

/* Bytes of all capacities. */
int64_t hk_learn_bytes(const struct hk_learn_class *class, unsigned count);

/* For reports: why, and what of. */
const char *hk_learn_reason(enum hk_reason reason);
const char *hk_learn_moved(enum hk_reason reason);

#endif
