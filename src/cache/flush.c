/* Blocks from a TLS SLL back into the slabs. */
#include "cache/cache.h"
#include "config/settings.h"
#include "debug/ring.h"
#include "slab/pagemap.h"

/* The slab in this bin that the block belongs to; every block of a list has
 * one, for others never get in. */
HK_INLINE struct hk_slab *slab_in(struct hk_bin *bin, const struct hk_block *block, unsigned *index)
{
	struct hk_slab *slab = hk_slab_guess(block);

	if (hk_unlikely(atomic_load_explicit(&slab->bin, memory_order_relaxed) != bin ||
			!hk_slab_locate(slab, block, index))) {
		slab = hk_slab_of_freed(block);
		if (slab->bin != bin || !hk_slab_locate(slab, block, index))
			hk_bad_pointer(HK_CALL_FREE, block);
	}
	return slab;
}

HK_INLINE void put_owned(struct hk_cache *cache, struct hk_slab *slab, struct hk_block *block,
		      unsigned index)
{
	if (hk_unlikely(!hk_slab_put(slab, index)))
		hk_already_free(HK_CALL_FREE, block, slab);
	if (hk_unlikely(slab->listed_full || slab->used == 0))
		hk_slab_moves(cache, slab);
}

/* The hottest `keep` blocks stay, the rest goes to its slabs. */
void hk_flush(struct hk_cache *cache, struct hk_bin *bin, int32_t keep)
{
	struct hk_block *block, *first, **cut = &bin->head;
	unsigned class = (unsigned)(bin - cache->bin), index;
	bool walk = hk_walk_on();
	int32_t n;

	for (n = 0; n < keep && *cut; n++)
		cut = &(*cut)->next;
	first = *cut;
	*cut = NULL;
	for (n = 0, block = first; block; n++) {
		struct hk_slab *slab = slab_in(bin, block, &index);
		struct hk_block *next = block->next;

		if (hk_unlikely(walk))
			hk_slab_walk(slab);
		put_owned(cache, slab, block, index);
		block = next;
	}
	bin->room += n;
	bin->flushes++;
	cache->flushed[class] += hk_settings.stats ? (size_t)n : 0;
	hk_event(HK_EVENT_FLUSH, hk_class_size(class), first, (size_t)n);
}

void hk_put_back(struct hk_cache *cache, struct hk_slab *slab, void *block)
{
	unsigned index;

	if (hk_walk_on())
		hk_slab_walk(slab);
	if (!hk_slab_locate(slab, block, &index))
		hk_already_free(HK_CALL_FREE, block, slab);
	cache->flushed[slab->class] += hk_settings.stats;
	put_owned(cache, slab, block, index);
}
