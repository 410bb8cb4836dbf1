/*
 * The guard page at the end of a Large or Huge block, if the kernel supports guard pages
 * that need no mapping. An overflow faults there and does not reach the memory after the
 * range. The guard is the last page of the range, so it stays while the block is resized
 * within the range, freed and reused; the usable part ends before it. A Huge block gets an
 * extra page for it. A Large block, which has whole granules, has a guard if the size that
 * the program requested leaves a page.
 *
 * A guard takes one to six microseconds to set and less to remove. That is little
 * compared with the page faults of a fresh range, but much compared with the reuse of a
 * kept range. So a kept range without a guard gets one only if few were set recently.
 */
#include "large/internal.h"
#include "os/os.h"

/* Milliseconds per guard of a range that is not fresh, and how many may be set in a row. */
enum { PACE = 1, BURST = 64 };

/* When the next guard is due at a steady pace; relaxed, one guard more does no harm. */
static _Atomic uint64_t next_at;

static bool is_time(void)
{
	return !hk_elapsed(atomic_load_explicit(&next_at, memory_order_relaxed),
			   hk_os_now(), PACE * BURST);
}

static void count_one(void)
{
	uint64_t now = hk_os_now(), at = atomic_load_explicit(&next_at, memory_order_relaxed);

	atomic_store_explicit(&next_at, (hk_elapsed(now, at, 0) ? now : at) + PACE,
			      memory_order_relaxed);
}

/* If the kernel makes huge pages by itself, a guard prevents one in the last granule. So
 * there must be no guard if the program uses most of that granule. */
static bool leaves_page(const struct hk_large *b)
{
	size_t least = b->mapped <= HK_LARGE_MAX && hk_os_huge_mode() == HK_HUGE_ALWAYS ?
		HK_SUPERSLAB_SIZE / 2 : hk_page_size;

	return b->mapped - b->wanted >= least;
}

static bool can_have(const struct hk_large *b)
{
	return !b->guarded && hk_os_has_guards() && leaves_page(b);
}

static void *page_before(uintptr_t end)
{
	return (void *)(end - hk_page_size);
}

static void set(struct hk_large *b)
{
	b->guarded = hk_os_guard(page_before(b->start + b->mapped), hk_page_size);
}

static bool remove_pits(struct hk_large *b)
{
	for (; b->pits; b->pits &= b->pits - 1) {
		uintptr_t end = b->start + ((uintptr_t)__builtin_ctzll(b->pits) + 1) * HK_SUPERSLAB_SIZE;

		if (!hk_os_unguard(page_before(end), hk_page_size))
			return false;
	}
	return true;
}

bool hk_guard_fits(const struct hk_large *b)
{
	return !b->pits && b->wanted <= hk_large_usable(b) && !(can_have(b) && is_time());
}

bool hk_guard_lift(struct hk_large *b)
{
	if (b->guarded && !hk_os_unguard(page_before(b->start + b->mapped), hk_page_size))
		return false;
	b->guarded = false;
	return true;
}

bool hk_guard_fit(struct hk_large *b)
{
	if (!remove_pits(b) || (b->wanted > hk_large_usable(b) && !hk_guard_lift(b)))
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

static unsigned granules(size_t bytes)
{
	return (unsigned)(bytes >> HK_SUPERSLAB_SHIFT);
}

/* The bit of the last granule; a range with guards has at most 64 granules. */
static uint64_t last_bit(const struct hk_large *b)
{
	return (uint64_t)1 << ((granules(b->mapped) - 1) & 63);
}

void hk_guard_to_pits(struct hk_large *b)
{
	if (b->guarded)
		b->pits |= last_bit(b);
	b->guarded = false;
}

void hk_guard_from_pits(struct hk_large *b)
{
	b->guarded = (b->pits & last_bit(b)) != 0;
	if (b->guarded)
		b->pits &= ~last_bit(b);
}

bool hk_guard_can_join(const struct hk_large *b, const struct hk_large *behind)
{
	return (!b->pits && !behind->pits) || granules(b->mapped + behind->mapped) <= 64;
}

void hk_guard_join(struct hk_large *b, const struct hk_large *behind)
{
	if (behind->pits)
		b->pits |= behind->pits << granules(b->mapped);
	b->mapped += behind->mapped;
}

void hk_guard_cut(struct hk_large *b, size_t at, struct hk_large *behind)
{
	unsigned n = granules(at);

	behind->start = b->start + at;
	behind->mapped = b->mapped - at;
	behind->guarded = false;
	behind->pits = n < 64 ? b->pits >> n : 0;
	b->mapped = at;
	if (n < 64)
		b->pits &= ((uint64_t)1 << n) - 1;
}
