/*
 * Computes how much of the free memory that waits for another use is due for release. The
 * least amount that waited at any moment of a period was not needed in that period, so that
 * amount is due in the next one. An amount above a limit is due at once. The result depends
 * only on the arguments and counts: no clock is read, no lock is taken, and the unit is
 * chosen by the caller.
 */
#ifndef HK_RANGE_DECAY_H
#define HK_RANGE_DECAY_H

#include "config/policy.h"
#include "os/os.h"

/*
 *	waiting		the amount that waits; changed by any thread
 *	least		the least amount that has waited since the period began
 *	due		the amount that the last period did not need and that is not
 *			yet released
 *	began		when the period began, in milliseconds
 *	idle_since	nothing is due for a period after this time, unless more than
 *			the limit waits; 0: something may be due
 * The atomic members are relaxed; a lock of the caller protects the others.
 */
struct hk_decay {
	_Atomic size_t waiting, least;
	size_t due;
	uint64_t began;
	_Atomic uint64_t idle_since;
};

/* The purge delay: the length of a period in milliseconds, for all free memory (slots, free
 * pages of slabs, ranges). Its initial value is a setting; MEM learning changes it. */
extern _Atomic size_t hk_purge_delay;

HK_INLINE uint64_t hk_decay_period(void)
{
	size_t delay = atomic_load_explicit(&hk_purge_delay, memory_order_relaxed);

	return delay > HK_PRESSED_DELAY_MS && atomic_load_explicit(&hk_os_pressed, memory_order_relaxed) ?
	       HK_PRESSED_DELAY_MS : delay;
}

HK_INLINE size_t hk_decay_waiting(const struct hk_decay *d)
{
	return atomic_load_explicit(&d->waiting, memory_order_relaxed);
}

HK_INLINE void hk_decay_add(struct hk_decay *d, size_t amount)
{
	atomic_fetch_add_explicit(&d->waiting, amount, memory_order_relaxed);
}

/* The amount was used again or released. */
HK_INLINE void hk_decay_subtract(struct hk_decay *d, size_t amount)
{
	hk_lower(&d->least, atomic_fetch_sub_explicit(&d->waiting, amount, memory_order_relaxed) -
			    amount);
}

/* This much more is due at once. With the lock. */
HK_INLINE void hk_decay_expire(struct hk_decay *d, size_t amount)
{
	d->due += amount;
}

/* True if hk_decay_due would return 0, as far as is known without the lock. */
bool hk_decay_is_idle(const struct hk_decay *d, uint64_t now, uint64_t period, size_t limit);

/* The amount to release now; limit: the amount that may wait. */
size_t hk_decay_due(struct hk_decay *d, uint64_t now, uint64_t period, size_t limit);

/* The amount is being released. It may exceed what was due, because a piece of memory may
 * be larger. */
void hk_decay_release(struct hk_decay *d, size_t amount);

#endif
