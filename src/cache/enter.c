/*
 * The caches of the process, and how a thread enters one: it takes the lock of the cache,
 * and its own hot paths find empty lists until it leaves.
 */
#include "cache/internal.h"

struct hk_front hk_empty_front = { .none = HK_LIST_END };
struct hk_front hk_dead_front = { .none = HK_LIST_END };
struct hk_front hk_busy_front = { .none = HK_LIST_END };
HK_TLS struct hk_cache *hk_tls = HK_EMPTY_CACHE;
HK_TLS struct hk_cache *hk_tls_cxx = HK_EMPTY_CACHE;
_Atomic(struct hk_cache *) hk_caches;
struct hk_list hk_live_caches;
_Atomic unsigned hk_threads;
_Atomic size_t hk_budget_held, hk_budget_holders;
/* From the start of a page on: see struct hk_cache. */
struct hk_cache hk_orphan HK_BEHIND HK_ALIGNED(HK_PAGE_MOST);
struct hk_lock hk_orphan_lock = HK_LOCK_INITIALIZER(HK_RANK_ORPHAN);
struct hk_lock hk_registry_lock = HK_LOCK_INITIALIZER(HK_RANK_REGISTRY);

/* Caches without a thread; registry lock. */
static struct hk_cache *spare;

bool hk_inside(void)
{
	return hk_tls == HK_BUSY_CACHE;
}

struct hk_before hk_find_nothing(void)
{
	struct hk_before before = { hk_tls, hk_tls_cxx };

	hk_tls = hk_tls_cxx = HK_BUSY_CACHE;
	/* A signal handler must not see a change of the heap before this. */
	atomic_signal_fence(memory_order_seq_cst);
	return before;
}

void hk_find_again(struct hk_before before)
{
	uintptr_t self = hk_self();

	atomic_signal_fence(memory_order_seq_cst);
	hk_tls = before.tls;
	hk_tls_cxx = before.cxx;
	if (hk_unlikely(atomic_load_explicit(&hk_heap_closed, memory_order_relaxed) == self) &&
	    !hk_inside())
		atomic_compare_exchange_strong(&hk_heap_closed, &self, 0);
}

static bool enter(struct hk_cache *cache)
{
	struct hk_before before = hk_find_nothing();

	if (hk_lock_or_leave(&cache->lock)) {
		cache->before = before;
		return true;
	}
	hk_find_again(before);
	return false;
}

bool hk_enter_cache(struct hk_cache *cache)
{
	struct hk_before before;
	bool entered;

	if (cache != &hk_orphan)
		return enter(cache);
	before = hk_find_nothing();
	entered = hk_lock_or_leave(&hk_orphan_lock);
	if (entered && !enter(cache)) {
		hk_unlock(&hk_orphan_lock);
		entered = false;
	}
	if (entered)
		cache->before = before;
	else
		hk_find_again(before);
	return entered;
}

struct hk_cache *hk_enter_own(void)
{
	struct hk_cache *cache = hk_has_lists(hk_tls) ? hk_tls : &hk_orphan;

	if (hk_inside() || atomic_load_explicit(&hk_heap_closed, memory_order_relaxed))
		return NULL;
	return hk_enter_cache(cache) ? cache : NULL;
}

void hk_leave(struct hk_cache *cache)
{
	struct hk_before before = cache->before;

	hk_unlock(&cache->lock);
	if (cache == &hk_orphan)
		hk_unlock(&hk_orphan_lock);
	hk_find_again(before);
}

/* Innermost first: a cache of another thread, then the shared one. */
void hk_leave_to_abort(void)
{
	struct hk_cache *cache;

	if (hk_forks.all_locked)
		return;
	for (cache = hk_caches; cache; cache = cache->next_registered)
		if (cache != &hk_orphan && hk_lock_mine(&cache->lock))
			hk_leave(cache);
	if (hk_lock_mine(&hk_orphan.lock))
		hk_leave(&hk_orphan);
}

struct hk_cache *hk_own_cache(void)
{
	struct hk_cache *cache = hk_os_key_get();

	return cache != HK_EMPTY_CACHE ? cache : NULL;
}

/* Another thread may hold the lock: for a moment, or for ever if this is the child of a fork at
 * that moment. */
struct hk_cache *hk_spare_cache(void)
{
	struct hk_cache **place = &spare, *cache;

	while ((cache = *place) && hk_lock_held(&cache->lock))
		place = &cache->next_spare;
	if (cache)
		*place = cache->next_spare;
	return cache;
}

void hk_enlist(struct hk_cache *cache, bool fresh)
{
	if (fresh) {
		cache->next_registered = atomic_load_explicit(&hk_caches, memory_order_relaxed);
		atomic_store_explicit(&hk_caches, cache, memory_order_release);
	}
	cache->thread = hk_self();
	hk_list_push(&hk_live_caches, &cache->among_live);
	atomic_store_explicit(&cache->front.live, true, memory_order_relaxed);
	atomic_fetch_add_explicit(&hk_threads, 1, memory_order_relaxed);
	atomic_store_explicit(&cache->mailbox, NULL, memory_order_relaxed);
}

void hk_unlist_live(struct hk_cache *cache)
{
	hk_list_remove(&cache->among_live);
	atomic_store_explicit(&cache->front.live, false, memory_order_relaxed);
}

void hk_budget_return(struct hk_cache *cache)
{
	if (!cache->budget_held)
		return;
	atomic_fetch_sub_explicit(&hk_budget_held, cache->budget_held, memory_order_relaxed);
	atomic_fetch_sub_explicit(&hk_budget_holders, 1, memory_order_relaxed);
	cache->budget_held = 0;
}

void hk_retire(struct hk_cache *cache)
{
	struct hk_before before = hk_find_nothing();

	if (!hk_lock(&hk_registry_lock)) {
		hk_find_again(before);
		return;
	}
	hk_unlist_live(cache);
	atomic_fetch_sub_explicit(&hk_threads, 1, memory_order_relaxed);
	hk_budget_return(cache);
	cache->next_spare = spare;
	spare = cache;
	hk_unlock(&hk_registry_lock);
	hk_find_again(before);
}
