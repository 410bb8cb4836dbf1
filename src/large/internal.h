/* Declarations shared by the files of large/. */
#ifndef HK_LARGE_INTERNAL_H
#define HK_LARGE_INTERNAL_H

#include "large/large.h"
#include "os/os.h"
#include "pool/pool.h"
#include "range/range.h"

/* A Large or Huge block. The user of the block owns all members except the state of the
 * range. */
struct hk_large {
	struct hk_range range;
	size_t wanted;			/* bytes that the program requested; it may use more
					 * only after it asks for the usable size */
	bool grew;			/* by realloc, so it is probably a vector */
	bool shrank, regrew;		/* by realloc; regrew: after it shrank */
	bool populated;			/* pages may exist that the program did not touch */
	struct hk_note note;
	uintptr_t former;		/* the start of the last range with this descriptor: a fitted
					 * block is mapped there, so that addresses are reused */
};
_Static_assert(sizeof(struct hk_large) <= HK_RANGE_DESCRIPTOR, "it fits");

/*
 * guard.c, for a range that the caller owns; no lock held.
 *	fits	the wanted bytes are usable, and no guard has to be set or removed
 *	fit	makes the wanted bytes usable, and sets a guard if a page is left and a
 *		guard is due; false: the kernel did not remove a guard
 *	fresh	sets a guard in a new range if a page is left
 */
bool hk_guard_fits(const struct hk_large *b);
bool hk_guard_fit(struct hk_large *b);
void hk_guard_fresh(struct hk_large *b);

/*
 * dense.c, no lock held. populate: a new range gets its pages at once if the program writes
 * to all of its blocks. freeing: the block is about to be freed; reused: its range will be
 * kept for reuse. forget: the block may become shorter, and what is behind it may belong to
 * the program.
 */
void hk_dense_populate(struct hk_large *b);
void hk_dense_freeing(const struct hk_large *b, bool reused);
void hk_dense_forget(const void *block);

HK_INLINE size_t hk_large_usable(const struct hk_large *b)
{
	return b->range.mapped - (b->range.guarded ? hk_page_size : 0);
}

/* fitted: if no SuperSlab that is in use has room, r->mid becomes false, and the block is to get a
 * mapping of its own. */
void hk_mid_begin(struct hk_large_request *r, bool fitted);
bool hk_mid_finish(struct hk_large_request *r);
bool hk_mid_free(void *p);
size_t hk_mid_size(const void *p);
struct hk_note *hk_mid_note(const void *p);
bool hk_mid_resize(void *p, size_t size);

#endif
