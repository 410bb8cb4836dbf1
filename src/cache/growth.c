/*
 * All lists share one bound, so that many threads which no longer allocate do not keep much.
 * Half of it is given to the threads that ask first, and half is divided equally.
 */
#include "cache/internal.h"

#include "pool/pool.h"

/* Bytes by which the lists of all threads have grown; changed by any thread, relaxed. */
static _Atomic size_t lists_grown;

static bool fits(const struct hk_cache *cache, size_t bytes)
{
	size_t half = (HK_LISTS_BYTES + hk_pool_mapped() / HK_LISTS_SHARE) / 2;
	unsigned threads = atomic_load_explicit(&hk_threads, memory_order_relaxed);

	return atomic_load_explicit(&lists_grown, memory_order_relaxed) + bytes <= half ||
	       cache->grown + bytes <= half / (threads + 1);
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

bool hk_lists_full(const struct hk_cache *cache)
{
	return !fits(cache, HK_SLOT_SIZE);
}
