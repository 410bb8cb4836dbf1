/*
 * Ranges of whole granules (2 MiB, aligned to 2 MiB), and the store of free ranges, which
 * belong to no SuperSlab and to no Large or Huge block. Both take memory from the store
 * before they map new memory.
 *
 * Unless said otherwise, callers hold a cache lock or are inside the heap (cache/cache.h),
 * because the store has a lock of its own.
 */
#ifndef HK_RANGE_RANGE_H
#define HK_RANGE_RANGE_H

#include "os/lock.h"
#include "range/decay.h"
#include "slab/fifo.h"
#include "slab/slab.h"

enum hk_range_state { HK_RANGE_NONE, HK_RANGE_USED, HK_RANGE_FREE };

/*
 * A descriptor of a range. Descriptors are reused, but their memory is never freed.
 *	state		NONE -> USED by the owner; USED -> NONE by hk_range_retire, once;
 *			FREE while it is in the store
 *	clean		all of it reads as zero
 *	advised		huge pages were requested for it, or for a part of it
 *	guarded		the last page is a guard (large/guard.c)
 *	old_guards	bit n set <=> the last page of granule n is a guard of a former
 *			block, which must be removed before the range is used
 *	in_bucket	its place in a bucket of the store
 *	in_queue	its place in a queue of the store
 *	next		link in a list of the caller
 *	spare		link in the stack of unused descriptors
 * The lock of the store protects a range in the store; any other range belongs to its owner.
 */
struct hk_range {
	uintptr_t start;
	size_t mapped;			/* bytes; a Huge block has whole pages only */
	_Atomic uint8_t state;		/* enum hk_range_state, relaxed */
	bool clean;
	bool advised;
	bool guarded;
	uint64_t old_guards;
	struct hk_link in_bucket;
	struct hk_fifo_link in_queue;
	union {
		struct hk_range *next;
		struct hk_stack_link spare;
	};
};

/* The size of a descriptor, including the data that its owner adds. */
enum { HK_RANGE_DESCRIPTOR = 128 };

/* Allocate a descriptor, or NULL, and free it. hk_range_delete is lock-free and needs no
 * cache lock. */
struct hk_range *hk_range_new(void);
void hk_range_delete(struct hk_range *r);

HK_INLINE bool hk_range_is(const struct hk_range *r, enum hk_range_state state)
{
	return atomic_load_explicit(&r->state, memory_order_relaxed) == state;
}

HK_INLINE void hk_range_use(struct hk_range *r)
{
	atomic_store_explicit(&r->state, HK_RANGE_USED, memory_order_relaxed);
}

/* If two threads free the same block, only one succeeds. */
HK_INLINE bool hk_range_retire(struct hk_range *r)
{
	uint8_t used = HK_RANGE_USED;

	return atomic_compare_exchange_strong(&r->state, &used, HK_RANGE_NONE);
}

/* Puts a range into the store and coalesces it with its neighbours. It consists of whole
 * granules, for which the page map has leaves. False: the caller still owns it. */
bool hk_range_add(struct hk_range *r);

/* Takes a range of this length, in whole granules. It may be longer if there is no memory for
 * the descriptor of the rest, and it may contain guards of former blocks. NULL: there is
 * none. */
struct hk_range *hk_range_take(size_t mapped);

/* Extends a used range to this length by the free range after it; false: it is not possible. */
bool hk_range_extend(struct hk_range *r, size_t mapped);

/* Bytes in the store that hold pages; no lock is needed. */
size_t hk_range_waiting(void);

/*
 * Take ranges to be unmapped. hk_range_due: up to `most` ranges that are due, oldest first,
 * if `limit` bytes may wait. hk_range_all: all ranges. hk_range_is_idle: nothing is due, as
 * far as is known without a lock.
 */
bool hk_range_is_idle(uint64_t now, size_t limit);
struct hk_range *hk_range_due(uint64_t now, size_t limit, unsigned most);
struct hk_range *hk_range_all(void);

/*
 * Unmaps a list of ranges, linked by next, and frees the descriptors; no lock held. If the
 * kernel refuses to unmap a range (vm.max_map_count), its pages are released and it is put
 * into the store. Unmapping is tried again when it is coalesced with a dirty neighbour, or by
 * hk_range_all. Returns the bytes that were released.
 */
size_t hk_range_unmap(struct hk_range *list);

/* The same for memory that has no descriptor. */
size_t hk_range_unmap_memory(void *start, size_t size);

/*
 * guards.c, no lock held: remove the guard at the end, or the guards of former blocks.
 * False: the kernel has refused.
 */
bool hk_range_lift_guard(struct hk_range *r);
bool hk_range_lift_old_guards(struct hk_range *r);

struct hk_range_counters {
	_Atomic size_t free, bytes;	/* ranges in the store, relaxed */
};
extern struct hk_range_counters hk_range_counters;

struct hk_lock *hk_range_lock(void);	/* for fork and statistics */

#endif
