/*
 * What can be known of the pages of a SuperSlab from outside, and what MEM
 * learning does to them.
 */
#include "debug/ring.h"
#include "os/os.h"
#include "pool/internal.h"

static size_t free_blocks(const struct hk_slab *slab, size_t carved)
{
	size_t i, sum = 0;

	for (i = 0; i * 64 < carved; i++)
		sum += (size_t)__builtin_popcountll(HK_FOLDED_LOAD(slab->free[i]));
	return sum;
}

static void add_slab(struct hk_pages_seen *seen, const struct hk_slab *slab)
{
	size_t size = __atomic_load_n(&slab->size, __ATOMIC_RELAXED);
	size_t carved = __atomic_load_n(&slab->carved, __ATOMIC_RELAXED), free;
	size_t holes = (size_t)__builtin_popcountll(
		atomic_load_explicit(&slab->holes, memory_order_relaxed)) * hk_page_size;

	if (atomic_load_explicit(&slab->kind, memory_order_acquire) != HK_RUN_SLAB ||
	    size > hk_page_size)
		return;
	/* One moment is not to be had of a slab in use. */
	free = free_blocks(slab, carved);
	seen->live += (free < carved ? carved - free : 0) * size;
	seen->touched += carved * size > holes ? carved * size - holes : 0;
}

struct hk_pages_seen hk_pages_look(const struct hk_superslab *s)
{
	uint64_t free = atomic_load_explicit(&s->shared_meta->free, memory_order_relaxed);
	struct hk_pages_seen seen = { 0, 0, 0 };
	unsigned i;

	seen.waiting = HK_SLOT_SIZE * (size_t)__builtin_popcountll(
		free & ~atomic_load_explicit(&s->shared_meta->clean, memory_order_relaxed));
	for (i = 0; i < HK_SLOTS; i++)
		if (!(free >> i & 1) &&
		    atomic_load_explicit(&s->first[i], memory_order_relaxed) == i)
			add_slab(&seen, &s->slab[i]);
	return seen;
}

/* Pinned, no one unmaps it: what is at base would be somebody else's memory. */
static bool pin(struct hk_superslab *s)
{
	hk_pool_lock();
	s->shared_meta->pinned = s->base != 0;
	hk_pool_unlock();
	return s->shared_meta->pinned;
}

static void unpin(struct hk_superslab *s)
{
	hk_pool_lock();
	s->shared_meta->pinned = false;
	hk_pool_unlock();
}

bool hk_pages_promote(struct hk_superslab *s, bool *now)
{
	uint8_t small = HK_PAGES_SMALL;
	bool promoted;

	*now = false;
	if (!pin(s))
		return false;
	/* First, so that whoever purges from now on breaks it. */
	promoted = atomic_compare_exchange_strong_explicit(&s->shared_meta->pages, &small,
			HK_PAGES_HUGE, memory_order_relaxed, memory_order_relaxed);
	if (promoted) {
		atomic_fetch_add_explicit(&hk_huge_superslabs, 1, memory_order_relaxed);
		*now = hk_os_huge((void *)s->base, HK_SUPERSLAB_SIZE) &&
		       hk_os_collapse((void *)s->base, HK_SUPERSLAB_SIZE);
	}
	unpin(s);
	return promoted;
}
