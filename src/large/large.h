/*
 * Blocks that are too large for slabs.
 *	Mid	a run of slots in a SuperSlab, up to 1 MiB
 *	Large	a range of whole granules (2 MiB), up to 32 MiB; kept for a while when it
 *		is freed
 *	Huge	a mapping of whole pages
 * Large and Huge blocks start at a multiple of 2 MiB, so that the exact page map finds them
 * by address. Unless said otherwise, callers hold a cache lock, as for the pool.
 */
#ifndef HK_LARGE_LARGE_H
#define HK_LARGE_LARGE_H

#include "range/range.h"

#define HK_MID_MAX ((size_t)1 << 20)
#define HK_LARGE_MAX ((size_t)32 << 20)

/* A Mid, Large or Huge block, for messages. */
struct hk_span {
	uintptr_t start;
	size_t size;
	const char *kind;
};

struct hk_large_counters {
	_Atomic size_t mid_live, mid_bytes;
	_Atomic size_t live, bytes, peak_bytes;		/* Large and Huge */
};
extern struct hk_large_counters hk_large_counters;

/*
 * A block is allocated in two steps. The first one, with the cache lock held, looks for free
 * memory of the heap; the second one, with no lock held, maps new memory. The caller sets
 * size and align, a power of two up to 1 GiB.
 *	exact	a Mid block has this usable size, not whole pages
 *	block	NULL: there is none, or not before the second step
 *	zero	the block reads as zero
 *	all others	belong to the implementation, between the two steps
 */
struct hk_large_request {
	size_t size, align;
	bool exact;
	void *block;
	bool zero;
	bool mid, packed, emptied;
	struct hk_large *range;
	struct hk_superslab *superslab;
};
void hk_large_begin(struct hk_large_request *r);
/* False: out of memory; cache/slow.c tries again. */
bool hk_large_finish(struct hk_large_request *r);

/* Before hk_large_free, with no lock held: learns how the program has used the block. */
void hk_large_freeing(const void *p);

/* False: p is not the start of a live block of this kind. *unmap: a range that the caller
 * must pass to hk_range_unmap, or NULL. */
bool hk_large_free(void *p, struct hk_range **unmap);

/* Usable bytes, 0 if p is not the start of a live block of this kind. */
size_t hk_large_size(const void *p);

/* The note of such a block, or NULL; it moves with the block. A new block is not noted, nor
 * sampled. */
struct hk_note *hk_large_note(const void *p);

/* Resizes the block in place, with the cache lock held; false: it is not possible. */
bool hk_large_resize(void *p, size_t size);
/* Adjusts the guard after hk_large_resize; no lock held. Returns p, or NULL if the kernel did
 * not remove a guard. */
void *hk_large_refit(void *p);
/* Resizes the mapping without copying; no lock held. Returns the new address or NULL. Pages
 * that are no longer needed are released, if there are enough of them. */
void *hk_large_remap(void *p, size_t size);

/* For realloc to a size that the block has room for: does it have so much more that some
 * should be released? */
bool hk_large_roomy(void *p, size_t size);

/* Finds the live Large or Huge block that contains p; no lock is needed. */
bool hk_large_around(const void *p, struct hk_span *span);

/* Do more free ranges wait than may, whatever the time? No lock is needed. */
bool hk_large_excess(void);

/* Up to `most` of the free ranges that have waited long enough, for hk_range_unmap. Takes no
 * lock if there are none. */
bool hk_large_is_due(uint64_t now);
struct hk_range *hk_large_due(uint64_t now, unsigned most);

#endif
