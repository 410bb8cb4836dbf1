#include "pool/eager.h"

#include "os/os.h"
#include "pool/pool.h"

_Atomic bool hk_eager;

/* Protected by the pool lock, except doublings (relaxed). */
static struct {
	_Atomic unsigned doublings;	/* doublings of what may wait */
	uint64_t began;			/* start of the period, ms */
	size_t released, needed;	/* totals at the start of the period */
	size_t last_released;		/* in the previous period */
	size_t seen_released, seen_needed;	/* totals when they were last read */
	size_t out, back;		/* in the period: released and not needed since;
					 * needed after its release */
} eager;

static unsigned doublings(void)
{
	return atomic_load_explicit(&eager.doublings, memory_order_relaxed);
}

size_t hk_eager_bytes(unsigned eighths)
{
	size_t mapped = atomic_load_explicit(&hk_os_mapped, memory_order_relaxed);
	size_t untouched = hk_pool_mapped();
	size_t touched = hk_pool_touched() * HK_SLOT_SIZE, share;

	untouched = untouched > touched ? untouched - touched : 0;
	share = (mapped > untouched ? mapped - untouched : 0) / HK_EAGER_SHARE;
	return (share > HK_EAGER_LEAST ? share : HK_EAGER_LEAST) / HK_EAGER_PARTS * eighths << doublings();
}

bool hk_eager_thorough(void)
{
	return doublings() == 0;
}

static size_t load(_Atomic size_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

size_t hk_eager_released(void)
{
	return load(&hk_os_unmapped) + load(&hk_pool_counters.purged_bytes) + load(&hk_hole_purged_bytes);
}

/* Bytes of pages that came into use so far: in slots, in holes, and in mappings other than
 * SuperSlabs. */
static size_t needed(void)
{
	return load(&hk_os_mapped) + load(&hk_os_unmapped) -
	       (load(&hk_pool_counters.mapped) - load(&hk_pool_counters.from_store)) * HK_SUPERSLAB_SIZE +
	       load(&hk_pool_counters.clean_slots_used) * HK_SLOT_SIZE +
	       load(&hk_hole_purged_bytes) - load(&hk_hole_bytes);
}

/* Memory that a program needs first and frees later was not needed again. */
static void follow(size_t given, size_t taken)
{
	size_t more = (ptrdiff_t)(taken - eager.seen_needed) > 0 ? taken - eager.seen_needed : 0;
	size_t back = more < eager.out ? more : eager.out;

	eager.out += given - eager.seen_released - back;
	eager.back += back;
	eager.seen_released = given;
	eager.seen_needed = taken;
}

void hk_eager_learn(uint64_t now)
{
	size_t given = hk_eager_released(), taken = needed(), again = taken - eager.needed;
	size_t released = given - eager.released, often = HK_EAGER_OFTEN * hk_eager_bytes(HK_EAGER_PARTS);
	unsigned old = doublings();
	/* A long period does not show whether memory was needed again soon. */
	bool late = hk_elapsed(now, eager.began, 2 * HK_EAGER_PERIOD_MS), cycles;

	follow(given, taken);
	/* More than may wait is released and needed again within one period. */
	cycles = !late && released >= often && eager.back > released / HK_NEEDED_SHARE;
	if (!cycles && !hk_elapsed(now, eager.began, HK_EAGER_PERIOD_MS))
		return;
	/* Negative if the counters were not read at the same moment. */
	if ((ptrdiff_t)again < 0 || late)
		eager.last_released = 0;
	if (eager.last_released >= HK_EAGER_WORTH && again > eager.last_released / HK_NEEDED_SHARE)
		cycles = true;
	if (cycles && old < HK_EAGER_DOUBLINGS)
		atomic_store_explicit(&eager.doublings, old + 1, memory_order_relaxed);
	else if (!cycles && eager.last_released >= HK_EAGER_WORTH && again < eager.last_released / HK_NOT_NEEDED_SHARE && old)
		atomic_store_explicit(&eager.doublings, old - 1, memory_order_relaxed);
	eager.out = eager.back = 0;
	eager.last_released = released;
	eager.released = given;
	eager.needed = taken;
	eager.began = now;
}
