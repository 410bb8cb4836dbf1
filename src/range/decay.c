#include "range/decay.h"

#include "config/policy.h"

_Atomic size_t hk_purge_delay = HK_DELAY_MS;

bool hk_decay_is_idle(const struct hk_decay *d, uint64_t now, uint64_t period, size_t limit)
{
	uint64_t since = atomic_load_explicit(&d->idle_since, memory_order_relaxed);

	return since && !hk_elapsed(now, since, period) && hk_decay_waiting(d) <= limit;
}

size_t hk_decay_due(struct hk_decay *d, uint64_t now, uint64_t period, size_t limit)
{
	size_t waiting = hk_decay_waiting(d), excess = waiting > limit ? waiting - limit : 0, due;

	if (hk_elapsed(now, d->began, period)) {
		d->due = atomic_exchange_explicit(&d->least, waiting, memory_order_relaxed);
		d->began = now;
	}
	due = excess > d->due ? excess : d->due;
	atomic_store_explicit(&d->idle_since, due ? 0 : d->began, memory_order_relaxed);
	return due;
}

void hk_decay_release(struct hk_decay *d, size_t amount)
{
	d->due -= amount < d->due ? amount : d->due;
}
