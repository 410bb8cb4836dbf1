/* What the files of cache/ share among themselves, from the bottom to the top: each calls
 * those before it, but thread.c and fork.c each other. */
#ifndef HK_CACHE_INTERNAL_H
#define HK_CACHE_INTERNAL_H

#include "cache/cache.h"

/*
 * enter.c
 */

/* Of hk_caches, the caches without a thread, and what starts once; of hk_orphan. */
extern struct hk_lock hk_registry_lock HK_HIDDEN;
extern struct hk_lock hk_orphan_lock HK_HIDDEN;

/* Those with a thread, by among_live; registry lock. */
extern struct hk_list hk_live_caches;

/* The caches of a list by among_live: the first one, and the next one, or NULL. */
HK_INLINE struct hk_cache *hk_live_cache(struct hk_link *link)
{
	return link ? hk_holder(link, struct hk_cache, among_live) : NULL;
}

/* This cache, any thread's, locked; false: not now. hk_leave leaves it. */
bool hk_enter_cache(struct hk_cache *cache);
/* The cache that this thread has, or the shared one; NULL: not now. */
struct hk_cache *hk_enter_own(void);

/* Leaves the cache that this thread is in, if any: a SIGABRT handler may
 * allocate, and fork. */
void hk_leave_to_abort(void);

/* The cache of this thread, inside or not; NULL: none. */
struct hk_cache *hk_own_cache(void);

/* Registry lock held: a cache without a thread, or NULL; for one thread, its lists at
 * rest; and of those with a thread no more. */
struct hk_cache *hk_spare_cache(void);
void hk_enlist(struct hk_cache *cache, bool fresh);
void hk_unlist_live(struct hk_cache *cache);
/* No lock held: the cache has no thread any more. */
void hk_retire(struct hk_cache *cache);

/*
 * abort.c, check.c
 */

/* Stops the program: p was found in a list of free blocks, but is not one. */
_Noreturn void hk_bad_link(const void *p);
/* The slab of a block that was found in a list of free blocks: stops the program if it
 * is in no slab or has no mark. */
struct hk_slab *hk_slab_of_freed(const struct hk_block *block);

/*
 * bin.c; lock held.
 */

/* The first block of a list, or NULL; stops the program if it is not a free block. */
void *hk_bin_take(struct hk_bin *bin);

/* Lists a slab that the cache owns now; moves it once it can give no block, or
 * has blocks again. */
void hk_own_slab(struct hk_cache *cache, struct hk_slab *slab);
void hk_slab_exhausts(struct hk_cache *cache, struct hk_slab *slab);
void hk_slab_moves(struct hk_cache *cache, struct hk_slab *slab);

/* Returns the empty slabs of a class, or of all, to the pool. */
void hk_bin_release_empty(struct hk_bin *bin);
void hk_release_empty(struct hk_cache *cache);

HK_INLINE void hk_sparse_tell(void)
{
	if (!atomic_load_explicit(&hk_sparse_waits, memory_order_relaxed))
		atomic_store_explicit(&hk_sparse_waits, true, memory_order_relaxed);
}

/* Blocks of an owned slab came back, or went out: is it sparse? */
void hk_sparse_freed(struct hk_cache *cache, struct hk_slab *slab, unsigned blocks);
void hk_sparse_wanted(struct hk_cache *cache, struct hk_slab *slab, unsigned blocks);
/* Is there too much in sparse slabs for a program that releases as it frees? */
bool hk_sparse_excess(const struct hk_cache *cache);

/* Cuts a list after so many blocks; returns the rest. */
struct hk_block *hk_list_cut(struct hk_bin *bin, int32_t keep);
/* The hottest blocks, so many, stay; the others go into their slabs. */
void hk_flush(struct hk_cache *cache, struct hk_bin *bin, int32_t keep);
/* Puts the blocks of a chain back; returns how many. */
int32_t hk_put_chain(struct hk_cache *cache, struct hk_bin *bin, struct hk_block *chain);
/* Puts a freed block into its slab, which this cache owns: put_block does only that and
 * stops the program if the block is there already; put_back also lists the slab again
 * if that is due. */
void hk_put_block(struct hk_slab *slab, void *block);
void hk_put_back(struct hk_cache *cache, struct hk_slab *slab, void *block);

/*
 * limits.c
 */

/* Of new caches, from the settings. */
void hk_limits_find(void);
/* The lists of a cache, or an empty one, start anew from them. */
void hk_cache_limit(struct hk_cache *cache);
void hk_lists_restart(struct hk_cache *cache);
/* Doubles the capacity. False: the limit of the list, or of all lists, is reached. */
bool hk_bin_grow(struct hk_cache *cache, struct hk_bin *bin);
/* The capacity of an empty list becomes what it was at its start. */
void hk_bin_shorten(struct hk_cache *cache, struct hk_bin *bin);

/*
 * spill.c; lock held, by any thread but for the first two.
 */

/* Sets aside or flushes all but what hk_list_keep says. */
void hk_spill(struct hk_cache *cache, struct hk_bin *bin);
/* An empty list gets what was set aside last. False: nothing was. */
bool hk_unspill(struct hk_cache *cache, struct hk_bin *bin);
/* Puts chains back into their slabs; the first one returns how many of those
 * allowed are left. */
unsigned hk_drain(struct hk_cache *cache, unsigned class, unsigned chains);
void hk_drain_all(struct hk_cache *cache);
void hk_drain_some(struct hk_cache *cache);

/*
 * remote.c
 */

void hk_remote_free(struct hk_cache *cache, struct hk_slab *slab, void *block);
/* The same without the lock, if p is a sound block of another thread and no
 * slab has to be adopted. False: nothing was done. */
bool hk_remote_append(struct hk_cache *cache, void *p);
void hk_deliver_all(struct hk_cache *cache);
/* Empties mailbox and inbox, or until a wanted bin has a batch; both caches are
 * locked. by: the cache to act with, the same one but when another thread than
 * the owner does it. */
void hk_receive(struct hk_cache *cache, struct hk_cache *by, const struct hk_bin *wanted);
void hk_mailbox_close(struct hk_cache *cache);

/*
 * sparse.c
 */

/* Lock held. Begins to purge the next slab of those that waited long enough; pages is 0
 * in it if some were looked at and none is worth it. False: there is none. */
bool hk_sparse_begin(struct hk_cache *cache, uint64_t now, struct hk_slab_purge *purge);
/* From now on every slab is due that can give a page. */
void hk_sparse_all(struct hk_cache *cache);
/* No lock held: does it; returns the bytes. */
size_t hk_sparse_purge(struct hk_slab_purge *purge);

/*
 * refill.c; lock held.
 */

/* An empty list gets blocks of a slab; false: there is none, and if fresh is false none in
 * memory that was in use before. *zero, if asked for, gets true if all of them read as
 * zero behind the part that free blocks use. */
bool hk_refill(struct hk_cache *cache, struct hk_bin *bin, bool fresh, bool *zero);
/* A slab of a new run, for the class that had none. */
void hk_add_slab(struct hk_cache *cache, unsigned class, const struct hk_run *run);

/*
 * reclaim.c
 */

/* Lock held: the rungs of this cache; due gets the reason, for hk_reclaim_rest. */
void hk_reclaim_held(struct hk_cache *cache, enum hk_reclaim_reason reason);
/* No lock held: the other rungs of these reasons, a bit for each. */
void hk_reclaim_rest(unsigned reasons);

struct hk_range;
size_t hk_unmap_ranges(struct hk_range *ranges);
/* Lock held: gives the slabs of a cache, whose lists are empty, other owners. */
void hk_abandon_slabs(struct hk_cache *cache);
/* No lock held: adopts what the parent's threads left to this child of a fork. */
void hk_adopt_lost(void);

/*
 * fork.c. The second one: in a child that ran no fork handlers.
 */
void hk_fork_watch(void);
void hk_fork_unseen(void);
/* Caches of the parent's threads that this child has not adopted yet; relaxed. */
extern _Atomic unsigned hk_lost_caches;

/* walk.c; lock held, by the owner: aborts where an invariant of the class's
 * bin does not hold. */
void hk_cache_walk(const struct hk_cache *cache, unsigned class);

#endif
