/*
 * The locks of the library and their order. A thread takes a lock only while
 * every lock that it holds has a smaller rank; debug builds check it. No system
 * call that may take long, and no function of libc that another library may
 * wrap, is made with one held.
 *
 * A lock is one word that names its holder, so that a thread can ask whether it
 * holds the lock itself: a signal handler may have interrupted it there. See
 * "Futexes Are Tricky" (Drepper 2011), mutex 2, for the rest.
 */
#ifndef HK_OS_LOCK_H
#define HK_OS_LOCK_H

#include "os/platform.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* From the outermost to the innermost. */
enum hk_rank {
	HK_RANK_REGISTRY,	/* threads being born and dying, fork */
	HK_RANK_ORPHAN,		/* the cache of threads that have none */
	HK_RANK_CACHE,		/* one thread's slow path; see cache/cache.h */
	HK_RANK_POOL,		/* SuperSlab lists */
	HK_RANK_RANGES,		/* free ranges */
	HK_RANK_META,		/* memory for metadata */
	HK_RANK_COUNT
};

/*
 *	holder	hk_self() of the thread that holds it, HK_WAITED set if others
 *		may wait; 0: free
 *	by_fork	the holder's: taken by its fork, a number for a fork in a signal handler
 *		during another; 0: by what forks interrupt
 *	parked	the holder is in a signal handler that forks: other forks do not wait
 *		(relaxed)
 */
struct hk_lock {
	_Atomic uintptr_t holder;
	enum hk_rank rank;
	uint8_t by_fork;
	_Atomic bool parked;
};
enum { HK_WAITED = 1 };
#define HK_LOCK_INITIALIZER(r) { 0, (r), 0, false }

/* How many forks of this thread hold every lock, one in a signal handler during
 * another: the program's fork handlers may use the heap all the same. Its
 * address stands for the thread. */
extern HK_TLS uint16_t hk_all_locked;

HK_INLINE uintptr_t hk_self(void)
{
	return (uintptr_t)&hk_all_locked;
}

HK_INLINE bool hk_lock_mine(struct hk_lock *lock)
{
	return (atomic_load_explicit(&lock->holder, memory_order_relaxed) &
		~(uintptr_t)HK_WAITED) == hk_self();
}

#ifdef HK_DEBUG
/* Ranks held by this thread, one bit each; caches may be held several at a
 * time by fork alone, which takes them under the registry lock. */
extern HK_TLS uint16_t hk_ranks_held;
HK_INLINE void hk_lock_note(const struct hk_lock *lock)
{
	unsigned above = (unsigned)hk_ranks_held >> lock->rank;

	if (lock->rank == HK_RANK_CACHE && (hk_ranks_held & (1u << HK_RANK_REGISTRY | 1u << HK_RANK_ORPHAN)))
		above &= ~1u;
	hk_assert(above == 0);
	hk_ranks_held = (uint16_t)(hk_ranks_held | 1u << lock->rank);
}
HK_INLINE void hk_unlock_note(const struct hk_lock *lock)
{
	hk_ranks_held = (uint16_t)(hk_ranks_held & ~(1u << lock->rank));
}
/* Before what may take long. */
HK_INLINE void hk_assert_unlocked(void)
{
	hk_assert(hk_ranks_held == 0);
}
#else
HK_INLINE void hk_lock_note(const struct hk_lock *lock) { (void)lock; }
HK_INLINE void hk_unlock_note(const struct hk_lock *lock) { (void)lock; }
HK_INLINE void hk_assert_unlocked(void) { }
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
#else
enum { HK_COUNTS_CONTENTION = 0 };
#endif
HK_INLINE void hk_count_contention(_Atomic size_t *count, size_t n)
{
	if (HK_COUNTS_CONTENTION)
		atomic_fetch_add_explicit(count, n, memory_order_relaxed);
}
HK_INLINE bool hk_swapped(bool done)
{
	hk_count_contention(&hk_contention.retries, !done);
	return done;
}

/* Takes the lock if it is free. */
HK_INLINE bool hk_lock_try(struct hk_lock *lock)
{
	uintptr_t nobody = 0;

	if (!atomic_compare_exchange_strong_explicit(&lock->holder, &nobody, hk_self(),
			memory_order_acquire, memory_order_relaxed))
		return false;
	hk_lock_note(lock);
	hk_count_contention(&hk_contention.taken[lock->rank], 1);
	return true;
}

/*
 * Waits for it as long as it can become free: false where another thread's fork holds all locks
 * for long, or where this is a child without the thread that would release it, whose
 * fork interrupted the caller. HK_A_WHILE is for whoever can do without the heap,
 * HK_LONG for the steps of an operation that has begun.
 */
enum hk_patience { HK_A_WHILE, HK_LONG };
bool hk_lock_wait(struct hk_lock *lock, enum hk_patience patience);

HK_INLINE bool hk_lock(struct hk_lock *lock)
{
	return hk_all_locked || hk_lock_try(lock) || hk_lock_wait(lock, HK_LONG);
}

HK_INLINE bool hk_lock_or_leave(struct hk_lock *lock)
{
	return hk_all_locked || hk_lock_try(lock) || hk_lock_wait(lock, HK_A_WHILE);
}

void hk_lock_wake(struct hk_lock *lock);

HK_INLINE void hk_unlock(struct hk_lock *lock)
{
	if (hk_all_locked)
		return;
	hk_unlock_note(lock);
	if (atomic_exchange_explicit(&lock->holder, 0, memory_order_release) & HK_WAITED)
		hk_lock_wake(lock);
}

/*
 * For fork, which takes locks whatever it interrupted: no rank is checked, and
 * hk_all_locked does not matter. number: of the fork, from 1 up. A lock that is this
 * thread's already is left alone. patient: for seconds, if need be.
 */
void hk_lock_for_fork(struct hk_lock *lock, uint8_t number, bool patient);
void hk_unlock_for_fork(struct hk_lock *lock, uint8_t number);

/*
 * The thread whose fork holds all locks, 0: none. And whether the heap is closed in
 * this child: until this thread, which a signal handler interrupted inside the heap,
 * goes on there; or for good, because the fork found a lock held by a thread that the
 * child lacks. 0: it is open.
 */
extern _Atomic uintptr_t hk_forking, hk_heap_closed;
enum { HK_CLOSED_FOR_GOOD = 1 };

#endif
