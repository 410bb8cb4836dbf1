/*
 * Blocks above the slabs. Mid: a run of slots in a SuperSlab, up to 1 MiB.
 * Large: whole SuperSlab runs (multiples of 2 MiB), up to 32 MiB, kept for a
 * while when freed. Huge: a direct mapping of whole pages. All but Mid start
 * at a multiple of 2 MiB, so that the exact page map finds them by address.
 * Callers hold a cache lock, as for the pool, if
 * nothing else is said.
 */
#ifndef HK_LARGE_LARGE_H
#define HK_LARGE_LARGE_H

#include "range/range.h"

#define HK_MID_MAX ((size_t)1 << 20)
#define HK_LARGE_MAX ((size_t)32 << 20)

/* A block above the slabs, for messages. */
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
 * A block is taken in two steps. The first, with the cache lock held, looks for
 * memory that the heap has; the second, with no lock held, maps some. The caller
 * sets size and align, a power of two up to 1 GiB.
 *	block	NULL: there is none (yet)
 *	zero	the block reads as zero
 *	all others	between the two steps
 */
struct hk_large_request {
	size_t size, align;
	void *block;
	bool zero;
	bool mid;
	struct hk_large *range;
	struct hk_superslab *superslab;
};
void hk_large_begin(struct hk_large_request *r);
/* False: out of memory; cache/slow.c tries again. */
bool hk_large_finish(struct hk_large_request *r);

/* False: p is not the start of a live block of this kind. *unmap: the range that
 * the caller gives to hk_range_unmap, or NULL. */
bool hk_large_free(void *p, struct hk_range **unmap);

/* Usable bytes, 0 if p is not the start of a live block of this kind. */
size_t hk_large_size(const void *p);

/* The note of such a block, or NULL; it moves with the block. A new block is not noted. */
struct hk_note *hk_large_note(const void *p);

/* Grows or shrinks where it is, with the cache lock held; false: it cannot. */
bool hk_large_resize(void *p, size_t size);
/* Adjusts the guard after hk_large_resize, with no lock held: the block, or NULL if the
 * kernel does not allow the new size. */
void *hk_large_refit(void *p);
/* Grows or shrinks the mapping without copying, with no lock held; the new address
 * or NULL. Pages that are no longer wanted are released, if there are enough. */
void *hk_large_remap(void *p, size_t size);

/* realloc to a size that the block has room for: has it so much more that some should
 * be released? */
bool hk_large_roomy(void *p, size_t size);

/* The live Large or Huge block that p lies in; no lock is needed. */
bool hk_large_around(const void *p, struct hk_span *span);

/* Some of the free ranges that waited long enough, for hk_range_unmap; takes no lock if
 * there is none. */
bool hk_large_is_due(uint64_t now);
struct hk_range *hk_large_due(uint64_t now);

#endif
