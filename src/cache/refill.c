/* Refills a free list with blocks from slabs. */
#include "cache/internal.h"

#include "config/settings.h"
#include "debug/ring.h"
#include "os/os.h"
#include "pool/pool.h"

/*
 * A class that has taken several fresh slabs in a row will probably fill this one too. One
 * system call for all its pages is cheaper than a page fault for each. Blocks larger than a
 * page are excluded, because the program may never touch all of their pages.
 */
static void touch(struct hk_cache *cache, struct hk_slab *slab)
{
	if (!slab->fresh)
		return;
	slab->fresh = false;
	if (cache->fresh[slab->class] < HK_FRESH_SLABS) {
		cache->fresh[slab->class]++;
	} else if (slab->size <= hk_page_size) {
		cache->touch_at = slab->base;
		cache->touch_size = slab->slots * HK_SLOT_SIZE;
		slab->dirty_tail = true;
	}
}

void hk_add_slab(struct hk_cache *cache, unsigned class, const struct hk_run *run)
{
	struct hk_slab *slab = hk_pool_slab(run, class, cache);

	hk_own_slab(cache, slab);
	touch(cache, slab);
}

/* In a loop, because all blocks of an adopted slab may be in use. */
static struct hk_slab *available(struct hk_cache *cache, struct hk_bin *bin, bool fresh)
{
	while (!bin->avail.first) {
		struct hk_slab *slab = hk_pool_acquire((unsigned)(bin - cache->bin), cache, fresh);

		if (!slab)
			return NULL;
		hk_own_slab(cache, slab);
		touch(cache, slab);
	}
	return hk_slab_listed(bin->avail.first);
}

bool hk_refill(struct hk_cache *cache, struct hk_bin *bin, bool fresh, bool *zero)
{
	unsigned class = (unsigned)(bin - cache->bin), carved;
	struct hk_slab *slab = available(cache, bin, fresh);
	struct hk_block *chain;
	int32_t got;

	if (!slab)
		return false;
	carved = slab->carved;
	got = (int32_t)hk_slab_take(slab, (unsigned)bin->batch, &chain);
	/* Blocks are carved only if the slab has no free one, so all of them are new. */
	if (zero)
		*zero = slab->zero && slab->carved != carved;
	hk_sparse_wanted(cache, slab, (unsigned)got);
	hk_slab_exhausts(cache, slab);
	bin->head = chain;
	bin->room -= got;
	if (cache->used_chains)
		cache->spilled[class].debt -= cache->spilled[class].debt > 0;
	if (hk_settings.stats)
		cache->filled[class] += (size_t)got;
	hk_event(HK_EVENT_REFILL, slab->size, chain, (size_t)got);
	hk_count_refill(cache, bin, got);
	return true;
}
