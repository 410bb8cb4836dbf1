#include "os/lock.h"

#include "os/os.h"

HK_TLS struct hk_forks hk_forks;
_Atomic uintptr_t hk_forking, hk_heap_closed;

#ifdef HK_DEBUG
HK_TLS uint16_t hk_ranks_held;
#endif

struct hk_contention hk_contention;
const char *const hk_rank_name[HK_RANK_COUNT] = {
	[HK_RANK_REGISTRY] = "registry", [HK_RANK_ORPHAN] = "orphan", [HK_RANK_CACHE] = "cache",
	[HK_RANK_POOL] = "pool", [HK_RANK_RANGES] = "ranges", [HK_RANK_META] = "meta",
};

/*
 * SPINS: as long as a critical section usually takes. PATIENCE_MS: longer than a fork takes,
 * unless the fork waits for a lock of libc that this thread holds. PATIENCE: so many times
 * that long, because the holder may be in a signal handler. FORK_TRIES: how many milliseconds
 * a fork waits for a holder that may not be scheduled, or may be in a signal handler.
 */
enum { SPINS = 100, PATIENCE_MS = 10, PATIENCE = 100, FORK_TRIES = 2000, FORK_TRIES_INSIDE = 10 };

/* A futex compares 32 bits: the half that contains HK_WAITED. */
static _Atomic uint32_t *low_half(struct hk_lock *lock)
{
	_Atomic uint32_t *half = (_Atomic uint32_t *)(void *)&lock->holder;

	return half + (sizeof(uintptr_t) == 8 && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
}

static bool spin(struct hk_lock *lock)
{
	unsigned i;

	for (i = 0; i < SPINS; i++) {
		uintptr_t nobody = 0;

		if (!atomic_load_explicit(&lock->holder, memory_order_relaxed) &&
		    atomic_compare_exchange_weak_explicit(&lock->holder, &nobody, hk_self(),
				memory_order_acquire, memory_order_relaxed))
			return true;
		HK_PAUSE();
	}
	return false;
}

static bool is_hopeless(enum hk_patience patience, unsigned sleeps)
{
	if (patience == HK_A_WHILE)
		return atomic_load(&hk_heap_closed) || sleeps == PATIENCE ||
		       (sleeps && atomic_load(&hk_forking));
	return atomic_load(&hk_heap_closed) == HK_CLOSED_FOR_GOOD ||
	       (sleeps >= PATIENCE && atomic_load(&hk_forking));
}

static bool wait(struct hk_lock *lock, enum hk_patience patience)
{
	unsigned sleeps = 0;

	hk_count_contention(&hk_contention.waited[lock->rank], 1);
	if (spin(lock))
		return true;
	/* From here on the lock is taken with HK_WAITED, because other threads may be waiting
	 * too. Each sleep is short: a signal handler may have interrupted the holder between
	 * the release and the wake-up. */
	for (;;) {
		uintptr_t now = 0;

		if (atomic_compare_exchange_strong_explicit(&lock->holder, &now,
				hk_self() | HK_WAITED, memory_order_acquire, memory_order_relaxed))
			return true;
		if (!(now & HK_WAITED) && !atomic_compare_exchange_strong_explicit(&lock->holder,
				&now, now | HK_WAITED, memory_order_relaxed, memory_order_relaxed))
			continue;
		if (is_hopeless(patience, sleeps))
			return false;
		hk_os_wait(low_half(lock), (uint32_t)(now | HK_WAITED), PATIENCE_MS);
		sleeps++;
	}
}

HK_COLD bool hk_lock_wait(struct hk_lock *lock, enum hk_patience patience)
{
	hk_lock_note(lock);
	if (!wait(lock, patience)) {
		hk_unlock_note(lock);
		return false;
	}
	hk_count_contention(&hk_contention.taken[lock->rank], 1);
	return true;
}

void hk_lock_for_fork(struct hk_lock *lock, uint8_t number, bool patient)
{
	unsigned n, most = patient ? FORK_TRIES : FORK_TRIES_INSIDE;

	for (n = 0; !hk_lock_mine(lock) && n < most; n++) {
		uintptr_t now = 0;

		if (atomic_load_explicit(&lock->parked, memory_order_relaxed))
			return;

		if (atomic_compare_exchange_strong_explicit(&lock->holder, &now,
				hk_self() | HK_WAITED, memory_order_acquire, memory_order_relaxed)) {
			lock->by_fork = number;
			return;
		}
		if ((now & HK_WAITED) || atomic_compare_exchange_strong_explicit(&lock->holder,
				&now, now | HK_WAITED, memory_order_relaxed, memory_order_relaxed))
			hk_os_wait(low_half(lock), (uint32_t)(now | HK_WAITED), 1);
	}
}

void hk_unlock_for_fork(struct hk_lock *lock, uint8_t number)
{
	if (!hk_lock_mine(lock) || lock->by_fork != number)
		return;
	lock->by_fork = 0;
	if (atomic_exchange_explicit(&lock->holder, 0, memory_order_release) & HK_WAITED)
		hk_lock_wake(lock);
}

void hk_lock_wake(struct hk_lock *lock)
{
	hk_os_wake(low_half(lock));
}
