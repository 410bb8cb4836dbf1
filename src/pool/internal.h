/* What the files of the pool share among themselves. */
#ifndef HK_POOL_INTERNAL_H
#define HK_POOL_INTERNAL_H

#include "os/lock.h"
#include "pool/pool.h"

/* Milliseconds that free dirty memory waits for a new use. */
#define HK_PURGE_DELAY 500

/* SuperSlabs that may wait whatever the size of the heap; beyond it, half. */
#define HK_WAITING_MIN 16

/*
 * All under the pool lock, but for hints (relaxed: a wrong hint fails to
 * claim).
 *	bucket[n]	SuperSlabs whose longest free run had n slots when
 *			they were put there; it may be shorter by now, and
 *			longer only until whoever freed slots has the lock.
 *			Those with no free slot are in no bucket
 *	filled		bit n - 1 set <=> bucket[n] is not empty
 *	oldest, newest	SuperSlabs with free dirty slots, by queued_at;
 *			waiting counts them
 */
struct hk_pool {
	struct hk_lock lock;
	struct hk_superslab *bucket[HK_SLOTS + 1];
	uint64_t filled;
	struct hk_superslab *oldest, *newest;
	size_t waiting;
	_Atomic(struct hk_superslab *) class_hints[HK_HINTS];
};
extern struct hk_pool hk_pool;

/* Puts a SuperSlab where its free slots say, or takes it out (pool lock). */
void hk_bucket_update(struct hk_superslab *s);
void hk_bucket_remove(struct hk_superslab *s);

/* Descriptors, from metadata that is never unmapped; take the meta lock. */
struct hk_superslab *hk_meta_superslab(void);
void hk_meta_spare(struct hk_superslab *s);

/* Empty slabs that stage 1 holds go to stage 2. */
void hk_reuse_drain(struct hk_cache *owner);

HK_INLINE uint64_t hk_slot_mask(unsigned first, unsigned slots)
{
	return (slots == HK_SLOTS ? HK_ALL_SLOTS :
		((uint64_t)1 << slots) - 1) << first;
}

#endif
