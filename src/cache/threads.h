/* What the files of a thread's life share: thread.c, limits.c, fork.c, visit.c. */
#ifndef HK_CACHE_THREADS_H
#define HK_CACHE_THREADS_H

#include "cache/cache.h"

/* Of hk_caches, the caches without a thread, and what starts once. */
extern struct hk_lock hk_registry_lock HK_HIDDEN;

/*
 * The cache of threads that have none: after their teardown, or when there is
 * no memory for one. Its lists are used under its own lock, taken before the
 * cache lock.
 */
extern struct hk_cache hk_orphan HK_HIDDEN;
extern struct hk_lock hk_orphan_lock HK_HIDDEN;

/* Those with a thread, by among_live; registry lock. */
extern struct hk_list hk_live_caches;

/* The caches of a list by among_live: the first one, and the next one, or NULL. */
HK_INLINE struct hk_cache *hk_live_cache(struct hk_link *link)
{
	return link ? hk_holder(link, struct hk_cache, among_live) : NULL;
}

/* Of those no more. */
void hk_unlist_live(struct hk_cache *cache);

/* Caches of the parent's threads that this child has not adopted yet; relaxed. */
extern _Atomic unsigned hk_lost_caches;

/* thread.c: hk_enter for this cache, any thread's. hk_leave leaves it. */
bool hk_enter_cache(struct hk_cache *cache);
/* Lock held: puts all that the lists hold into slabs; gives the slabs other owners. */
void hk_flush_all(struct hk_cache *cache);
void hk_abandon_slabs(struct hk_cache *cache);
/* No lock held: the cache has no thread any more. */
void hk_retire(struct hk_cache *cache);

/* The cache of this thread, inside or not; NULL: none. */
struct hk_cache *hk_own_cache(void);

/* limits.c: of new caches, from the settings. */
void hk_limits_find(void);
/* The lists of a cache, or an empty one, start anew from them. */
void hk_cache_limit(struct hk_cache *cache);
void hk_lists_restart(struct hk_cache *cache);

/* fork.c. The second one: in a child that ran no fork handlers. */
void hk_fork_watch(void);
void hk_fork_unseen(void);

/* release.c, no lock held. SuperSlabs, kept ranges, and slabs of a cache with free
 * pages that have waited long enough, or, if all, that have not; the bytes. */
size_t hk_release_superslabs(uint64_t now, bool all);
size_t hk_release_ranges(uint64_t now, bool all);
struct hk_large;
size_t hk_unmap_ranges(struct hk_large *ranges);
size_t hk_release_sparse(struct hk_cache *cache, uint64_t now, unsigned most);

/* visit.c: adopts what the parent's threads left to this child of a fork. */
void hk_adopt_lost(void);

#endif
