/* Blocks from a TLS SLL back into the slabs. */
#include "cache/cache.h"

/*
 * The hottest `keep` blocks stay, the rest goes to its slabs. Every block in
 * a list belongs to a slab that this cache owns: others never get in.
 */
void hk_flush(struct hk_cache *cache, struct hk_bin *bin, int32_t keep)
{
	struct hk_block *block, *next, **cut = &bin->head;
	struct hk_slab *slab = NULL;
	int32_t n;

	for (n = 0; n < keep && *cut; n++)
		cut = &(*cut)->next;
	block = *cut;
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
}
