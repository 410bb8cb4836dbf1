/*
 * The slots of one SuperSlab: which are free, and which hold pages. Each function changes
 * the bitmaps of one SuperSlab and the sums over all of them, without a lock.
 */
#include "pool/internal.h"

#include <string.h>

_Atomic size_t hk_pool_touched_slots;
struct hk_decay hk_dirty;
struct hk_pool_counters hk_pool_counters;

uint64_t hk_run_starts(uint64_t free, unsigned slots)
{
	unsigned have = 1, step;

	while (have < slots && free) {
		step = have < slots - have ? have : slots - have;
		free &= free >> step;
		have += step;
	}
	return free;
}

/* The slots at which an aligned run may start. */
static uint64_t aligned_slots(unsigned align)
{
	uint64_t mask = 1;

	while (align < HK_SLOTS) {
		mask |= mask << align;
		align *= 2;
	}
	return mask;
}

int hk_slots_claim(struct hk_superslab *s, unsigned slots, unsigned align, uint64_t may)
{
	struct hk_shared_meta *m = s->shared_meta;
	uint64_t free = atomic_load_explicit(&m->free, memory_order_relaxed), starts;
	unsigned first;

	do {
		starts = hk_run_starts(free & may, slots) & aligned_slots(align);
		if (!starts)
			return -1;
		first = (unsigned)__builtin_ctzll(starts);
	} while (!hk_swapped(atomic_compare_exchange_weak_explicit(&m->free, &free,
			free & ~hk_slot_mask(first, slots),
			memory_order_acquire, memory_order_relaxed)));
	return (int)first;
}

bool hk_slots_claim_exact(struct hk_superslab *s, uint64_t mask)
{
	struct hk_shared_meta *m = s->shared_meta;
	uint64_t free = atomic_load_explicit(&m->free, memory_order_relaxed);

	do {
		if ((free & mask) != mask)
			return false;
	} while (!hk_swapped(atomic_compare_exchange_weak_explicit(&m->free, &free, free & ~mask,
			memory_order_acquire, memory_order_relaxed)));
	return true;
}

uint64_t hk_slots_claim_any(struct hk_superslab *s, uint64_t mask)
{
	return mask & atomic_fetch_and_explicit(&s->shared_meta->free, ~mask, memory_order_acquire);
}

unsigned hk_slots_dirty(const struct hk_superslab *s)
{
	return (unsigned)__builtin_popcountll(
		atomic_load_explicit(&s->shared_meta->free, memory_order_relaxed) &
		~atomic_load_explicit(&s->shared_meta->clean, memory_order_relaxed));
}

/* Only the thread that has claimed the slots changes these bits. */
unsigned hk_slots_use(struct hk_superslab *s, uint64_t mine)
{
	struct hk_shared_meta *m = s->shared_meta;
	uint64_t clean = mine & atomic_load_explicit(&m->clean, memory_order_relaxed), slots;
	unsigned dirty = (unsigned)__builtin_popcountll(mine & ~clean);
	unsigned fresh = (unsigned)__builtin_popcountll(clean);

	if (clean) {
		for (slots = clean; slots; slots &= slots - 1)
			s->marks[__builtin_ctzll(slots)] = 0;
		atomic_fetch_and_explicit(&m->clean, ~mine, memory_order_relaxed);
		atomic_fetch_add_explicit(&hk_pool_touched_slots, fresh, memory_order_relaxed);
		atomic_fetch_add_explicit(&hk_pool_counters.clean_slots_used, fresh, memory_order_relaxed);
	}
	if (dirty)
		hk_decay_subtract(&hk_dirty, dirty);
	return dirty;
}

void hk_slots_start(struct hk_superslab *s, bool clean)
{
	memset(s->marks, 0, sizeof s->marks);
	atomic_store_explicit(&s->shared_meta->shared, 0, memory_order_relaxed);
	atomic_store_explicit(&s->shared_meta->clean, clean ? HK_ALL_SLOTS : 0, memory_order_relaxed);
	if (clean)
		return;
	hk_decay_add(&hk_dirty, HK_SLOTS);
	atomic_fetch_add_explicit(&hk_pool_touched_slots, HK_SLOTS, memory_order_relaxed);
}

static void count_released(unsigned slots)
{
	hk_decay_subtract(&hk_dirty, slots);
	atomic_fetch_sub_explicit(&hk_pool_touched_slots, slots, memory_order_relaxed);
}

void hk_slots_cleaned(struct hk_superslab *s, uint64_t slots)
{
	uint64_t clean = atomic_fetch_or_explicit(&s->shared_meta->clean, slots, memory_order_relaxed);

	count_released((unsigned)__builtin_popcountll(slots & ~clean));
}

void hk_slots_end(struct hk_superslab *s)
{
	count_released(HK_SLOTS - (unsigned)__builtin_popcountll(
		atomic_load_explicit(&s->shared_meta->clean, memory_order_relaxed)));
}
