/*
 * Blocks above the slabs. Mid: a run of slots in a SuperSlab, up to 1 MiB.
 * Large: whole SuperSlab runs (multiples of 2 MiB), up to 32 MiB, kept for a
 * while when freed. Huge: a direct mapping of whole pages. All but Mid start
 * at a multiple of 2 MiB, so that the exact page map finds them by address.
 * Callers hold a cache lock, as for the pool.
 */
#ifndef HK_LARGE_LARGE_H
#define HK_LARGE_LARGE_H

#include "slab/slab.h"

#define HK_MID_MAX ((size_t)1 << 20)
#define HK_LARGE_MAX ((size_t)32 << 20)
#define HK_LARGE_SHRINK ((size_t)64 << 10)	/* less is not worth a system call */

/* A block above the slabs, for messages. */
struct hk_span {
	uintptr_t start;
	size_t size;
	const char *kind;
};

struct hk_large_counters {
	_Atomic size_t mid_live, mid_bytes;
	size_t live, bytes, peak_bytes;		/* Large and Huge, large lock */
	size_t cached, cached_bytes;
};
extern struct hk_large_counters hk_large_counters;

/* align: a power of two up to 1 GiB. *zero, if asked for, tells whether the
 * block reads as zero. NULL: out of memory; cache/slow.c tries again. */
void *hk_large_take(size_t size, size_t align, bool *zero);

/* False: p is not the start of a live block of this kind. */
bool hk_large_free(void *p);

/* Usable bytes, 0 if p is not the start of a live block of this kind. */
size_t hk_large_size(const void *p);

/* Grows or shrinks without copying; the new address or NULL. Pages that are no
 * longer wanted go back, if there are enough of them. */
void *hk_large_resize(void *p, size_t size);

/* realloc to a size that the block has room for: has it so much more that
 * hk_large_resize should take some? */
bool hk_large_roomy(void *p, size_t size);

/* The live Large or Huge block that p lies in. */
bool hk_large_around(const void *p, struct hk_span *span);

/* Unmaps what was kept long enough, without a lock where there is nothing, or
 * all of it; returns the bytes. */
size_t hk_large_age(uint64_t now);
size_t hk_large_trim(void);

void hk_large_lock(void);
void hk_large_unlock(void);

#endif
