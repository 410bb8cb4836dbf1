/*
 * Checks the lists and slabs of one bin against the invariants of cache.h, at the end of a
 * slow path of their owner. The work is bounded so that a program with a large heap remains
 * usable: only the front of each list of slabs and the newest chain are checked. Any other
 * slab is checked when a block is put into it.
 */
#include "cache/internal.h"

#include "debug/ring.h"
#include "pool/pool.h"
#include "slab/pagemap.h"

static void walk_list(const struct hk_cache *cache, const struct hk_bin *bin,
		      const struct hk_block *head, int32_t left)
{
	const struct hk_block *block = head;

	for (; block != HK_LIST_END; block = hk_next(block), left--) {
		const struct hk_slab *slab = hk_run_find(block);

		hk_invariant(left > 0, "a list is as long as its count", block);
		hk_invariant(slab && slab->bin == bin && hk_slab_valid(slab, block) &&
			     slab->owner == cache, "a list holds blocks of its own slabs", block);
		hk_invariant(hk_marked(block), "a block in a list bears the mark of a free one", block);
		hk_invariant(!hk_slab_bit(slab, hk_slab_index(slab, block)),
			     "a block in a list is not free in its slab", block);
	}
	hk_invariant(left == 0, "a list is as long as its count", head);
}

static void walk_slabs(const struct hk_cache *cache, const struct hk_bin *bin, bool full)
{
	const struct hk_list *list = full ? &bin->full : &bin->avail;
	const struct hk_slab *slab = hk_slab_listed(list->first);
	struct hk_link *const *at_link = &list->first;
	unsigned n;

	for (n = 0; slab && n < HK_WALKED_SLABS; n++) {
		const void *at = (const void *)slab->base;

		hk_invariant(slab->owner == cache && slab->bin == bin && slab->listed.at == at_link,
			     "a bin lists slabs that its cache owns", at);
		hk_invariant(slab->listed_full == full && hk_slab_exhausted(slab) == full,
			     "avail lists the slabs with blocks, full the others", at);
		hk_slab_walk(slab);
		if (n == 0)
			hk_pool_walk(slab);
		at_link = &slab->listed.next;
		slab = hk_slab_after(slab);
	}
}

void hk_cache_walk(const struct hk_cache *cache, unsigned class)
{
	const struct hk_bin *bin = &cache->bin[class];
	const struct hk_chain *newest = &cache->chain[cache->spilled[class].top];

	walk_list(cache, bin, bin->head, bin->capacity - bin->room);
	if (class < HK_TINY_CLASSES && cache->shown[class].bin.head)
		walk_list(cache, bin, cache->shown[class].bin.head,
			  cache->shown[class].bin.capacity - cache->shown[class].bin.room);
	if (newest->count)
		walk_list(cache, bin, newest->head, newest->count);
	walk_slabs(cache, bin, false);
	walk_slabs(cache, bin, true);
}
