/*
 * The guard page at the end of a Large or Huge block, if the kernel supports guard pages
 * that need no mapping. An overflow faults there and does not reach the memory after the
 * range. The guard is the last page of the range, so it stays while the block is resized
 * within the range, freed and reused; the usable part ends before it. A Huge block gets an
 * extra page for it. A Large block, which has whole granules, has a guard if the size that
 * the program requested leaves a page.
 *
 * Setting a guard takes little time compared with the page faults of a new range, but much
 * compared with the reuse of a free range. So a reused range without a guard gets one only
 * if few guards were set recently.
 */
#include "config/policy.h"
#include "large/internal.h"
#include "os/os.h"

/* When the next guard is due at a steady pace; relaxed, because one guard more does no
 * harm. */
static _Atomic uint64_t next_at;

static bool is_time(void)
{
	return !hk_elapsed(atomic_load_explicit(&next_at, memory_order_relaxed),
			   hk_os_now(), HK_GUARD_PACE_MS * HK_GUARD_BURST);
}

static void count_one(void)
{
	uint64_t now = hk_os_now(), at = atomic_load_explicit(&next_at, memory_order_relaxed);

	atomic_store_explicit(&next_at, (hk_elapsed(now, at, 0) ? now : at) + HK_GUARD_PACE_MS,
			      memory_order_relaxed);
}

/* In mode "always" a guard prevents a huge page in the last granule, so there must be none
 * if the program uses most of that granule. */
static bool leaves_page(const struct hk_large *b)
{
	size_t least = b->range.mapped <= HK_LARGE_MAX && hk_os_huge_mode() == HK_HUGE_ALWAYS ?
		HK_SUPERSLAB_SIZE / 2 : hk_page_size;

	return b->range.mapped - b->wanted >= least;
}

static bool can_have(const struct hk_large *b)
{
	return !b->range.guarded && hk_os_has_guards() && leaves_page(b);
}

static void set(struct hk_large *b)
{
	b->range.guarded = hk_os_guard((void *)(b->range.start + b->range.mapped - hk_page_size), hk_page_size);
}

bool hk_guard_fits(const struct hk_large *b)
{
	return !b->range.old_guards && b->wanted <= hk_large_usable(b) && !(can_have(b) && is_time());
}

bool hk_guard_fit(struct hk_large *b)
{
	if (!hk_range_lift_old_guards(&b->range) || (b->wanted > hk_large_usable(b) && !hk_range_lift_guard(&b->range)))
		return false;
	if (can_have(b) && is_time()) {
		count_one();
		set(b);
	}
	return true;
}

void hk_guard_fresh(struct hk_large *b)
{
	if (can_have(b))
		set(b);
}
