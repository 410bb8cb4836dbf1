/*
 * The figures of the heap at one moment, as <hakmem/hakmem.h> defines them,
 * taken with every slow path at rest. Blocks that threads take from or put
 * into their lists meanwhile move between in_use and cached; the sums hold
 * all the same, and so does this, where the kernel took back all that it was
 * given:
 *
 *	mapped = superslabs * 2 MiB + large_bytes + kept_bytes + metadata
 */
#ifndef HK_STATS_SNAPSHOT_H
#define HK_STATS_SNAPSHOT_H

#include "learn/learn.h"

#include <hakmem/hakmem.h>
#include <stdbool.h>

struct hk_snapshot {
	struct hak_stats all;
	struct hak_class_stats class[HK_CLASSES];
	long pid;
	bool history;			/* kept: HAKMEM_STATS=1 */
	const char *version;
	struct hk_decision decision[HK_DECISIONS + 1];	/* newest first */
	unsigned decisions;
};

/* Every figure in the order of the structures; see figures.def. */
enum hk_figure {
#define FIGURE(field, ...) HK_FIGURE_##field,
#include "stats/figures.def"
	HK_FIGURES
};
enum hk_class_figure {
#define CLASS_FIGURE(field, ...) HK_CLASS_FIGURE_##field,
#include "stats/figures.def"
	HK_CLASS_FIGURES
};

/* Takes every lock; not from a signal handler. */
void hk_snapshot_take(struct hk_snapshot *s);

/* Completes what slabs, lists and counters say by all that follows from it:
 * used goes in with the cached ones in it. */
void hk_snapshot_add_up(struct hk_snapshot *s);

/* Writes the figures as text or as JSON; never allocates. */
typedef void (*hk_writer)(void *argument, const char *text, size_t length);
void hk_snapshot_write(const struct hk_snapshot *s, bool json, hk_writer out, void *argument);

/* To the file of HAKMEM_STATS_DUMP: 0, or -1 if there is none or it fails. */
int hk_snapshot_dump(void);

#endif
