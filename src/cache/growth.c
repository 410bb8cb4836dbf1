/*
 * All lists share one bound, so that many threads which no longer allocate do not keep much.
 * Half of it is given to the threads that ask first, and half is divided equally.
 *
 * A thread that only frees may be about to wait or to end. It empties its lists as it goes:
 * their blocks are still in the processor's caches then, and a few blocks that stayed in the
 * list of each class would keep a slab each. If the thread soon allocates again, it has
 * emptied them too early, and more overflows are needed before it empties them the next time.
 */
#include "cache/internal.h"

#include "os/os.h"
#include "pool/pool.h"

/* Bytes by which the lists of all threads have grown; changed by any thread, relaxed. */
static _Atomic size_t lists_grown;

static size_t half(void)
{
	return (HK_LISTS_BYTES + hk_pool_mapped() / HK_LISTS_SHARE) / 2;
}

static bool fits(const struct hk_cache *cache, size_t bytes)
{
	unsigned threads = atomic_load_explicit(&hk_threads, memory_order_relaxed);

	return atomic_load_explicit(&lists_grown, memory_order_relaxed) + bytes <= half() ||
	       cache->grown + bytes <= half() / (threads + 1);
}

bool hk_growth_take(struct hk_cache *cache, size_t bytes)
{
	if (!fits(cache, bytes))
		return false;
	cache->grown += bytes;
	atomic_fetch_add_explicit(&lists_grown, bytes, memory_order_relaxed);
	return true;
}

void hk_growth_give(struct hk_cache *cache, size_t bytes)
{
	size_t given = bytes < cache->grown ? bytes : cache->grown;

	cache->grown -= given;
	atomic_fetch_sub_explicit(&lists_grown, given, memory_order_relaxed);
}

bool hk_keeps_no_slab(const struct hk_cache *cache)
{
	return cache->emptying || !fits(cache, HK_SLOT_SIZE);
}

bool hk_count_overflow(struct hk_cache *cache)
{
	if (cache->emptying)
		return true;
	if (atomic_load_explicit(&hk_threads, memory_order_relaxed) < HK_EMPTYING_LEAST_THREADS)
		return false;
	if (cache->overflows < (uint32_t)HK_EMPTYING_AFTER << cache->patience) {
		cache->overflows++;
		return false;
	}
	cache->emptying = true;
	cache->emptied_at = hk_os_now();
	return true;
}

void hk_stop_emptying(struct hk_cache *cache)
{
	if (hk_os_now() - cache->emptied_at >= HK_IDLE_MS)
		cache->patience = 0;
	else if (cache->patience < HK_EMPTYING_PATIENCE)
		cache->patience = (uint8_t)(cache->patience + HK_EMPTYING_STEP);
	cache->emptying = false;
}
