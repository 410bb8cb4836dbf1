/* Blocks from a TLS SLL back into the slabs. */
#include "cache/cache.h"
#include "slab/pagemap.h"

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
		if (!slab || slab->bin != bin || !hk_slab_valid(slab, block))
			slab = hk_run_find(block);
		if (!slab || slab->bin != bin || !hk_slab_valid(slab, block))
			hk_bad_pointer(HK_CALL_FREE, block);
		bin->room++;
		hk_put_owned(cache, slab, block);
	}
	bin->flushes++;
}
