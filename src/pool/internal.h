/* Declarations shared by the files of pool/, each of which calls only those before it here:
 * slots, superslab, slot_index, usage, thp, eager, claim, grow, release, reuse, pool_walk. */
#ifndef HK_POOL_INTERNAL_H
#define HK_POOL_INTERNAL_H

#include "debug/ring.h"
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
 *	queue		SuperSlabs with free dirty slots, roughly by the last free
 *	at_once		SuperSlabs at the oldest end to be released without delay; the
 *			actual number may be greater
 *	unfit		clean slots that slabs took although as many dirty ones were
 *			free, in runs that are too short; since release.c last
 *			released as many (relaxed)
 *	freed		slots were freed since hk_pool_clear_freed was last called
 *			(relaxed)
 */
struct hk_pool {
	struct hk_lock lock;
	struct hk_stack changed;
	struct hk_list bucket[HK_SLOTS + 1];
	uint64_t filled;
	struct hk_fifo queue;
	size_t at_once;
	_Atomic size_t unfit;
	_Atomic bool freed;
	_Atomic(struct hk_superslab *) class_hints[HK_HINTS];
};
extern struct hk_pool hk_pool;

HK_INLINE uint64_t hk_slot_mask(unsigned first, unsigned slots)
{
	return (slots == HK_SLOTS ? HK_ALL_SLOTS :
		((uint64_t)1 << slots) - 1) << first;
}

/* slots.c. Free slots that hold pages; `due` and `began` are protected by the pool lock. */
extern struct hk_decay hk_dirty;

/* The bits at which a run of `slots` set bits starts; takes a logarithmic number of steps. */
uint64_t hk_run_starts(uint64_t free, unsigned slots);

/*
 * Claim free slots. hk_slots_claim: an aligned run with one compare-and-swap; may: the slots
 * that may be claimed; -1: they contain no such run. hk_slots_claim_exact: all of the mask,
 * or none of it. hk_slots_claim_any: those of the mask that are free.
 */
int hk_slots_claim(struct hk_superslab *s, unsigned slots, unsigned align, uint64_t may);
bool hk_slots_claim_exact(struct hk_superslab *s, uint64_t mask);
uint64_t hk_slots_claim_any(struct hk_superslab *s, uint64_t mask);

/* The number of free slots that hold pages. */
unsigned hk_slots_dirty(const struct hk_superslab *s);

/* Marks the caller's slots as dirty. Returns how many of them were dirty before. */
unsigned hk_slots_use(struct hk_superslab *s, uint64_t mine);

/* The pages of these slots, which the caller has claimed, were released. */
void hk_slots_cleaned(struct hk_superslab *s, uint64_t slots);

/* The SuperSlab gets memory, which is new or was a Large block, so it holds no marks; and it
 * gives its memory up. All of its slots are claimed. */
void hk_slots_start(struct hk_superslab *s, bool clean);
void hk_slots_end(struct hk_superslab *s);

/* The SuperSlab of a link in a bucket or in the purge queue, and the first one of a bucket;
 * NULL: none. */
HK_INLINE struct hk_superslab *hk_bucket_superslab(struct hk_link *link)
{
	return link ? hk_holder(link, struct hk_shared_meta, in_bucket)->home : NULL;
}

HK_INLINE struct hk_superslab *hk_bucket_first(unsigned run)
{
	return hk_bucket_superslab(hk_pool.bucket[run].first);
}

HK_INLINE struct hk_superslab *hk_queue_superslab(struct hk_fifo_link *link)
{
	return link ? hk_holder(link, struct hk_shared_meta, in_queue)->home : NULL;
}

/* slot_index.c. Put a SuperSlab in the bucket for its longest free run, and remove it (pool
 * lock). */
void hk_bucket_update(struct hk_superslab *s);
void hk_bucket_remove(struct hk_superslab *s);

/* Slots of it were freed: the next thread that takes the lock puts it in its bucket and at
 * the newest end of the purge queue. May be called with or without the lock. */
void hk_pool_changed(struct hk_superslab *s);

/* Fails as hk_lock does. */
bool hk_pool_lock(void);
void hk_pool_unlock(void);

/* claim.c. The slots now belong to the caller; they are the hint for the next claim. */
void hk_run_claimed(struct hk_run *run, struct hk_superslab *s, unsigned hint, unsigned first,
		    unsigned slots);

/* Inline, so that each caller has a probe point of its own. */
HK_INLINE void hk_run_count(enum hk_event event, _Atomic size_t *counters, unsigned hint,
			    const struct hk_superslab *s, unsigned first, unsigned slots)
{
	hk_count(&counters[hint]);
	hk_event(event, hint < HK_CLASSES ? hk_class_size(hint) : 0,
		 (void *)(s->base + first * HK_SLOT_SIZE), slots * HK_SLOT_SIZE);
}

/* thp.c. The SuperSlab gets memory: decides between huge and small pages. fresh: it was just
 * mapped; advised: it was used before, with huge pages; populate: it will be pre-faulted. */
void hk_thp_start(struct hk_superslab *s, void *memory, bool fresh, bool advised, bool populate);

/* All of its free slots were released, so its free memory can hold no huge page. */
void hk_thp_released(struct hk_superslab *s);

/* It gives its memory up. */
void hk_thp_end(struct hk_superslab *s);

#endif
