/* Blocks from a TLS SLL back into the slabs. */
#include "cache/cache.h"
#include "config/settings.h"
#include "debug/ring.h"
#include "slab/pagemap.h"

/*
 * Blocks of one slab that come one after the other, as most do: the bits of a
 * word gather in a register, and the slab's counters change once.
 */
struct run {
	struct hk_slab *slab;
	uint64_t bits;
	unsigned word;
};

/* Where a block is twice is looked up only if it happens. */
HK_INLINE void put_word(const struct run *run)
{
	struct hk_slab *slab = run->slab;
	uint64_t twice = slab->free[run->word] & run->bits;

	if (hk_unlikely(twice))
		hk_already_free(HK_CALL_FREE, (void *)(slab->base + slab->size *
			(run->word * 64 + (uintptr_t)__builtin_ctzll(twice))), slab);
	HK_FOLDED_STORE(slab->free[run->word], slab->free[run->word] | run->bits);
	slab->words |= (uint32_t)1 << run->word;
}

static void end_run(struct hk_cache *cache, const struct run *run, unsigned blocks)
{
	struct hk_slab *slab = run->slab;

	put_word(run);
	slab->used = (uint16_t)(slab->used - blocks);
	hk_sparse_freed(cache, slab, blocks);
	if (hk_walk_on())
		hk_slab_walk(slab);
	if (slab->listed_full || slab->used == 0)
		hk_slab_moves(cache, slab);
}

/* The slab in this bin that the block belongs to; every block of a list has
 * one, for others never get in. */
HK_INLINE struct hk_slab *slab_in(struct hk_bin *bin, const struct hk_block *block, unsigned *index)
{
	struct hk_slab *slab = hk_slab_guess(block);

	if (hk_unlikely(atomic_load_explicit(&slab->bin, memory_order_relaxed) != bin ||
			!hk_slab_locate(slab, block, index))) {
		slab = hk_slab_of_freed(block);
		if (slab->bin != bin || !hk_slab_locate(slab, block, index))
			hk_bad_link(block);
	}
	return slab;
}

static unsigned put_all(struct hk_cache *cache, struct hk_bin *bin, struct hk_block *block)
{
	struct run run;
	unsigned index, n = 0, began = 0;

	run.slab = slab_in(bin, block, &index);
	run.word = index / 64;
	run.bits = 0;
	for (; block != HK_LIST_END; block = hk_next(block), n++) {
		uint64_t bit;

		if (!hk_slab_locate(run.slab, block, &index)) {
			end_run(cache, &run, n - began);
			began = n;
			run.slab = slab_in(bin, block, &index);
			run.word = index / 64;
			run.bits = 0;
		} else if (index / 64 != run.word) {
			put_word(&run);
			run.word = index / 64;
			run.bits = 0;
		}
		bit = (uint64_t)1 << (index % 64);
		if (hk_unlikely(run.bits & bit))
			hk_already_free(HK_CALL_FREE, block, run.slab);
		if (hk_unlikely(!hk_marked(block)))
			hk_bad_link(block);
		run.bits |= bit;
	}
	end_run(cache, &run, n - began);
	return n;
}

int32_t hk_put_chain(struct hk_cache *cache, struct hk_bin *bin, struct hk_block *chain)
{
	unsigned class = (unsigned)(bin - cache->bin), n = chain != HK_LIST_END ? put_all(cache, bin, chain) : 0;

	bin->flushes++;
	cache->window_left -= n;
	if (hk_settings.stats)
		cache->flushed[class] += n;
	hk_event(HK_EVENT_FLUSH, hk_class_size(class), chain, n);
	return (int32_t)n;
}

struct hk_block *hk_list_cut(struct hk_bin *bin, int32_t keep)
{
	struct hk_block *last = NULL, *rest = bin->head;

	for (; keep > 0 && rest != HK_LIST_END; keep--) {
		last = rest;
		if (hk_unlikely(!hk_marked(last)))
			hk_bad_link(last);
		rest = hk_next(last);
	}
	if (last)
		hk_set_next(last, HK_LIST_END);
	else
		bin->head = HK_LIST_END;
	return rest;
}

/* The hottest `keep` blocks stay, the rest goes to its slabs. */
void hk_flush(struct hk_cache *cache, struct hk_bin *bin, int32_t keep)
{
	struct hk_block *rest = hk_list_cut(bin, keep);

	bin->room += hk_put_chain(cache, bin, rest);
}

void hk_put_block(struct hk_slab *slab, void *block)
{
	unsigned index;

	if (!hk_slab_locate(slab, block, &index) || !hk_slab_put(slab, index))
		hk_already_free(HK_CALL_FREE, block, slab);
}

void hk_put_back(struct hk_cache *cache, struct hk_slab *slab, void *block)
{
	if (hk_walk_on())
		hk_slab_walk(slab);
	hk_put_block(slab, block);
	hk_sparse_freed(cache, slab, 1);
	if (hk_settings.stats)
		cache->flushed[slab->class]++;
	if (slab->listed_full || slab->used == 0)
		hk_slab_moves(cache, slab);
}
