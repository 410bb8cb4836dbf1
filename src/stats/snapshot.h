/*
 * The figures of the heap at one moment, as <hakmem/hakmem.h> defines them, taken while no
 * thread is in a slow path. Threads may still take blocks from their lists or put them there,
 * which moves bytes between in_use and cached, but does not change the sums. If the kernel
 * never refused to unmap a range:
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
	bool history;			/* recorded: HAKMEM_STATS=1 */
	const char *version;
	struct hk_decision decision[HK_DECISIONS + 1];	/* newest first */
	unsigned decisions;
};

/* All figures in the order of the structures; see figures.def. */
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

/* Takes all locks; must not be called in a signal handler. */
void hk_snapshot_take(struct hk_snapshot *s);

/* The same, and calls use with the figures, which are not on the stack: it may be small. */
typedef void hk_snapshot_use(const struct hk_snapshot *s, void *argument);
void hk_snapshot_with(hk_snapshot_use *use, void *argument);

/* Computes the figures that follow from slabs, lists and counters. On entry used includes the
 * cached blocks. */
void hk_snapshot_add_up(struct hk_snapshot *s);

/* Writes the figures as text or as JSON; never allocates. */
typedef void (*hk_writer)(void *argument, const char *text, size_t length);
void hk_snapshot_write(const struct hk_snapshot *s, bool json, hk_writer out, void *argument);

/* Appends the text or the JSON object to a file. */
struct hk_file;
void hk_snapshot_put(const struct hk_snapshot *s, bool json, struct hk_file *file);

/* Starts the reports of HAKMEM_OOM_REPORT, if it is set; 0. */
int hk_near_start(void);

/* Writes the file of HAKMEM_STATS_DUMP: 0, or -1 if there is none or writing fails. */
int hk_snapshot_dump(void);

#endif
