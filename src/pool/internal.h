/* Declarations shared by the files of pool/. */
#ifndef HK_POOL_INTERNAL_H
#define HK_POOL_INTERNAL_H

#include "os/lock.h"
#include "pool/pool.h"
#include "range/decay.h"

/*
 * Protected by the pool lock, except the stack of changed SuperSlabs and the hints
 * (relaxed: a claim with a wrong hint fails).
 *	changed		SuperSlabs in which slots were freed since the lock was last
 *			taken (pushed with release, taken as a whole with acquire)
 *	bucket[n]	SuperSlabs whose longest free run had n slots when they were
 *			put there. It may be shorter now. It is longer only while the
 *			SuperSlab is on the stack of changed ones, or while a purge
 *			makes slots free again. SuperSlabs without a free slot are in
 *			no bucket
 *	filled		bit n - 1 set <=> bucket[n] is not empty
 *	oldest, newest	SuperSlabs with free dirty slots, roughly by the last free
 *	at_once		SuperSlabs at the oldest end to be released without delay; the
 *			actual number may be greater
 *	wanted		slots were freed since hk_pool_clear_freed was last called
 *			(relaxed)
 *	dirty		free slots that hold pages
 */
struct hk_pool {
	struct hk_lock lock;
	_Atomic(struct hk_superslab *) changed;
	struct hk_superslab *bucket[HK_SLOTS + 1];
	uint64_t filled;
	struct hk_superslab *oldest, *newest;
	size_t at_once;
	_Atomic bool wanted;
	struct hk_decay dirty;
	_Atomic(struct hk_superslab *) class_hints[HK_HINTS];
};
extern struct hk_pool hk_pool;

/* index.c. The bits at which a run of `slots` set bits starts; takes a logarithmic number
 * of steps. */
uint64_t hk_run_starts(uint64_t free, unsigned slots);

/* Put a SuperSlab in the bucket for its longest free run, and remove it (pool lock). */
void hk_bucket_update(struct hk_superslab *s);
void hk_bucket_remove(struct hk_superslab *s);

/* Removes it from the purge queue, if it is there (pool lock). */
void hk_queue_remove(struct hk_superslab *s);

/* Slots of it were freed: the next thread that takes the lock puts it in its bucket and at
 * the newest end of the purge queue. May be called with or without the lock. */
void hk_pool_changed(struct hk_superslab *s);

/* release.c. The number of free slots that hold pages, and whether the SuperSlab is to be
 * released without delay. */
unsigned hk_dirty_slots(const struct hk_shared_meta *m);
bool hk_released_at_once(const struct hk_superslab *s);

/* Fails as hk_lock does. */
bool hk_pool_lock(void);
void hk_pool_unlock(void);

/* huge.c. Decides whether the next SuperSlab becomes a huge page, and counts it towards the
 * end of a pause. hk_huge_grown registers the newest SuperSlab. */
bool hk_huge_choose(void);
void hk_huge_grown(struct hk_superslab *s);

HK_INLINE uint64_t hk_slot_mask(unsigned first, unsigned slots)
{
	return (slots == HK_SLOTS ? HK_ALL_SLOTS :
		((uint64_t)1 << slots) - 1) << first;
}

#endif
