/*
 * Finds the slab of a block, and aborts the program if there is none or if the block is not
 * in the expected state.
 *
 * A block with a correct mark is free, for these reasons. Only the library writes marks,
 * and only into free blocks. malloc clears the mark of the block that it returns. Memory
 * that held blocks of another class is cleared of their marks before it is allocated
 * (slab/slab.c). A mark that a program copies is not correct at another address. Arbitrary
 * contents match the mark by chance once in 2^63 frees.
 *
 * Marks are lost when a page is released; the bitmap of the slab is used for it instead.
 */
#include "cache/internal.h"

#include "slab/pagemap.h"

struct hk_slab *hk_slab_of(const void *p, enum hk_call call)
{
	struct hk_slab *slab = hk_slab_guess(p);

	/* The range is checked too, because a wrong guess may be a slab that another thread
	 * is changing. */
	if ((uintptr_t)p - slab->base < slab->slots * HK_SLOT_SIZE && hk_slab_valid(slab, p))
		return slab;
	slab = hk_run_find(p);
	if (!slab || slab->kind != HK_RUN_SLAB)
		return NULL;
	if (!hk_slab_valid(slab, p))
		hk_bad_pointer(call, p);
	hk_slab_remember(slab, p);
	return slab;
}

bool hk_is_free(const struct hk_slab *slab, const void *p)
{
	return hk_marked(p) || (hk_slab_holed(slab) && hk_slab_bit(slab, hk_slab_index(slab, p)));
}

struct hk_slab *hk_slab_of_freed(const struct hk_block *block)
{
	struct hk_slab *slab = hk_slab_guess(block);

	if (hk_likely((uintptr_t)block - slab->base < slab->slots * HK_SLOT_SIZE &&
		      hk_slab_valid(slab, block) && hk_marked(block)))
		return slab;
	slab = hk_run_find(block);
	if (!slab || slab->kind != HK_RUN_SLAB || !hk_slab_valid(slab, block) || !hk_marked(block))
		hk_bad_link(block);
	hk_slab_remember(slab, block);
	return slab;
}
