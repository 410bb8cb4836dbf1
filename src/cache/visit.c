/* What one thread does for all: it visits their caches, one after the other, to
 * give back what waits there. */
#include "cache/internal.h"

#include "large/large.h"
#include "os/os.h"

#include <string.h>

/* The shared cache acts for all: a slab adopted in the name of a thread that runs
 * would be pushed to. False: this thread cannot enter now. */
static bool begin_visit(struct hk_cache *cache)
{
	if (hk_inside() || !hk_enter_cache(&hk_orphan))
		return false;
	if (cache == &hk_orphan || hk_enter_cache(cache))
		return true;
	hk_leave(&hk_orphan);
	return false;
}

static void end_visit(struct hk_cache *cache)
{
	if (cache != &hk_orphan)
		hk_leave(cache);
	hk_leave(&hk_orphan);
}

static struct hk_cache *next_live(struct hk_cache *cache)
{
	while (cache && cache != &hk_orphan && !cache->front.live)
		cache = cache->next_registered;
	return cache;
}

#define FOR_EACH_CACHE(cache) \
	for (cache = next_live(hk_caches); cache; cache = next_live(cache->next_registered))

/* Blocks in the lists of the threads that are gone stay taken, for nobody can tell
 * what the hot path was doing; so do those on their way from them. */
void hk_adopt_lost(void)
{
	struct hk_cache *cache;
	bool lost;

	FOR_EACH_CACHE(cache) {
		if (!hk_lost_caches)
			return;
		if (!cache->lost || !begin_visit(cache))
			continue;
		lost = cache->lost;
		if (lost) {
			cache->lost = false;
			hk_lost_caches--;
			memset(cache->batch, 0, sizeof cache->batch);
			hk_receive(cache, &hk_orphan, NULL);
			hk_drain_all(cache);
			hk_abandon_slabs(cache);
			hk_mailbox_close(cache);
			cache->queue = NULL;
		}
		end_visit(cache);
		if (lost)
			hk_retire(cache);
	}
}

/* Slabs of ended threads become this cache's, so that their free pages are released
 * as those of all its slabs. */
static void take_abandoned(struct hk_cache *cache)
{
	struct hk_list kept = { NULL };
	struct hk_link *link;

	hk_reuse_drain(cache, &kept);
	while ((link = kept.first) != NULL) {
		hk_list_remove(link);
		hk_own_slab(cache, hk_slab_listed(link));
	}
}

size_t hk_reclaim(void)
{
	struct hk_cache *cache;

	hk_adopt_lost();
	cache = hk_enter_own();
	if (!cache)
		return 0;
	hk_receive(cache, cache, NULL);
	hk_flush_all(cache);
	hk_release_empty(cache);
	take_abandoned(cache);
	hk_leave(cache);
	return hk_release_superslabs(0, true) + hk_release_ranges(0, true);
}

static void empty_cache(struct hk_cache *cache)
{
	hk_receive(cache, &hk_orphan, NULL);
	if (cache == &hk_orphan)
		hk_flush_all(cache);
	else
		hk_drain_all(cache);
	hk_release_empty(cache);
	if (cache == &hk_orphan)
		take_abandoned(cache);
	hk_sparse_all(cache);
}

/* What others freed for them waits in the mailboxes of threads that do not call. */
static size_t trim_caches(void)
{
	struct hk_cache *cache;
	size_t bytes = 0;

	FOR_EACH_CACHE(cache) {
		if (!begin_visit(cache))
			return bytes;
		empty_cache(cache);
		end_visit(cache);
		bytes += hk_release_sparse(cache, 0, UINT_MAX);
	}
	if (begin_visit(&hk_orphan)) {
		hk_abandon_slabs(&hk_orphan);
		end_visit(&hk_orphan);
	}
	return bytes;
}

/* One cache at a time, and few slabs of it, for no thread is to wait long. */
static size_t age_caches(uint64_t now, bool *due)
{
	struct hk_cache *cache;
	size_t bytes = 0, before;
	bool waits = false;

	*due = false;
	FOR_EACH_CACHE(cache) {
		if (!begin_visit(cache))
			break;
		before = cache->remote_received;
		hk_receive(cache, &hk_orphan, NULL);
		bytes += cache->remote_received != before;
		hk_sweep_idle(cache, now);
		end_visit(cache);
		bytes += hk_release_sparse(cache, now, HK_SPARSE_VISIT);
		if (!begin_visit(cache))
			break;
		*due |= cache->sparse_due.first != NULL;
		waits |= cache->sparse_due.first || cache->sparse_old.first || cache->sparse_new.first ||
			cache->spilled_bytes;
		end_visit(cache);
	}
	atomic_store_explicit(&hk_sparse_waits, waits, memory_order_relaxed);
	return bytes;
}

size_t hk_cache_scavenge(bool idle)
{
	uint64_t now = hk_os_now();
	size_t bytes = 0;
	bool due;

	hk_adopt_lost();
	if (idle && begin_visit(&hk_orphan)) {
		take_abandoned(&hk_orphan);
		hk_sparse_all(&hk_orphan);
		end_visit(&hk_orphan);
	}
	/* Whole SuperSlabs first: fewer calls for more memory. */
	bytes += hk_release_superslabs(now, false);
	bytes += hk_release_ranges(now, false);
	do
		bytes += age_caches(now, &due);
	while (due);
	if (idle && begin_visit(&hk_orphan)) {
		hk_abandon_slabs(&hk_orphan);
		end_visit(&hk_orphan);
	}
	return bytes;
}

static bool has_mail(struct hk_cache *cache)
{
	struct hk_block *chain = atomic_load_explicit(&cache->mailbox, memory_order_relaxed);

	return chain && chain != HK_MAILBOX_CLOSED;
}

void hk_collect_mail(void)
{
	static _Atomic size_t again;
	size_t touched = hk_pool_touched(), at = atomic_load_explicit(&again, memory_order_relaxed);
	struct hk_cache *cache;

	/* The heap shrinks too. */
	if ((touched < at && touched > at / 2) ||
	    !atomic_compare_exchange_strong(&again, &at, touched + touched / HK_GROW_SHARE + 1))
		return;
	hk_adopt_lost();
	FOR_EACH_CACHE(cache) {
		if (cache == hk_tls || !has_mail(cache) || !begin_visit(cache))
			continue;
		hk_receive(cache, &hk_orphan, NULL);
		end_visit(cache);
	}
}

size_t hk_cache_trim(void)
{
	struct hk_cache *cache;
	size_t bytes;

	hk_adopt_lost();
	/* First, for trim_caches takes what others are sent. */
	cache = hk_enter_own();
	if (!cache)
		return 0;
	hk_deliver_all(cache);
	hk_leave(cache);
	bytes = trim_caches() + hk_reclaim();
	cache = hk_enter_own();
	if (!cache)
		return bytes;
	hk_sparse_all(cache);
	hk_leave(cache);
	return bytes + hk_release_sparse(cache, 0, UINT_MAX);
}
