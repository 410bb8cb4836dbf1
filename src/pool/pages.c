/*
 * Statistics of the pages of a SuperSlab, collected without its owners' locks, and the
 * change from small to huge pages by MEM learning.
 */
#include "os/os.h"
#include "pool/internal.h"

static size_t free_blocks(const struct hk_slab *slab, size_t carved)
{
	size_t i, sum = 0;

	for (i = 0; i * 64 < carved; i++)
		sum += (size_t)__builtin_popcountll(HK_FOLDED_LOAD(slab->free[i]));
	return sum;
}

static void add_run(struct hk_pages_seen *seen, const struct hk_slab *slab, unsigned slots)
{
	size_t size = __atomic_load_n(&slab->size, __ATOMIC_RELAXED);
	size_t carved = __atomic_load_n(&slab->carved, __ATOMIC_RELAXED), free;
	size_t holes = (size_t)__builtin_popcountll(
		atomic_load_explicit(&slab->holes, memory_order_relaxed)) * hk_page_size;

	if (atomic_load_explicit(&slab->kind, memory_order_acquire) != HK_RUN_SLAB ||
	    size > hk_page_size) {
		seen->other += slots * HK_SLOT_SIZE;
		return;
	}
	/* The owner may change the slab meanwhile, so free may exceed carved. */
	free = free_blocks(slab, carved);
	seen->live += (free < carved ? carved - free : 0) * size;
	seen->touched += carved * size > holes ? carved * size - holes : 0;
	seen->holes += holes;
}

static unsigned first_slot(const struct hk_superslab *s, unsigned slot)
{
	return atomic_load_explicit(&s->first[slot], memory_order_relaxed);
}

struct hk_pages_seen hk_pages_look(const struct hk_superslab *s)
{
	uint64_t free = atomic_load_explicit(&s->shared_meta->free, memory_order_relaxed);
	struct hk_pages_seen seen = { 0, 0, 0, 0, 0 };
	unsigned i, end;

	seen.waiting = HK_SLOT_SIZE * (size_t)__builtin_popcountll(
		free & ~atomic_load_explicit(&s->shared_meta->clean, memory_order_relaxed));
	for (i = 0; i < HK_SLOTS; i = end) {
		end = i + 1;
		if (free >> i & 1)
			continue;
		while (end < HK_SLOTS && !(free >> end & 1) && first_slot(s, end) == i)
			end++;
		add_run(&seen, &s->slab[i], end - i);
	}
	return seen;
}

/* A pinned SuperSlab is not unmapped. Otherwise the memory at base could be in use for
 * something else by the time of the system call. */
static bool pin(struct hk_superslab *s)
{
	bool pinned;

	if (!hk_pool_lock())
		return false;
	pinned = hk_superslab_mapped(s);
	atomic_store(&s->shared_meta->pinned, pinned);
	hk_pool_unlock();
	return pinned;
}

/* A release that found it pinned has put it aside: see claim_free in release.c. */
static void unpin(struct hk_superslab *s)
{
	atomic_store(&s->shared_meta->pinned, false);
	if (atomic_load(&s->shared_meta->free) == HK_ALL_SLOTS)
		hk_pool_changed(s);
}

void hk_pages_unpin_all(void)
{
	uint32_t end = hk_pool_directory_end(), i;

	for (i = 0; i < end; i++)
		if (atomic_load(&hk_pool_superslab(i)->shared_meta->pinned))
			unpin(hk_pool_superslab(i));
}

/*
 * The advice is given before the state changes, and is withdrawn if another thread changed
 * the state first. A thread that purges a SuperSlab in state HUGE withdraws the advice, so
 * none may follow after that.
 */
bool hk_pages_promote(struct hk_superslab *s, bool *now)
{
	uint8_t was = (uint8_t)hk_superslab_pages(s);
	void *memory;
	bool promoted;

	*now = false;
	if (was == HK_PAGES_HUGE || !pin(s))
		return false;
	memory = (void *)s->base;
	/* Counted before the state changes, because another thread may then subtract it at
	 * once, and the count must not wrap. */
	atomic_fetch_add_explicit(&hk_huge_superslabs, 1, memory_order_relaxed);
	promoted = hk_os_huge(memory, HK_SUPERSLAB_SIZE) &&
		   atomic_compare_exchange_strong_explicit(&s->shared_meta->pages, &was,
			HK_PAGES_HUGE, memory_order_relaxed, memory_order_relaxed);
	if (promoted) {
		*now = hk_os_collapse(memory, HK_SUPERSLAB_SIZE);
	} else {
		atomic_fetch_sub_explicit(&hk_huge_superslabs, 1, memory_order_relaxed);
		hk_os_small(memory, HK_SUPERSLAB_SIZE);
	}
	unpin(s);
	return promoted;
}
