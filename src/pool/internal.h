/* What the files of the pool share among themselves. */
#ifndef HK_POOL_INTERNAL_H
#define HK_POOL_INTERNAL_H

#include "os/lock.h"
#include "pool/pool.h"
#include "range/decay.h"

/*
 * All under the pool lock, but for the stack of changed ones and for hints
 * (relaxed: a wrong hint fails to claim).
 *	changed		SuperSlabs with slots freed since the lock was last
 *			taken (pushed with release, taken whole with acquire)
 *	bucket[n]	SuperSlabs whose longest free run had n slots when
 *			they were put there; it may be shorter by now, and
 *			longer only while they are among the changed, or a
 *			purge gives slots back. Those with no free slot are in
 *			no bucket
 *	filled		bit n - 1 set <=> bucket[n] is not empty
 *	oldest, newest	SuperSlabs with free dirty slots, about by the last free
 *	at_once		SuperSlabs at the oldest end that are released next, without
 *			any delay; at least
 *	wanted		slots were freed since somebody last looked for what is due
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

/* index.c. Bits where a run of so many set bits starts: halving, as one would
 * multiply by doubling. */
uint64_t hk_run_starts(uint64_t free, unsigned slots);

/* Puts a SuperSlab where its free slots say, or takes it out (pool lock). */
void hk_bucket_update(struct hk_superslab *s);
void hk_bucket_remove(struct hk_superslab *s);

/* Takes it out of the purge queue, if it is there (pool lock). */
void hk_queue_remove(struct hk_superslab *s);

/* It has free slots that nobody entered yet: whoever takes the lock next puts it
 * in its bucket and at the newest end of the purge queue. With or without the lock. */
void hk_pool_changed(struct hk_superslab *s);

/* release.c. Free slots that hold pages; and whether they are not to wait. */
unsigned hk_dirty_slots(const struct hk_shared_meta *m);
bool hk_released_at_once(const struct hk_superslab *s);

/* False as hk_lock. */
bool hk_pool_lock(void);
void hk_pool_unlock(void);

/* huge.c: decides whether the next SuperSlab is a huge page, and counts it if it is
 * in a pause; this one is the newest. */
bool hk_huge_choose(void);
void hk_huge_grown(struct hk_superslab *s);

HK_INLINE uint64_t hk_slot_mask(unsigned first, unsigned slots)
{
	return (slots == HK_SLOTS ? HK_ALL_SLOTS :
		((uint64_t)1 << slots) - 1) << first;
}

#endif
