/* Stages 2 and 3: free slots of an existing SuperSlab, or of a new one. */
#include "config/policy.h"
#include "config/settings.h"
#include "debug/ring.h"
#include "os/os.h"
#include "pool/internal.h"
#include "range/range.h"
#include "slab/pagemap.h"

#include <string.h>

struct hk_pool_counters hk_pool_counters;
_Atomic size_t hk_pool_touched_slots;

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

/* Claims a run with one compare-and-swap on the bitmap of free slots. may: the slots that
 * may be claimed. -1: they contain no such run. */
static int claim(struct hk_superslab *s, unsigned slots, unsigned align, uint64_t may)
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
		s = hk_pool.bucket[__builtin_ctzll(fit) + 1];
		*first = claim(s, slots, align, HK_ALL_SLOTS);
		hk_bucket_update(s);
		if (*first >= 0)
			return s;
	}
	return NULL;
}

static int claim_used(struct hk_superslab *s, unsigned slots, unsigned align)
{
	return claim(s, slots, align,
		     ~atomic_load_explicit(&s->shared_meta->clean, memory_order_relaxed));
}

/*
 * Slots that hold pages already: in the fullest SuperSlab that fits, otherwise in one of
 * those in which slots were freed last.
 */
static struct hk_superslab *claim_used_anywhere(unsigned slots, unsigned align, int *first)
{
	uint64_t fit = hk_pool.filled & ~hk_slot_mask(0, slots - 1);
	struct hk_superslab *s = fit ? hk_pool.bucket[__builtin_ctzll(fit) + 1] : NULL;
	unsigned tries;

	if (s && (*first = claim_used(s, slots, align)) >= 0)
		return s;
	s = hk_pool.newest;
	for (tries = 0; s && tries < HK_CLAIM_LAST_FREED; tries++, s = s->shared_meta->older)
		if ((*first = claim_used(s, slots, align)) >= 0)
			return s;
	return NULL;
}

static void count_mapped(bool fresh)
{
	struct hk_pool_counters *c = &hk_pool_counters;

	if (!fresh)
		hk_count(&c->from_store);
	hk_count(&c->mapped);
	hk_raise(&c->superslabs_peak, hk_count(&c->superslabs));
}

static void start_pages(struct hk_superslab *s, bool huge)
{
	struct hk_shared_meta *m = s->shared_meta;

	atomic_fetch_add_explicit(&hk_huge_superslabs, huge, memory_order_relaxed);
	atomic_store_explicit(&m->pages, huge ? HK_PAGES_HUGE : HK_PAGES_SMALL, memory_order_relaxed);
	atomic_store_explicit(&m->trend, 0, memory_order_relaxed);
}

/* From here on any thread may claim these slots; lock-free. */
static void open_slots(struct hk_superslab *s, void *memory, uint64_t free)
{
	/* Other threads may call hk_superslab_mapped() on any descriptor. */
	__atomic_store_n(&s->base, (uintptr_t)memory, __ATOMIC_RELEASE);
	atomic_store_explicit(&s->shared_meta->free, free, memory_order_release);
	hk_pool_changed(s);
}

/* The memory is new or was a Large block, so it holds no marks. marks[] may still describe
 * the memory that the descriptor had before. */
static void start_slots(struct hk_superslab *s, bool clean)
{
	struct hk_shared_meta *m = s->shared_meta;

	memset(m->marks, 0, sizeof m->marks);
	atomic_store_explicit(&m->clean, clean ? HK_ALL_SLOTS : 0, memory_order_relaxed);
	if (clean)
		return;
	hk_decay_add(&hk_pool.dirty, HK_SLOTS);
	atomic_fetch_add_explicit(&hk_pool_touched_slots, HK_SLOTS, memory_order_relaxed);
}

/* NULL: no memory was planned, or the kernel does not remove its guard. */
static void *planned_memory(struct hk_superslab *s, bool *clean)
{
	struct hk_range *r = s->planned;
	void *memory;

	s->planned = NULL;
	if (!r)
		return NULL;
	memory = (void *)r->start;
	if (hk_range_lift_guard(r) && hk_range_lift_old_guards(r)) {
		*clean = r->clean;
	} else {
		hk_os_unmap(memory, HK_SUPERSLAB_SIZE);
		memory = NULL;
	}
	hk_range_delete(r);
	return memory;
}

static void *map(struct hk_superslab *s)
{
	void *memory = hk_os_map(HK_SUPERSLAB_SIZE, HK_SUPERSLAB_SIZE);

	if (!memory || hk_granule_set_superslab(memory, s))
		return memory;
	hk_os_unmap(memory, HK_SUPERSLAB_SIZE);
	return NULL;
}

/* The slots of `taken` belong to the caller. */
static struct hk_superslab *grow(struct hk_superslab *s, uint64_t taken, bool populate)
{
	bool huge, clean = true, always = hk_os_huge_mode() == HK_HUGE_ALWAYS;
	void *memory = planned_memory(s, &clean);
	bool fresh = !memory;

	if (fresh)
		memory = map(s);
	if (!memory) {
		hk_meta_spare(s);
		return NULL;
	}
	huge = fresh && (populate || hk_huge_choose()) &&
	       hk_huge_advise(memory, HK_SUPERSLAB_SIZE, memory);
	/* In mode "always" the kernel uses huge pages whether the SuperSlab is dense or not.
	 * With MEM learning, learning decides instead. */
	if (always && !huge && !hk_settings.mem_learn)
		huge = true;
	else if (always && !huge)
		hk_os_small(memory, HK_SUPERSLAB_SIZE);
	start_pages(s, huge);
	if (populate)
		hk_os_populate(memory, HK_SUPERSLAB_SIZE);
	if (fresh)
		hk_huge_grown(s);
	else
		hk_granule_set_superslab(memory, s);
	count_mapped(fresh);
	hk_event(HK_EVENT_MAP, 0, memory, HK_SUPERSLAB_SIZE);
	start_slots(s, clean);
	open_slots(s, memory, HK_ALL_SLOTS & ~taken);
	return s;
}

/* Inline, so that each caller has a probe point of its own. */
HK_INLINE void count(enum hk_event event, _Atomic size_t *counters, unsigned hint,
		     const struct hk_superslab *s, unsigned first, unsigned slots)
{
	hk_count(&counters[hint]);
	hk_event(event, hint < HK_CLASSES ? hk_class_size(hint) : 0,
		 (void *)(s->base + first * HK_SLOT_SIZE), slots * HK_SLOT_SIZE);
}

/* Stage 2. The lock is not taken if the hint has free slots, or if no SuperSlab can have
 * any that are wanted. */
static struct hk_superslab *claim_slots(struct hk_superslab *hint, unsigned slots, unsigned align,
					bool fresh, int *first)
{
	struct hk_superslab *s = NULL;

	if (hk_decay_waiting(&hk_pool.dirty) >= slots) {
		if (hint && (*first = claim_used(hint, slots, align)) >= 0)
			return hint;
		if (!hk_pool_lock())
			return NULL;
		s = claim_used_anywhere(slots, align, first);
		hk_pool_unlock();
	}
	if (s || !fresh)
		return s;
	if (hint && (*first = claim(hint, slots, align, HK_ALL_SLOTS)) >= 0)
		return hint;
	if (!hk_pool_lock())
		return NULL;
	s = claim_fullest(slots, align, first);
	hk_pool_unlock();
	return s;
}

/* Marks the caller's slots as dirty. Returns how many of them were dirty before. */
static unsigned make_dirty(struct hk_shared_meta *m, uint64_t mine)
{
	uint64_t clean = atomic_load_explicit(&m->clean, memory_order_relaxed);
	unsigned dirty = (unsigned)__builtin_popcountll(mine & ~clean);

	/* Only the thread that has claimed the slots changes these bits. */
	if (mine & clean) {
		uint64_t slots = mine & clean;

		for (; slots; slots &= slots - 1)
			m->marks[__builtin_ctzll(slots)] = 0;
		atomic_fetch_and_explicit(&m->clean, ~mine, memory_order_relaxed);
		atomic_fetch_add_explicit(&hk_pool_touched_slots,
			(unsigned)__builtin_popcountll(mine & clean), memory_order_relaxed);
		atomic_fetch_add_explicit(&hk_pool_counters.dirtied_slots,
			(unsigned)__builtin_popcountll(mine & clean), memory_order_relaxed);
	}
	if (dirty)
		hk_decay_subtract(&hk_pool.dirty, dirty);
	return dirty;
}

static void took(struct hk_run *run, struct hk_superslab *s, unsigned hint, unsigned first,
		 unsigned slots)
{
	run->home = s;
	run->first = first;
	run->clean = make_dirty(s->shared_meta, hk_slot_mask(first, slots)) == 0;
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
	count(HK_EVENT_CLAIM, hk_pool_counters.claim, hint, s, (unsigned)first, slots);
	took(run, s, hint, (unsigned)first, slots);
	return true;
}

/* The store returns a range that is too long if it has no descriptor for the rest. */
struct hk_superslab *hk_pool_plan(void)
{
	struct hk_superslab *s = hk_meta_superslab();
	struct hk_range *r = s ? hk_range_take(HK_SUPERSLAB_SIZE) : NULL;

	if (r && r->mapped > HK_SUPERSLAB_SIZE) {
		hk_range_add(r);
		r = NULL;
	}
	if (s)
		s->planned = r;
	return s;
}

bool hk_pool_grow(struct hk_run *run, unsigned slots, unsigned hint, struct hk_superslab *s)
{
	if (!s || !grow(s, hk_slot_mask(0, slots), false))
		return false;
	count(HK_EVENT_GROW, hk_pool_counters.grow, hint, s, 0, slots);
	took(run, s, hint, 0, slots);
	return true;
}

bool hk_pool_run_extend(struct hk_superslab *home, unsigned end, unsigned slots)
{
	struct hk_shared_meta *m = home->shared_meta;
	uint64_t mask, free;

	if (end + slots > HK_SLOTS)
		return false;
	mask = hk_slot_mask(end, slots);
	free = atomic_load_explicit(&m->free, memory_order_relaxed);
	do {
		if ((free & mask) != mask)
			return false;
	} while (!hk_swapped(atomic_compare_exchange_weak_explicit(&m->free, &free, free & ~mask,
			memory_order_acquire, memory_order_relaxed)));
	make_dirty(m, mask);
	return true;
}

bool hk_pool_prewarm(struct hk_superslab *s)
{
	return s && grow(s, 0, true);
}
