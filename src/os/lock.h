/*
 * The locks of the library and their order. A thread takes a lock only while
 * every lock that it holds has a smaller rank; debug builds check it.
 * pthread mutexes neither allocate nor need a destructor, work in the child
 * of a fork when the forking thread held them, and race checkers know them.
 */
#ifndef HK_OS_LOCK_H
#define HK_OS_LOCK_H

#include "os/platform.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

/* From the outermost to the innermost. */
enum hk_rank {
	HK_RANK_REGISTRY,	/* threads being born and dying, fork */
	HK_RANK_ORPHAN,		/* the cache of threads that have none */
	HK_RANK_CACHE,		/* one thread's slow path; see cache/cache.h */
	HK_RANK_POOL,		/* SuperSlab lists */
	HK_RANK_LARGE,		/* Large and Huge blocks */
	HK_RANK_META,		/* memory for metadata */
	HK_RANK_PAGEMAP,	/* leaves of the page map */
	HK_RANK_COUNT
};

struct hk_lock {
	pthread_mutex_t mutex;
	enum hk_rank rank;
};

#ifdef PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP
#define HK_LOCK_INITIALIZER(r) { PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP, (r) }
#else
#define HK_LOCK_INITIALIZER(r) { PTHREAD_MUTEX_INITIALIZER, (r) }
#endif

#ifdef HK_DEBUG
/* Ranks held by this thread, one bit each; caches may be held several at a
 * time by fork alone, which takes them under the registry lock. */
extern HK_TLS unsigned hk_ranks_held;
HK_INLINE void hk_lock_note(struct hk_lock *lock)
{
	unsigned above = hk_ranks_held >> lock->rank;

	if (lock->rank == HK_RANK_CACHE && (hk_ranks_held & 1u << HK_RANK_REGISTRY))
		above &= ~1u;
	hk_assert(above == 0);
	hk_ranks_held |= 1u << lock->rank;
}
HK_INLINE void hk_unlock_note(struct hk_lock *lock)
{
	hk_ranks_held &= ~(1u << lock->rank);
}
#else
HK_INLINE void hk_lock_note(struct hk_lock *lock) { (void)lock; }
HK_INLINE void hk_unlock_note(struct hk_lock *lock) { (void)lock; }
#endif

/*
 * How threads get in each other's way, for tests/bench/contention: locks taken,
 * those that another thread held, and compare-and-swaps that had to be tried
 * again. Debug builds count, and builds with -DHK_COUNT_CONTENTION; relaxed.
 */
#if HK_DEBUG_BUILD && !defined HK_COUNT_CONTENTION
#define HK_COUNT_CONTENTION
#endif
struct hk_contention {
	_Atomic size_t taken[HK_RANK_COUNT], waited[HK_RANK_COUNT], retries;
};
extern struct hk_contention hk_contention;
extern const char *const hk_rank_name[HK_RANK_COUNT];

#ifdef HK_COUNT_CONTENTION
enum { HK_COUNTS_CONTENTION = 1 };
HK_INLINE void hk_mutex_lock(struct hk_lock *lock)
{
	atomic_fetch_add_explicit(&hk_contention.taken[lock->rank], 1, memory_order_relaxed);
	if (pthread_mutex_trylock(&lock->mutex) == 0)
		return;
	atomic_fetch_add_explicit(&hk_contention.waited[lock->rank], 1, memory_order_relaxed);
	pthread_mutex_lock(&lock->mutex);
}
HK_INLINE bool hk_swapped(bool done)
{
	atomic_fetch_add_explicit(&hk_contention.retries, !done, memory_order_relaxed);
	return done;
}
#else
enum { HK_COUNTS_CONTENTION = 0 };
HK_INLINE void hk_mutex_lock(struct hk_lock *lock)
{
	pthread_mutex_lock(&lock->mutex);
}
HK_INLINE bool hk_swapped(bool done)
{
	return done;
}
#endif

/* This thread forks and holds every lock: the program's fork handlers that run
 * meanwhile may use the heap all the same. */
extern HK_TLS bool hk_all_locked;

HK_INLINE void hk_lock(struct hk_lock *lock)
{
	if (hk_all_locked)
		return;
	hk_lock_note(lock);
	hk_mutex_lock(lock);
}

HK_INLINE void hk_unlock(struct hk_lock *lock)
{
	if (hk_all_locked)
		return;
	hk_unlock_note(lock);
	pthread_mutex_unlock(&lock->mutex);
}

#endif
