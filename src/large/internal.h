/* What the files of large/ share among themselves. */
#ifndef HK_LARGE_INTERNAL_H
#define HK_LARGE_INTERNAL_H

#include "large/large.h"
#include "os/os.h"
#include "pool/pool.h"

enum hk_large_state { HK_LARGE_GONE, HK_LARGE_LIVE, HK_LARGE_KEPT };

/*
 * A range of its own, at a multiple of 2 MiB. Fields of a live one belong to the
 * block's user, but that state is changed under the large lock; those of a kept one
 * are under that lock.
 *	prev, next	in a bucket of kept.c
 *	older, newer	among the kept ones
 */
struct hk_large {
	uintptr_t start;
	size_t mapped;			/* bytes */
	size_t wanted;			/* of them by the program; pages behind come
					 * only if it asks for the usable size */
	enum hk_large_state state;
	bool grew;			/* by realloc; then it is a vector */
	bool shrank, regrew;		/* by realloc too, the second after the first */
	bool huge;			/* advised to be huge pages; then never kept */
	bool guarded;			/* the last page is a guard; for a kept range
					 * pits stores this */
	uint64_t pits;			/* bit n set <=> the last page of granule n is a
					 * guard, to be removed before the range is used */
	struct hk_large *prev, *next, *older, *newer;
	struct hk_note note;
};

/* kept.c; large lock held. A descriptor, or NULL; immortal, used again. The second
 * is lock-free and called by anybody. */
struct hk_large *hk_large_node(void);
void hk_large_node_free(struct hk_large *b);

/* Whether a range of so many bytes that is freed now is kept; remembers that it
 * was not. */
bool hk_kept_decide(size_t mapped);

/* Keeps a range of whole granules; false: no memory to remember it by. */
bool hk_kept_add(struct hk_large *b);

/* A range of so many bytes that was kept, or NULL. */
struct hk_large *hk_kept_take(size_t mapped);

/* Grows b to so many bytes by the kept range behind it, if that suffices. */
bool hk_kept_extend(struct hk_large *b, size_t mapped);

/* A kept range that is to be unmapped, because it was not wanted for long or
 * too much is kept; or any one. NULL: none. */
struct hk_large *hk_kept_expire(bool all);

/* Can hk_kept_expire(false) find anything? No lock is needed. */
bool hk_kept_is_due(uint64_t now);

/*
 * guard.c, for a range that the caller owns, with no lock held. fits: the wanted bytes
 * are usable, and no guard has to be set or removed. fit: makes the range so, and sets a
 * guard if a page is left and one is due. lift: removes the guard. False from fit and
 * lift: the kernel did not remove a guard.
 */
bool hk_guard_fits(const struct hk_large *b);
bool hk_guard_fit(struct hk_large *b);
bool hk_guard_lift(struct hk_large *b);
void hk_guard_fresh(struct hk_large *b);

/* Moves the guard at the end from guarded to pits, or from pits to guarded. */
void hk_guard_to_pits(struct hk_large *b);
void hk_guard_from_pits(struct hk_large *b);

/* Joins a range with the adjacent one behind it, or cuts off the part from an offset on.
 * Pits are stored for the first 128 MiB only; can_join is false if there were some beyond. */
bool hk_guard_can_join(const struct hk_large *b, const struct hk_large *behind);
void hk_guard_join(struct hk_large *b, const struct hk_large *behind);
void hk_guard_cut(struct hk_large *b, size_t at, struct hk_large *behind);

HK_INLINE size_t hk_large_usable(const struct hk_large *b)
{
	return b->mapped - (b->guarded ? hk_page_size : 0);
}

void hk_mid_begin(struct hk_large_request *r);
bool hk_mid_finish(struct hk_large_request *r);
bool hk_mid_free(void *p);
size_t hk_mid_size(const void *p);
struct hk_note *hk_mid_note(const void *p);
bool hk_mid_resize(void *p, size_t size);

#endif
