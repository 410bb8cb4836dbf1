/* What one thread does for all: it visits their caches, one after the other, to
 * give back what waits there. */
#include "cache/threads.h"
#include "large/large.h"
#include "os/os.h"
#include "pool/pool.h"

/*
 * Who goes through the caches of all threads, and which one it has locked; its
 * lists are not entered, so `inside` says nothing of it. Registry lock; by
 * (relaxed) tells other threads only that it is none of them.
 */
static struct {
	_Atomic(void *) by;
	struct hk_cache *cache;
} visit;

static void begin_visits(void)
{
	hk_lock(&hk_registry_lock);
	hk_enter_orphan();
	atomic_store_explicit(&visit.by, &hk_tls, memory_order_relaxed);
}

static void end_visits(void)
{
	atomic_store_explicit(&visit.by, NULL, memory_order_relaxed);
	hk_leave(&hk_orphan);
	hk_unlock(&hk_registry_lock);
}

static void begin_visit(struct hk_cache *cache)
{
	hk_lock(&cache->lock);
	visit.cache = cache;
}

static void end_visit(void)
{
	struct hk_cache *cache = visit.cache;

	visit.cache = NULL;
	hk_unlock(&cache->lock);
}

void hk_leave_visits(void)
{
	if (atomic_load_explicit(&visit.by, memory_order_relaxed) != &hk_tls)
		return;
	if (visit.cache)
		end_visit();
	end_visits();
}

size_t hk_reclaim(struct hk_cache *cache)
{
	hk_receive(cache, cache, NULL);
	hk_flush_all(cache);
	hk_release_empty(cache);
	return hk_pool_trim(cache) + hk_large_trim();
}

/*
 * What others freed for them waits in the mailboxes of threads that do not
 * call; and the lists of the shared cache are nobody's. The shared cache acts
 * for all: a slab adopted in the name of a thread that runs would be pushed to.
 */
static size_t collect(void)
{
	struct hk_cache *cache;
	size_t bytes = 0;

	begin_visits();
	for (cache = hk_caches; cache; cache = cache->next_registered) {
		if (cache == &hk_orphan)
			continue;
		begin_visit(cache);
		hk_receive(cache, &hk_orphan, NULL);
		hk_drain_all(cache);
		hk_release_empty(cache);
		bytes += hk_sparse_purge(cache);
		end_visit();
	}
	hk_receive(&hk_orphan, &hk_orphan, NULL);
	hk_flush_all(&hk_orphan);
	hk_release_empty(&hk_orphan);
	bytes += hk_sparse_purge(&hk_orphan);
	end_visits();
	return bytes;
}

/* A chunk at a time, for no thread is to wait long for these locks. */
static size_t age_caches(uint64_t now, bool *due)
{
	enum { SLABS_OF_ONE = 32 };
	struct hk_cache *cache;
	size_t bytes = 0;
	bool waits = false;

	*due = false;
	begin_visits();
	for (cache = hk_caches; cache; cache = cache->next_registered) {
		size_t before;

		if (cache != &hk_orphan)
			begin_visit(cache);
		before = cache->remote_received;
		hk_receive(cache, &hk_orphan, NULL);
		bytes += cache->remote_received != before;
		hk_sweep_idle(cache, now);
		bytes += hk_sparse_age(cache, now, SLABS_OF_ONE);
		*due |= cache->sparse_due != NULL;
		waits |= cache->sparse_due || cache->sparse_old || cache->sparse_new ||
			cache->spilled_bytes;
		if (cache != &hk_orphan)
			end_visit();
	}
	atomic_store_explicit(&hk_sparse_waits, waits, memory_order_relaxed);
	end_visits();
	return bytes;
}

size_t hk_cache_scavenge(bool idle)
{
	uint64_t now = hk_os_now();
	size_t bytes = 0, more;
	bool due;

	/* Whole SuperSlabs first: fewer calls for more memory. */
	do {
		hk_enter_orphan();
		if (idle)
			bytes += hk_reuse_drain(&hk_orphan, true);
		idle = false;
		more = hk_pool_age(now);
		bytes += more;
		hk_leave(&hk_orphan);
	} while (more);
	hk_enter_orphan();
	bytes += hk_large_age(now);
	hk_leave(&hk_orphan);
	do
		bytes += age_caches(now, &due);
	while (due);
	return bytes;
}

void hk_cache_shared(void (*work)(void))
{
	hk_enter_orphan();
	work();
	hk_leave(&hk_orphan);
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
	    !atomic_compare_exchange_strong(&again, &at, touched + touched / 16 + 1))
		return;
	begin_visits();
	for (cache = hk_caches; cache; cache = cache->next_registered) {
		if (cache == &hk_orphan || cache == hk_tls || !has_mail(cache))
			continue;
		begin_visit(cache);
		hk_receive(cache, &hk_orphan, NULL);
		end_visit();
	}
	hk_receive(&hk_orphan, &hk_orphan, NULL);
	end_visits();
}

size_t hk_cache_trim(void)
{
	struct hk_cache *cache;
	size_t bytes;

	/* First, for collect takes what others are sent. */
	cache = hk_enter();
	hk_deliver_all(cache);
	hk_leave(cache);
	bytes = collect();
	cache = hk_enter();
	bytes += hk_reclaim(cache) + hk_sparse_purge(cache);
	hk_leave(cache);
	return bytes;
}
