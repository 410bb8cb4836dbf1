/* Blocks from a TLS SLL back into the slabs. */
#include "cache/cache.h"
#include "debug/ring.h"

/*
 * The hottest `keep` blocks stay, the rest goes to its slabs. Every block in
 * a list belongs to a slab that this cache owns: others never get in.
 */
void hk_flush(struct hk_cache *cache, struct hk_bin *bin, int32_t keep)
{
	struct hk_block *block, *next, **cut = &bin->head;
	struct hk_slab *slab = NULL;
	int32_t before = bin->room, n;
	const struct hk_block *first;

	for (n = 0; n < keep && *cut; n++)
		cut = &(*cut)->next;
	first = block = *cut;
	*cut = NULL;
	for (; block; block = next) {
		next = block->next;
		if (!slab || !hk_slab_valid(slab, block))
			slab = hk_slab_of_freed(block);
		if (slab->bin != bin)
			hk_bad_pointer(HK_CALL_FREE, block);
		bin->room++;
		if (!hk_put_owned(cache, slab, block))
			slab = NULL;
	}
	bin->flushes++;
	hk_event(HK_EVENT_FLUSH, hk_class_size((unsigned)(bin - cache->bin)), first,
		 (size_t)(bin->room - before));
}
