/* Checks the invariants of a slab in slab.h. */
#include "debug/ring.h"
#include "slab/pagemap.h"

/* The bits of this word of free[] that belong to no carved block. */
static uint64_t uncarved(unsigned carved, unsigned word)
{
	unsigned first = word * 64;

	if (carved >= first + 64)
		return 0;
	return carved <= first ? UINT64_MAX : UINT64_MAX << (carved - first);
}

void hk_slab_walk(const struct hk_slab *slab)
{
	const void *at = (const void *)slab->base;
	unsigned words = (unsigned)hk_slab_live_words(slab), carved = slab->carved, i;
	unsigned free = 0, filled = 0;

	hk_invariant(atomic_load_explicit(&slab->kind, memory_order_relaxed) == HK_RUN_SLAB,
		     "a slab in use is of the kind slab", at);
	hk_invariant(slab->class < HK_CLASSES && slab->size == hk_class_size(slab->class) &&
		     (slab->slots == hk_class_slots(slab->class) ||
		      slab->slots == hk_class_dense_slots(slab->class)),
		     "a slab has the size and the slots of its class", at);
	hk_invariant(slab->base == slab->home->base +
		     (uintptr_t)(slab - slab->home->slab) * HK_SLOT_SIZE &&
		     hk_run_find(at) == slab, "the page map leads to the slab", at);
	hk_invariant(carved <= slab->blocks &&
		     __atomic_load_n(&slab->limit, __ATOMIC_RELAXED) ==
		     (uint64_t)carved * slab->unit, "a slab's limit is carved * unit", at);
	hk_invariant(__atomic_load_n(&slab->hot_limit, __ATOMIC_RELAXED) ==
		     (hk_slab_holed(slab) || hk_harden ? 0 : slab->limit),
		     "a slab's hot limit is its limit, or 0 with holes", at);
	hk_invariant(!hk_slab_holed(slab) || slab->purging ||
		     !(atomic_load_explicit(&slab->holes, memory_order_relaxed) &
		       ~hk_slab_free_pages(slab)), "holes are in pages of free blocks", at);
	for (i = 0; i < words; i++) {
		free += (unsigned)__builtin_popcountll(slab->free[i]);
		filled |= (unsigned)(slab->free[i] != 0) << i;
		hk_invariant(!(slab->free[i] & uncarved(carved, i)),
			     "only carved blocks are free", at);
	}
	hk_invariant(slab->words == filled, "a slab's words say where free blocks are", at);
	hk_invariant(slab->used + free == carved + slab->purging, "a slab's used is carved - free", at);
}
