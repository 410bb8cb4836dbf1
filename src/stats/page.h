/*
 * The statistics page records where the figures of this heap are, for a reader in another
 * process. It is constant and costs the program nothing. The reader finds it by the symbol
 * hakmem_stats_page of a mapped file or, if that file is stripped, by its magic. It reads the
 * figures by process_vm_readv(2), without a lock and without stopping the program.
 *
 * This is sound because caches, SuperSlab descriptors and directory chunks are immortal and
 * are published by release stores, and because counters are read as whole words. Figures of
 * one moment are not possible: the reader reads twice, and so detects any change except that
 * in the room of a list.
 *
 * The version covers everything that a reader relies on: this structure, figures.def and the
 * size classes. hakmem-stats-page(5) documents the page.
 */
#ifndef HK_STATS_PAGE_H
#define HK_STATS_PAGE_H

#include "stats/snapshot.h"

enum { HK_STATS_PAGE_VERSION = 7 };
#define HK_STATS_PAGE_MAGIC "hakmem stats pg"

struct hk_stats_page {
	/* These members are the same in every version. */
	char magic[16];
	uint32_t version, word;		/* word: sizeof(size_t) */
	char library[16];		/* the version of the library */

	uint32_t size, classes;

	/* Counters of the process, of type size_t; NULL: the figure follows from others.
	 * metadata is the sum of two. */
	const void *total[HK_FIGURES], *metadata[2];
	/* Arrays of counters by class; those of claim and grow have one more element, for
	 * Mid. */
	const void *by_class[HK_CLASS_FIGURES];
	const void *history;		/* bool */
	const void *limits;		/* by class: capacity and batch, 4 bytes each */

	const void *caches;		/* the first; NULL: the heap has not started */
	struct {
		uint32_t size, next, live, sent, received, filled, flushed;
		uint32_t bin, bin_size, room, capacity, refills, flushes;
		uint32_t spilled, spilled_size;		/* a counter of 4 bytes by class */
		uint32_t shown, shown_size, shown_lists;	/* the lists of malloc */
	} cache;

	const void *directory, *directory_end;
	uint32_t chunk;			/* SuperSlabs in a chunk of the directory */
	struct {
		uint32_t base, slab, slab_size, slabs;
		uint32_t kind, class, used, blocks, is_slab;
	} superslab;

	const void *samples;		/* a pointer: the table of samples, or NULL */
	void *control;			/* the control block: config/control.h */
};
extern const struct hk_stats_page hakmem_stats_page;

#endif
