/*
 * The figures of the heap at one moment, taken with every slow path at rest.
 * Blocks that threads take from or put into their lists meanwhile move
 * between in_use and cached; the sums hold all the same:
 *
 *	mapped = superslabs * 2 MiB + large_bytes + kept_bytes + metadata
 *	superslabs * 2 MiB = in_use + cached + mid_bytes + free_bytes
 *
 * All in bytes but for counts. Blocks on their way between threads are in use.
 */
#ifndef HK_STATS_SNAPSHOT_H
#define HK_STATS_SNAPSHOT_H

#include "pool/pool.h"

struct hk_class_figures {
	size_t used, cached, slabs;	/* blocks with the program, in lists */
	size_t refills, flushes;
	size_t reuse, claim, grow;	/* the three stages */
};

struct hk_snapshot {
	size_t superslabs, superslabs_peak, superslabs_mapped, superslabs_unmapped;
	size_t in_use, cached, free_bytes;
	size_t mid_blocks, mid_bytes;
	size_t large_blocks, large_bytes, kept_blocks, kept_bytes;
	size_t metadata, mapped, purged_bytes;
	size_t threads;
	size_t remote_sent, remote_received;
	struct hk_class_figures class[HK_CLASSES];
};

/* Takes every lock; not from a signal handler. */
void hk_snapshot_take(struct hk_snapshot *s);

/* Writes the figures as text or as JSON; never allocates. */
typedef void (*hk_writer)(void *argument, const char *text, size_t length);
void hk_snapshot_write(const struct hk_snapshot *s, bool json, hk_writer out, void *argument);

/* To the file of HAKMEM_STATS_DUMP: 0, or -1 if there is none or it fails. */
int hk_snapshot_dump(void);

#endif
