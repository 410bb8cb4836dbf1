/*
 * Ranges of whole granules (2 MiB, at a multiple of it), and the store of those that are
 * free: neither a SuperSlab nor a Large or Huge block has them. Both take memory from it
 * before they map some.
 *
 * If nothing else is said, callers hold a cache lock, or are inside the heap
 * (cache/cache.h), because the store has a lock of its own.
 */
#ifndef HK_RANGE_RANGE_H
#define HK_RANGE_RANGE_H

#include "os/lock.h"
#include "range/decay.h"
#include "slab/slab.h"

enum hk_range_state { HK_RANGE_NONE, HK_RANGE_USED, HK_RANGE_FREE };

/*
 * A descriptor; immortal, used again.
 *	state		NONE -> USED by the owner; USED -> NONE by hk_range_retire, once;
 *			FREE while it is in the store
 *	clean		all of it reads as zero
 *	guarded		the last page is a guard (large/guard.c)
 *	old_guards	bit n set <=> the last page of granule n is a guard of a former
 *			block, to be removed before the range is used
 *	prev, next	in a bucket of the store; next also in a list of the caller
 *	older, newer	in a queue of the store
 * A range in the store is protected by the lock of the store, any other one by its owner.
 */
struct hk_range {
	uintptr_t start;
	size_t mapped;			/* bytes; a Huge block has whole pages only */
	_Atomic uint8_t state;		/* enum hk_range_state, relaxed */
	bool clean;
	bool guarded;
	uint64_t old_guards;
	struct hk_range *prev, *next, *older, *newer;
};

/* A descriptor has room for what its owner adds to it. */
enum { HK_RANGE_DESCRIPTOR = 128 };

/* A descriptor or NULL. The second is lock-free and called by anybody. */
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

/* Of two threads that free the same block, one succeeds. */
HK_INLINE bool hk_range_retire(struct hk_range *r)
{
	uint8_t used = HK_RANGE_USED;

	return atomic_compare_exchange_strong(&r->state, &used, HK_RANGE_NONE);
}

/* Puts a range into the store, joined with its neighbours. It has whole granules, and the
 * page map has leaves for it. False: it stays the caller's. */
bool hk_range_add(struct hk_range *r);

/* A range of so many bytes, whole granules, and of more only if no memory is left for the
 * descriptor of the rest; NULL: there is none. Guards of former blocks may be in it. */
struct hk_range *hk_range_take(size_t mapped);

/* Extends a used range to so many bytes by the free one behind it, if that suffices. */
bool hk_range_extend(struct hk_range *r, size_t mapped);

/* Bytes in the store that hold pages; no lock is needed. */
size_t hk_range_waiting(void);

/*
 * Ranges to be unmapped: up to `most` of what is due with a limit of bytes that may wait,
 * oldest first, or everything. is_idle: nothing is due, as far as can be told without a lock.
 */
bool hk_range_is_idle(uint64_t now, size_t limit);
struct hk_range *hk_range_due(uint64_t now, size_t limit, unsigned most);
struct hk_range *hk_range_all(void);

/*
 * Unmaps ranges, a list by next; the descriptors are gone then. With no lock held. A range
 * that the kernel does not take back (vm.max_map_count) loses its pages and goes into the
 * store, where it waits for another use, or for a neighbour or hk_range_all, when unmapping
 * is tried again. Returns the bytes that were released.
 */
size_t hk_range_unmap(struct hk_range *list);

/* The same for memory that has no descriptor. */
size_t hk_range_unmap_memory(void *start, size_t size);

/*
 * guards.c, with no lock held: removes the guard at the end, or those of former blocks.
 * False: the kernel did not remove one.
 */
bool hk_range_lift_guard(struct hk_range *r);
bool hk_range_lift_old_guards(struct hk_range *r);

struct hk_range_counters {
	_Atomic size_t free, bytes;	/* ranges in the store, relaxed */
};
extern struct hk_range_counters hk_range_counters;

struct hk_lock *hk_range_lock(void);	/* for fork and statistics */

#endif
