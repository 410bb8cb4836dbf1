/*
 * The statistics page: where the figures of this heap lie, for a reader in
 * another process. It is constant and costs the program nothing: the reader
 * finds it by the symbol hakmem_stats_page of a file that is mapped there, or
 * where that is stripped by its magic, and follows it with process_vm_readv(2),
 * without a lock and without stopping anybody.
 *
 * What that is sound by: caches, SuperSlab descriptors and directory chunks
 * are immortal and are published by release; counters are read in words.
 * What a reader cannot have is one moment: it reads twice, and where anything
 * but the room of a list changed meanwhile, it knows.
 *
 * The version counts all that a reader relies on: this structure, figures.def
 * and the size classes. hakmem-stats-page(5) describes it for others.
 */
#ifndef HK_STATS_PAGE_H
#define HK_STATS_PAGE_H

#include "stats/snapshot.h"

enum { HK_STATS_PAGE_VERSION = 3 };
#define HK_STATS_PAGE_MAGIC "hakmem stats pg"

struct hk_stats_page {
	/* The same in every version. */
	char magic[16];
	uint32_t version, word;		/* word: sizeof(size_t) */
	char library[16];		/* its version */

	uint32_t size, classes;

	/* Counters of the process, a size_t each; NULL: it follows from others.
	 * metadata is a sum of two. */
	const void *total[HK_FIGURES], *metadata[2];
	/* Arrays of counters by class; claim and grow have one more, of Mid. */
	const void *by_class[HK_CLASS_FIGURES];
	const void *history;		/* bool */
	const void *limits;		/* by class: capacity and batch, 4 bytes each */

	const void *caches;		/* the first; NULL: not started */
	struct {
		uint32_t size, next, live, sent, received, filled, flushed;
		uint32_t bin, bin_size, room, capacity, refills, flushes;
		uint32_t spilled, spilled_size;		/* a counter of 4 bytes by class */
	} cache;

	const void *directory, *directory_end;
	uint32_t chunk;			/* SuperSlabs in one of the directory */
	struct {
		uint32_t base, slab, slab_size, slabs;
		uint32_t kind, class, used, blocks, is_slab;
	} superslab;
};
extern const struct hk_stats_page hakmem_stats_page;

#endif
