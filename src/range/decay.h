/*
 * How much of the free memory that waits for another use is due for release. The least
 * that waited at any moment of a period was not needed in that period, so that much is due
 * in the next one. What exceeds a limit is due at once. This is a function of its counts:
 * it reads no clock, takes no lock, and does not know in which unit its caller counts.
 */
#ifndef HK_RANGE_DECAY_H
#define HK_RANGE_DECAY_H

#include "os/os.h"

/*
 *	waiting		changed by any thread
 *	least		the least that waited since the period began
 *	due		still to be released of what the last period did not need
 *	began		when the period began, in milliseconds
 *	idle_until	before this time nothing is due, unless too much waits
 * The atomic members are relaxed; the others are protected by a lock of the caller.
 */
struct hk_decay {
	_Atomic size_t waiting, least;
	size_t due;
	uint64_t began;
	_Atomic uint64_t idle_until;
};

/* The length of a period in milliseconds, for all free memory: slots, the free pages of
 * slabs, and ranges. It is a setting, which MEM learning changes. */
extern _Atomic size_t hk_purge_delay;

HK_INLINE uint64_t hk_decay_period(void)
{
	return atomic_load_explicit(&hk_purge_delay, memory_order_relaxed);
}

HK_INLINE size_t hk_decay_waiting(const struct hk_decay *d)
{
	return atomic_load_explicit(&d->waiting, memory_order_relaxed);
}

HK_INLINE void hk_decay_add(struct hk_decay *d, size_t amount)
{
	atomic_fetch_add_explicit(&d->waiting, amount, memory_order_relaxed);
}

/* So much was used again, or released. */
HK_INLINE void hk_decay_subtract(struct hk_decay *d, size_t amount)
{
	hk_lower(&d->least, atomic_fetch_sub_explicit(&d->waiting, amount, memory_order_relaxed) -
			    amount);
}

/* hk_decay_due would return 0, as far as can be told without the lock. */
bool hk_decay_is_idle(const struct hk_decay *d, uint64_t now, size_t limit);

/* How much to release now, with a limit of what may wait. */
size_t hk_decay_due(struct hk_decay *d, uint64_t now, uint64_t period, size_t limit);

/* So much of that is being released; more than was due if only larger pieces can be. */
void hk_decay_release(struct hk_decay *d, size_t amount);

#endif
