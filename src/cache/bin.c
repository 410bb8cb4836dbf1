/*
 * The slabs of a class that a thread owns: which of them have free blocks, which are
 * sparse, and how freed blocks are put into them.
 */
#include "cache/internal.h"

#include "config/settings.h"
#include "debug/ring.h"
#include "pool/eager.h"
#include "slab/pagemap.h"

_Atomic bool hk_sparse_waits;

static void list_slab(struct hk_bin *bin, struct hk_slab *slab, bool full)
{
	slab->listed_full = full;
	hk_list_push(full ? &bin->full : &bin->avail, &slab->listed);
}

void hk_own_slab(struct hk_cache *cache, struct hk_slab *slab)
{
	struct hk_bin *bin = &cache->bin[slab->class];

	atomic_store_explicit(&slab->bin, bin, memory_order_relaxed);
	/* The settings may have been loaded while the slab had no owner. */
	hk_slab_set_limit(slab, slab->limit);
	list_slab(bin, slab, hk_slab_exhausted(slab));
}

void hk_slab_exhausts(struct hk_cache *cache, struct hk_slab *slab)
{
	struct hk_bin *bin = &cache->bin[slab->class];

	if (!slab->listed_full && hk_slab_exhausted(slab)) {
		hk_list_remove(&slab->listed);
		list_slab(bin, slab, true);
	}
}

/*
 * A slab that was full and has a free block again is moved to the front: the fullest slabs
 * are used first, so that the sparse ones at the back may become empty. An empty slab is
 * returned to the pool unless it is the only one in avail and the lists of all threads hold
 * little.
 */
void hk_slab_moves(struct hk_cache *cache, struct hk_slab *slab)
{
	struct hk_bin *bin = &cache->bin[slab->class];

	if (slab->listed_full) {
		hk_list_remove(&slab->listed);
		list_slab(bin, slab, false);
	}
	if (slab->used == 0 && (!hk_list_single(&bin->avail, &slab->listed) || hk_keeps_no_slab(cache))) {
		hk_list_remove(&slab->listed);
		hk_pool_return(slab);
	}
}

void hk_bin_release_empty(struct hk_bin *bin)
{
	struct hk_slab *slab, *next;

	for (slab = hk_slab_listed(bin->avail.first); slab; slab = next) {
		next = hk_slab_after(slab);
		if (slab->used == 0) {
			hk_list_remove(&slab->listed);
			hk_pool_return(slab);
		}
	}
}

static bool is_sparse(const struct hk_slab *slab)
{
	return slab->used * (unsigned)HK_SPARSE_OF <= slab->blocks * (unsigned)HK_SPARSE_USED;
}

static void list_sparse(struct hk_cache *cache, struct hk_slab *slab)
{
	hk_list_push(&cache->sparse_new, &slab->sparse);
	cache->sparse_listed += slab->slots;
	if (cache->sparse_listed > HK_SPARSE_WAITING >> HK_SLOT_SHIFT)
		hk_sparse_tell();
}

/* Half of the bytes, because sparse_old may hold as much as sparse_new. */
bool hk_sparse_excess(const struct hk_cache *cache)
{
	return hk_is_eager() && cache->sparse_bytes > hk_eager_bytes(HK_EAGER_SPARSE) / 2;
}

void hk_sparse_freed(struct hk_cache *cache, struct hk_slab *slab, unsigned blocks)
{
	if (!is_sparse(slab))
		return;
	if (!hk_linked(&slab->sparse))
		list_sparse(cache, slab);
	cache->sparse_bytes += blocks * (size_t)slab->size;
	if (hk_sparse_excess(cache))
		cache->due |= 1u << HK_FOR_TICK;
}

void hk_sparse_wanted(struct hk_cache *cache, struct hk_slab *slab, unsigned blocks)
{
	size_t bytes = blocks * (size_t)slab->size;

	if (!hk_linked(&slab->sparse))
		return;
	cache->sparse_bytes -= bytes < cache->sparse_bytes ? bytes : cache->sparse_bytes;
	if (slab->sparse.at == &cache->sparse_new.first)
		return;
	hk_list_remove(&slab->sparse);
	if (is_sparse(slab))
		list_sparse(cache, slab);
}

/*
 * Consecutive blocks of one slab, which is the usual case: the bits of a word are collected
 * in a register, and the slab's counters are updated once.
 */
struct run {
	struct hk_slab *slab;
	uint64_t bits;
	unsigned word;
};

/* Which block was freed twice is determined only after a collision of bits. */
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

/* The slab of this bin that contains the block. Every block of a list has one, because
 * only blocks of owned slabs are put into lists. */
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

unsigned hk_put_all(struct hk_cache *cache, struct hk_bin *bin, struct hk_block *block)
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
	if (hk_settings.stats)
		cache->flushed[bin - cache->bin] += n;
	return n;
}

int32_t hk_put_chain(struct hk_cache *cache, struct hk_bin *bin, struct hk_block *chain)
{
	unsigned class = (unsigned)(bin - cache->bin), n = chain != HK_LIST_END ? hk_put_all(cache, bin, chain) : 0;

	bin->flushes++;
	cache->window_left -= n;
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

void *hk_bin_take(struct hk_bin *bin)
{
	struct hk_block *block = bin->head;

	if (block == HK_LIST_END)
		return NULL;
	if (hk_unlikely(!hk_marked(block)))
		hk_bad_link(block);
	return hk_bin_pop(bin, block, block->mark);
}
