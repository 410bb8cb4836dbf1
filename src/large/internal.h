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
	bool guarded;			/* the last page is a guard, not the program's; of
					 * a kept one pits says it */
	uint64_t pits;			/* bit n set <=> the last page of granule n is one,
					 * and must not be when it is used */
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

/* hk_kept_expire(false) finds nothing before this time, ms, unless ranges are
 * freed; changed under the lock, read without (relaxed). */
extern _Atomic uint64_t hk_kept_calm_until;

/*
 * guard.c, of a range that is the caller's, with no lock held. Fits: as many bytes
 * as wanted can be used, and a guard follows if a page is left and it is time for
 * one. False: there are guards that the kernel does not remove. Lift: it has no guard
 * any more.
 */
bool hk_guard_fits(const struct hk_large *b);
bool hk_guard_fit(struct hk_large *b);
bool hk_guard_lift(struct hk_large *b);
void hk_guard_fresh(struct hk_large *b);

/* The guard of its end is one of the pits, or the other way round. */
void hk_guard_to_pits(struct hk_large *b);
void hk_guard_from_pits(struct hk_large *b);

/* What lies just behind it joins it, or what lies from there on is cut off. Pits are
 * known of the first 128 MiB; false: there are some beyond. */
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
