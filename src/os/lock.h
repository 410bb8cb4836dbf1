/*
 * The locks of the library and their order. A thread takes a lock only if each lock that it
 * holds has a smaller rank; debug builds check that. While a thread holds a lock, it makes no
 * system call that may take long, and calls no libc function that another library may wrap.
 *
 * A lock is one word, which stores its holder. So a signal handler can tell that it
 * interrupted the holder. The rest is mutex 2 of "Futexes Are Tricky" (Drepper 2011).
 */
#ifndef HK_OS_LOCK_H
#define HK_OS_LOCK_H

#include "os/platform.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* From the outermost to the innermost. */
enum hk_rank {
	HK_RANK_REGISTRY,	/* start and end of threads, fork */
	HK_RANK_ORPHAN,		/* the shared cache, of threads without one */
	HK_RANK_CACHE,		/* one thread's slow path; see cache/cache.h */
	HK_RANK_POOL,		/* SuperSlab lists */
	HK_RANK_RANGES,		/* free ranges */
	HK_RANK_META,		/* memory for metadata */
	HK_RANK_COUNT
};

/*
 *	holder	hk_self() of the thread that holds the lock, with HK_WAITED set if others
 *		may be waiting; 0: free
 *	by_fork	written by the holder: the number of its fork that took the lock (more than 1
 *		for a fork in a signal handler during another fork); 0: not taken by a fork
 *	parked	the holder is in a signal handler that forks: other forks do not wait for it
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

/*
 * This thread's forks in progress. A signal handler may fork during a fork. The address of
 * this variable identifies the thread, and is even: see HK_WAITED.
 *	depth		how many there are
 *	all_locked	those that hold every lock, a bit for each depth. While it is not 0, the
 *			program's fork handlers can use the heap without taking locks
 */
struct hk_forks {
	_Alignas(2) uint8_t depth;
	uint8_t all_locked;
};
extern HK_TLS struct hk_forks hk_forks;

HK_INLINE uintptr_t hk_self(void)
{
	return (uintptr_t)&hk_forks;
}

/* In the child of a fork: *thread is hk_self() of the only thread that exists there, of another
 * one, which is then removed, or 0. A store copies the page, so it is avoided. */
HK_INLINE void hk_forget_lost(_Atomic uintptr_t *thread)
{
	uintptr_t now = atomic_load(thread);

	if (now && now != hk_self())
		atomic_store(thread, 0);
}

/* Does any thread hold the lock? The answer may be out of date when the caller gets it. */
HK_INLINE bool hk_lock_held(struct hk_lock *lock)
{
	return atomic_load_explicit(&lock->holder, memory_order_relaxed) != 0;
}

HK_INLINE bool hk_lock_mine(struct hk_lock *lock)
{
	return (atomic_load_explicit(&lock->holder, memory_order_relaxed) &
		~(uintptr_t)HK_WAITED) == hk_self();
}

#ifdef HK_DEBUG
/* The ranks that this thread holds, one bit each. Only fork holds several caches at a time;
 * it takes them under the registry lock. */
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
/* Called before anything that may take long. */
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
 * Contention, for tests/bench/contention: locks taken, locks that another thread held, and
 * compare-and-swap operations that had to be repeated. Counted in debug builds and with
 * -DHK_COUNT_CONTENTION; relaxed.
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
 * Waits for the lock as long as it can become free. False: another thread's fork has held all
 * locks for long, or this is the child of a fork that interrupted the caller, and the thread
 * that would release the lock does not exist in it. HK_A_WHILE is for callers that can do
 * without the heap, HK_LONG for the steps of an operation that has begun.
 */
enum hk_patience { HK_A_WHILE, HK_LONG };
bool hk_lock_wait(struct hk_lock *lock, enum hk_patience patience);

HK_INLINE bool hk_lock(struct hk_lock *lock)
{
	return hk_forks.all_locked || hk_lock_try(lock) || hk_lock_wait(lock, HK_LONG);
}

HK_INLINE bool hk_lock_or_leave(struct hk_lock *lock)
{
	return hk_forks.all_locked || hk_lock_try(lock) || hk_lock_wait(lock, HK_A_WHILE);
}

void hk_lock_wake(struct hk_lock *lock);

HK_INLINE void hk_unlock(struct hk_lock *lock)
{
	if (hk_forks.all_locked)
		return;
	hk_unlock_note(lock);
	if (atomic_exchange_explicit(&lock->holder, 0, memory_order_release) & HK_WAITED)
		hk_lock_wake(lock);
}

/*
 * For fork, which takes locks regardless of what it interrupted: ranks and hk_forks are
 * ignored. number: of the fork, from 1 on. A lock that this thread holds already is skipped.
 * patient: waits for seconds if necessary.
 */
void hk_lock_for_fork(struct hk_lock *lock, uint8_t number, bool patient);
void hk_unlock_for_fork(struct hk_lock *lock, uint8_t number);

/*
 * hk_forking: the thread whose fork holds all locks, or 0. hk_heap_closed: 0 if the heap can
 * be used. In a child it may be closed until this thread, which a signal handler interrupted
 * inside the heap, has continued there; or for good, because a thread that does not exist in
 * the child held a lock during the fork.
 */
extern _Atomic uintptr_t hk_forking, hk_heap_closed;
enum { HK_CLOSED_FOR_GOOD = 1 };

#endif
