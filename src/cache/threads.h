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

/* thread.c: hk_enter for the orphan. */
struct hk_cache *hk_enter_orphan(void);
/* Lock held: all that the lists hold goes back; the slabs get other owners. */
void hk_flush_all(struct hk_cache *cache);
void hk_abandon_slabs(struct hk_cache *cache);
/* No lock held: the cache has no thread any more. */
void hk_retire(struct hk_cache *cache);

/* limits.c: of new caches, from the settings. */
void hk_limits_find(void);
/* The lists of a cache, or an empty one, start anew from them. */
void hk_cache_limit(struct hk_cache *cache);
void hk_bin_restart(struct hk_bin *bin, unsigned class);

/* fork.c */
void hk_fork_watch(void);

/* visit.c: leaves what this thread visits, if anything. */
void hk_leave_visits(void);

#endif
