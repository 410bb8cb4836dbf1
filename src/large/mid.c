/* Mid blocks: runs of slots in SuperSlabs. */
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

static void account(size_t more, size_t less)
{
	atomic_fetch_add_explicit(&hk_large_counters.mid_bytes, more - less,
				  memory_order_relaxed);
}

static void start(struct hk_large_request *r, const struct hk_run *at)
{
	struct hk_superslab *home = at->home;
	struct hk_slab *run = &home->slab[at->first];

	hk_slots_unmark(home, home->base, at->first, slots_for(r->size));
	run->base = home->base + at->first * HK_SLOT_SIZE;
	run->home = home;
	run->slots = (uint8_t)slots_for(r->size);
	__atomic_store_n(&run->size, (uint32_t)(r->exact ? r->size : whole_pages(r->size)), __ATOMIC_RELAXED);
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
}

void hk_mid_begin(struct hk_large_request *r, bool fitted)
{
	unsigned align = r->align > HK_SLOT_SIZE ? (unsigned)(r->align >> HK_SLOT_SHIFT) : 1;
	unsigned slots = slots_for(r->size);
	struct hk_run run;
	bool claimed = hk_pool_claim(&run, slots, align, HK_HINT_MID, true);

	if (claimed && fitted && hk_pool_run_is_alone(&run, slots)) {
		hk_pool_run_free(run.home, run.first, slots);
		claimed = false;
	}
	if (claimed)
		start(r, &run);
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
		start(r, &run);
	return grown;
}

static struct hk_slab *find(const void *p)
{
	struct hk_slab *run = hk_run_find(p);

	return run && run->kind == HK_RUN_MID && run->base == (uintptr_t)p ? run : NULL;
}

bool hk_mid_free(void *p)
{
	struct hk_slab *run = find(p);
	uint8_t mid = HK_RUN_MID;
	struct hk_superslab *home;
	unsigned slots;

	/* If two threads free the block, only one succeeds. */
	if (!run || !atomic_compare_exchange_strong(&run->kind, &mid, HK_RUN_NONE))
		return false;
	home = run->home;
	slots = run->slots;
	account(0, run->size);
	atomic_fetch_sub_explicit(&hk_large_counters.mid_live, 1, memory_order_relaxed);
	hk_run_forget(run);
	hk_pool_run_free(home, (unsigned)(run - home->slab), slots);
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

/* In place: slots after the run are claimed, or slots at its end become free. */
bool hk_mid_resize(void *p, size_t size)
{
	struct hk_slab *run = find(p);
	unsigned slots = slots_for(size), first, old;

	if (!run || size > HK_MID_MAX || size <= HK_SLAB_MAX / 2)
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
