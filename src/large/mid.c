/*
 * Mid blocks: runs of slots in SuperSlabs.
 *
 * While address space is short, a block below HK_FITTED_LEAST is packed: it starts where the
 * previous block ends, in the same slot. Every block is larger than a slot, so at most one block
 * starts in a slot, and the descriptor of the slot is that of this block. A slot with the end of
 * one block and the start of another one has two holders, and becomes free when both have given
 * it up. The rest of the slot after the last packed block is offered to the next one; the offer
 * is a holder, too.
 */
#include "large/internal.h"
#include "os/os.h"
#include "pool/pool.h"
#include "slab/pagemap.h"

static unsigned slots_for(size_t size)
{
	return (unsigned)((size + HK_SLOT_SIZE - 1) / HK_SLOT_SIZE);
}

static size_t whole_pages(size_t size)
{
	size_t page = hk_page_size < HK_SLOT_SIZE ? hk_page_size : HK_SLOT_SIZE;

	return (size + page - 1) & -page;
}

static uintptr_t packed_end(uintptr_t base, size_t size)
{
	return base + ((size + HK_CACHE_LINE - 1) & ~(size_t)(HK_CACHE_LINE - 1));
}

static size_t offset_in_slot(uintptr_t address)
{
	return address & (HK_SLOT_SIZE - 1);
}

static unsigned slot_of(uintptr_t address)
{
	return (unsigned)(address >> HK_SLOT_SHIFT) & (HK_SLOTS - 1);
}

static uint64_t slot_bit(uintptr_t address)
{
	return (uint64_t)1 << slot_of(address);
}

static bool is_shared(const struct hk_superslab *home, uint64_t slots)
{
	return (atomic_load_explicit(&home->shared_meta->shared, memory_order_relaxed) & slots) != 0;
}

/* Gives up a holder's part of a slot. True: it was the last holder. */
static bool give_up(struct hk_superslab *home, uintptr_t address)
{
	uint64_t bit = slot_bit(address);

	return !(atomic_fetch_and_explicit(&home->shared_meta->shared, ~bit, memory_order_acq_rel) & bit);
}

/* The rest of the slot from this address on is offered to the next packed block; 0: no offer.
 * A thread that takes the offer becomes the holder. */
static _Atomic uintptr_t offered;

static void drop_offer(uintptr_t from)
{
	struct hk_superslab *home = from ? hk_granule_find((void *)from).superslab : NULL;

	if (home && give_up(home, from))
		hk_pool_run_free(home, slot_of(from), 1);
}

static void offer(struct hk_superslab *home, uintptr_t from)
{
	if (!offset_in_slot(from))
		return;
	atomic_fetch_or_explicit(&home->shared_meta->shared, slot_bit(from), memory_order_relaxed);
	drop_offer(atomic_exchange(&offered, from));
}

/* The block before this address is freed or resized. */
static void withdraw_offer(struct hk_superslab *home, uintptr_t from)
{
	uintptr_t expected = from;

	if (atomic_compare_exchange_strong(&offered, &expected, 0))
		give_up(home, from);
}

static void account(size_t more, size_t less)
{
	atomic_fetch_add_explicit(&hk_large_counters.mid_bytes, more - less,
				  memory_order_relaxed);
}

static size_t usable(const struct hk_large_request *r)
{
	return r->exact ? r->size : r->packed ? packed_end(0, r->size) : whole_pages(r->size);
}

/* offset: where a packed block starts in its first slot. If not 0, the slot belongs to another
 * block, too. */
static void start(struct hk_large_request *r, const struct hk_run *at, size_t offset)
{
	struct hk_superslab *home = at->home;
	struct hk_slab *run = &home->slab[at->first];
	unsigned slots = slots_for(offset + r->size), before = offset != 0;

	hk_slots_unmark(home, home->base, at->first + before, slots - before);
	run->base = home->base + at->first * HK_SLOT_SIZE + offset;
	run->home = home;
	run->slots = (uint8_t)slots;
	__atomic_store_n(&run->size, (uint32_t)usable(r), __ATOMIC_RELAXED);
	run->class = HK_CLASSES;
	hk_slab_set_limit(run, 0);
	run->note.noted = false;
	atomic_store_explicit(&run->note.sample, 0, memory_order_relaxed);
	atomic_store_explicit(&run->kind, HK_RUN_MID, memory_order_release);
	hk_run_register(run);
	hk_count(&hk_large_counters.mid_live);
	account(run->size, 0);
	r->block = (void *)run->base;
	r->zero = at->clean;
	/* This is last, because the next block is registered in the same slot. */
	if (r->packed)
		offer(home, run->base + run->size);
}

/* Puts the block behind the last packed one. False: there is no room. */
static bool pack(struct hk_large_request *r)
{
	uintptr_t from = atomic_load_explicit(&offered, memory_order_relaxed) ? atomic_exchange(&offered, 0) : 0;
	struct hk_run at = { .first = slot_of(from), .clean = false };

	if (!from)
		return false;
	at.home = hk_granule_find((void *)from).superslab;
	if (!hk_pool_run_extend(at.home, at.first + 1, slots_for(offset_in_slot(from) + r->size) - 1)) {
		drop_offer(from);
		return false;
	}
	start(r, &at, offset_in_slot(from));
	return true;
}

void hk_mid_begin(struct hk_large_request *r, bool fitted)
{
	unsigned align = r->align > HK_SLOT_SIZE ? (unsigned)(r->align >> HK_SLOT_SHIFT) : 1;
	unsigned slots = slots_for(r->size);
	struct hk_run run;
	bool claimed;

	r->packed = r->size < HK_FITTED_LEAST && r->align <= HK_CACHE_LINE && !r->exact && !hk_harden &&
		    hk_space_is_short(HK_SPACE_PACK_SHARE);
	if (r->packed && pack(r))
		return;
	claimed = hk_pool_claim(&run, slots, align, HK_HINT_MID, true);
	if (claimed && fitted && hk_pool_run_is_alone(&run, slots)) {
		hk_pool_run_free(run.home, run.first, slots);
		claimed = false;
	}
	if (claimed)
		start(r, &run, 0);
	else if (fitted)
		r->mid = false;
	else
		r->superslab = hk_pool_plan();
}

bool hk_mid_finish(struct hk_large_request *r)
{
	struct hk_run run;
	bool grown = hk_pool_grow(&run, slots_for(r->size), HK_HINT_MID, r->superslab);

	if (grown)
		start(r, &run, 0);
	return grown;
}

static struct hk_slab *find(const void *p)
{
	struct hk_slab *run = hk_run_find(p);

	return run && run->kind == HK_RUN_MID && run->base == (uintptr_t)p ? run : NULL;
}

/* A slot at either end that has another holder is not freed. */
static void free_slots(const struct hk_slab *run)
{
	struct hk_superslab *home = run->home;
	unsigned first = (unsigned)(run - home->slab), slots = run->slots;
	uintptr_t end = run->base + run->size;

	if (is_shared(home, HK_ALL_SLOTS)) {
		withdraw_offer(home, end);
		if (offset_in_slot(end) && !give_up(home, end))
			slots--;
		if (offset_in_slot(run->base) && !give_up(home, run->base)) {
			first++;
			slots--;
		}
	}
	if (slots)
		hk_pool_run_free(home, first, slots);
}

bool hk_mid_free(void *p)
{
	struct hk_slab *run = find(p);
	uint8_t mid = HK_RUN_MID;

	/* If two threads free the block, only one succeeds. */
	if (!run || !atomic_compare_exchange_strong(&run->kind, &mid, HK_RUN_NONE))
		return false;
	account(0, run->size);
	atomic_fetch_sub_explicit(&hk_large_counters.mid_live, 1, memory_order_relaxed);
	hk_run_forget(run);
	free_slots(run);
	return true;
}

size_t hk_mid_size(const void *p)
{
	struct hk_slab *run = find(p);

	return run ? run->size : 0;
}

struct hk_note *hk_mid_note(const void *p)
{
	struct hk_slab *run = find(p);

	return run ? &run->note : NULL;
}

/* Withdraws the offer after the block. False: another block has a part of its slots. */
static bool end_sharing(const struct hk_slab *run)
{
	uintptr_t end = run->base + run->size;

	if (offset_in_slot(run->base))
		return false;
	if (is_shared(run->home, HK_ALL_SLOTS))
		withdraw_offer(run->home, end);
	return !offset_in_slot(end) || !is_shared(run->home, slot_bit(end));
}

/* In place: slots after the run are claimed, or slots at its end become free. */
bool hk_mid_resize(void *p, size_t size)
{
	struct hk_slab *run = find(p);
	unsigned slots = slots_for(size), first, old;

	if (!run || size > HK_MID_MAX || size <= HK_SLAB_MAX / 2 || !end_sharing(run))
		return false;
	old = run->slots;
	first = (unsigned)(run - run->home->slab);
	if (slots > old && !hk_pool_run_extend(run->home, first + old, slots - old))
		return false;
	if (slots > old)
		hk_slots_unmark(run->home, run->home->base, first + old, slots - old);
	account(whole_pages(size), run->size);
	if (slots < old)
		hk_run_forget(run);
	run->slots = (uint8_t)slots;
	__atomic_store_n(&run->size, (uint32_t)whole_pages(size), __ATOMIC_RELAXED);
	hk_run_register(run);
	if (slots < old)
		hk_pool_run_free(run->home, first + slots, old - slots);
	return true;
}
