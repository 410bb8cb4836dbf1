/* Stage 2: free slots of an existing SuperSlab. */
#include "config/policy.h"
#include "pool/internal.h"

/*
 * The SuperSlab with the shortest free run that is long enough, so that nearly full ones
 * fill up first and empty ones stay empty. A run of slots + align - 1 always contains an
 * aligned one. If earlier claims have shortened the run of a SuperSlab since it was put in
 * its bucket, the claim may fail; the SuperSlab is then moved to the right bucket, and the
 * loop tries again.
 */
static struct hk_superslab *claim_fullest(unsigned slots, unsigned align, int *first)
{
	unsigned need = slots + align - 1 < HK_SLOTS ? slots + align - 1 : HK_SLOTS;
	struct hk_superslab *s;
	uint64_t fit;

	while ((fit = hk_pool.filled & ~hk_slot_mask(0, need - 1)) != 0) {
		s = hk_bucket_first((unsigned)__builtin_ctzll(fit) + 1);
		*first = hk_slots_claim(s, slots, align, HK_ALL_SLOTS);
		hk_bucket_update(s);
		if (*first >= 0)
			return s;
	}
	return NULL;
}

static int claim_used(struct hk_superslab *s, unsigned slots, unsigned align)
{
	return hk_slots_claim(s, slots, align,
			      ~atomic_load_explicit(&s->shared_meta->clean, memory_order_relaxed));
}

/*
 * Slots that hold pages already: in the fullest SuperSlab that fits, otherwise in one of
 * those in which slots were freed last.
 */
static struct hk_superslab *claim_used_anywhere(unsigned slots, unsigned align, int *first)
{
	uint64_t fit = hk_pool.filled & ~hk_slot_mask(0, slots - 1);
	struct hk_superslab *s = fit ? hk_bucket_first((unsigned)__builtin_ctzll(fit) + 1) : NULL;
	struct hk_fifo_link *link;
	unsigned tries;

	if (s && (*first = claim_used(s, slots, align)) >= 0)
		return s;
	link = hk_pool.queue.newest;
	for (tries = 0; link && tries < HK_CLAIM_LAST_FREED; tries++, link = link->older) {
		s = hk_queue_superslab(link);
		if ((*first = claim_used(s, slots, align)) >= 0)
			return s;
	}
	return NULL;
}

/* The lock is not taken if the hint has free slots, or if no SuperSlab can have
 * any that are wanted. */
static struct hk_superslab *claim_slots(struct hk_superslab *hint, unsigned slots, unsigned align,
					bool fresh, int *first)
{
	struct hk_superslab *s = NULL;

	if (hk_decay_waiting(&hk_dirty) >= slots) {
		if (hint && (*first = claim_used(hint, slots, align)) >= 0)
			return hint;
		if (!hk_pool_lock())
			return NULL;
		s = claim_used_anywhere(slots, align, first);
		hk_pool_unlock();
	}
	if (s || !fresh)
		return s;
	if (hint && (*first = hk_slots_claim(hint, slots, align, HK_ALL_SLOTS)) >= 0)
		return hint;
	if (!hk_pool_lock())
		return NULL;
	s = claim_fullest(slots, align, first);
	hk_pool_unlock();
	return s;
}

/* Not for Mid runs: a program that grows blocks by realloc soon needs those slots again. */
static void note_unfit(const struct hk_run *run, unsigned hint, unsigned slots)
{
	if (run->clean && hint != HK_HINT_MID && hk_decay_waiting(&hk_dirty) >= slots)
		atomic_fetch_add_explicit(&hk_pool.unfit, slots, memory_order_relaxed);
}

void hk_run_claimed(struct hk_run *run, struct hk_superslab *s, unsigned hint, unsigned first,
		    unsigned slots)
{
	run->home = s;
	run->first = first;
	run->slots = slots;
	run->clean = hk_slots_use(s, hk_slot_mask(first, slots)) == 0;
	note_unfit(run, hint, slots);
	atomic_store_explicit(&hk_pool.class_hints[hint], s, memory_order_release);
}

bool hk_pool_claim(struct hk_run *run, unsigned slots, unsigned align, unsigned hint, bool fresh)
{
	struct hk_superslab *s = atomic_load_explicit(&hk_pool.class_hints[hint],
						      memory_order_acquire);
	int first = 0;

	s = claim_slots(s, slots, align, fresh, &first);
	if (!s)
		return false;
	hk_run_count(HK_EVENT_CLAIM, hk_pool_counters.claim, hint, s, (unsigned)first, slots);
	hk_run_claimed(run, s, hint, (unsigned)first, slots);
	return true;
}

bool hk_pool_run_is_alone(const struct hk_run *run, unsigned slots)
{
	return (atomic_load_explicit(&run->home->shared_meta->free, memory_order_relaxed) |
		hk_slot_mask(run->first, slots)) == HK_ALL_SLOTS;
}

bool hk_pool_run_extend(struct hk_superslab *home, unsigned end, unsigned slots)
{
	uint64_t mask;

	if (end + slots > HK_SLOTS)
		return false;
	mask = hk_slot_mask(end, slots);
	if (!hk_slots_claim_exact(home, mask))
		return false;
	hk_slots_use(home, mask);
	return true;
}

void hk_pool_run_free(struct hk_superslab *home, unsigned first, unsigned slots)
{
	hk_event(HK_EVENT_RELEASE, 0, (void *)(home->base + first * HK_SLOT_SIZE),
		 slots * HK_SLOT_SIZE);
	hk_decay_add(&hk_dirty, slots);
	atomic_fetch_or_explicit(&home->shared_meta->free, hk_slot_mask(first, slots),
				 memory_order_release);
	hk_pool_changed(home);
	atomic_store_explicit(&hk_pool.freed, true, memory_order_relaxed);
}

bool hk_pool_clear_freed(void)
{
	return atomic_load_explicit(&hk_pool.freed, memory_order_relaxed) &&
	       atomic_exchange_explicit(&hk_pool.freed, false, memory_order_relaxed);
}
