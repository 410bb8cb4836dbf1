/* A thread's life: its cache comes with the first slow path and goes with a
 * pthread key; before and after, static empty caches stand in. */
#include "cache/threads.h"
#include "debug/ring.h"
#include "os/os.h"
#include "pool/meta.h"
#include "pool/pool.h"

#include <errno.h>

struct hk_cache hk_empty_cache;
struct hk_cache hk_dead_cache;
HK_TLS struct hk_cache *hk_tls = &hk_empty_cache;
HK_TLS struct hk_cache *hk_tls_cxx = &hk_empty_cache;
struct hk_cache *hk_caches;
void (*hk_window_end)(struct hk_cache *cache);
struct hk_hooks hk_hooks;

struct hk_cache hk_orphan;
struct hk_lock hk_orphan_lock = HK_LOCK_INITIALIZER(HK_RANK_ORPHAN);
struct hk_lock hk_registry_lock = HK_LOCK_INITIALIZER(HK_RANK_REGISTRY);

/* All under the registry lock, but for started (acquire). */
static struct {
	struct hk_cache *spare;
	_Atomic bool started;
	bool has_key, had_environment;
	pthread_key_t key;
} registry;

static void init_cache(struct hk_cache *cache)
{
	unsigned i;

	cache->lock = (struct hk_lock)HK_LOCK_INITIALIZER(HK_RANK_CACHE);
	hk_cache_limit(cache);
	for (i = 0; i <= HK_TINY_MAX / HK_GRAIN; i++)
		cache->bin_offset[i] = (uint16_t)((char *)&cache->bin[hk_class_of(i * HK_GRAIN)] -
						  (char *)cache);
}

static void thread_exit(void *argument);

/*
 * Runs once, in the first slow path of the process, which may come before
 * any constructor.
 */
static void start_process(void)
{
	hk_os_start();
	registry.had_environment = hk_os_environment() != NULL;
	hk_settings_load(hk_os_environment(), hk_os_secure());
	hk_ring_start();
	hk_limits_find();
	init_cache(&hk_orphan);
	hk_caches = &hk_orphan;
	registry.has_key = pthread_key_create(&registry.key, thread_exit) == 0;
	atomic_store_explicit(&registry.started, true, memory_order_release);
}

/* Handlers of fork as early as can be, since those registered later may use
 * the heap freely. The C library may allocate for them, from an allocator
 * that is started by then. */
static void start_once(void)
{
	bool first;

	hk_lock(&hk_registry_lock);
	first = !atomic_load_explicit(&registry.started, memory_order_relaxed);
	if (first)
		start_process();
	hk_unlock(&hk_registry_lock);
	if (first)
		hk_fork_watch();
}

/* Before libc has set the environment there is none to read. */
static void late_settings(void)
{
	struct hk_cache *cache;

	hk_lock_everything();
	hk_settings_load(hk_os_environment(), hk_os_secure());
	hk_ring_start();
	hk_limits_find();
	for (cache = hk_caches; cache; cache = cache->next_registered)
		hk_cache_limit(cache);
	hk_unlock_everything();
}

__attribute__((constructor(101))) static void hk_constructor(void)
{
	struct hk_cache *cache;

	hk_leave(hk_enter());
	if (!registry.had_environment)
		late_settings();
	cache = hk_enter();
	atomic_store_explicit(&hk_purge_delay, hk_settings.mem_learn_delay, memory_order_relaxed);
	hk_pool_prewarm(hk_settings.superslab_prewarm);
	hk_leave(cache);
}

static struct hk_cache *attach(void)
{
	struct hk_cache *cache;

	hk_lock(&hk_registry_lock);
	cache = registry.spare;
	if (cache) {
		registry.spare = cache->next_spare;
	} else {
		cache = hk_meta_alloc(sizeof *cache);
		if (cache) {
			init_cache(cache);
			cache->next_registered = hk_caches;
			hk_caches = cache;
		}
	}
	if (cache) {
		cache->live = true;
		atomic_fetch_add_explicit(&hk_threads, 1, memory_order_relaxed);
		atomic_store_explicit(&cache->mailbox, NULL, memory_order_relaxed);
	}
	hk_unlock(&hk_registry_lock);
	return cache;
}

static struct hk_cache *enter(struct hk_cache *cache)
{
	hk_lock(&cache->lock);
	atomic_store_explicit(&cache->inside, &hk_tls, memory_order_relaxed);
	return cache;
}

struct hk_cache *hk_enter_orphan(void)
{
	hk_lock(&hk_orphan_lock);
	return enter(&hk_orphan);
}

static struct hk_cache *enter_without_cache(void)
{
	struct hk_cache *cache = NULL;
	int saved = errno;

	if (!atomic_load_explicit(&registry.started, memory_order_acquire))
		start_once();
	/* Not in a fork, which would unlock what it did not lock. */
	if (hk_tls == &hk_empty_cache && !hk_all_locked)
		cache = attach();
	if (!cache) {
		errno = saved;
		return hk_enter_orphan();
	}
	hk_tls = cache;
	hk_event(HK_EVENT_ATTACH, 0, cache, 0);
	/* Beyond 32 keys this may allocate: from the cache just made. */
	if (registry.has_key)
		pthread_setspecific(registry.key, cache);
	errno = saved;
	return enter(cache);
}

struct hk_cache *hk_enter(void)
{
	struct hk_cache *cache = hk_tls;

	if (cache == &hk_empty_cache || cache == &hk_dead_cache)
		return enter_without_cache();
	return enter(cache);
}

void hk_leave(struct hk_cache *cache)
{
	atomic_store_explicit(&cache->inside, NULL, memory_order_relaxed);
	hk_unlock(&cache->lock);
	if (cache == &hk_orphan)
		hk_unlock(&hk_orphan_lock);
}

static bool is_inside(struct hk_cache *cache)
{
	return atomic_load_explicit(&cache->inside, memory_order_relaxed) == &hk_tls;
}

void hk_leave_to_abort(void)
{
	hk_leave_visits();
	if (is_inside(hk_tls))
		hk_leave(hk_tls);
	else if (is_inside(&hk_orphan))
		hk_leave(&hk_orphan);
}

bool hk_cache_private(const struct hk_cache *cache)
{
	return cache != &hk_orphan;
}

static void abandon_list(struct hk_slab *slab)
{
	struct hk_slab *next;

	for (; slab; slab = next) {
		next = slab->next;
		if (slab->used == 0)
			hk_pool_return(slab);
		else
			hk_pool_abandon(slab);
	}
}

/* Slabs first, mailbox after: see remote.c. */
void hk_abandon_slabs(struct hk_cache *cache)
{
	unsigned class;

	for (class = 0; class < HK_CLASSES; class++) {
		struct hk_bin *bin = &cache->bin[class];

		abandon_list(bin->avail);
		abandon_list(bin->full);
		bin->avail = bin->full = NULL;
		bin->head = NULL;
		bin->room = bin->capacity;
		hk_bin_restart(bin, class);
	}
}

void hk_flush_all(struct hk_cache *cache)
{
	unsigned class;

	hk_deliver_all(cache);
	hk_suspects_review(cache, true);
	hk_drain_all(cache);
	for (class = 0; class < HK_CLASSES; class++)
		if (cache->bin[class].head)
			hk_flush(cache, &cache->bin[class], 0);
}

void hk_retire(struct hk_cache *cache)
{
	hk_lock(&hk_registry_lock);
	cache->live = false;
	atomic_fetch_sub_explicit(&hk_threads, 1, memory_order_relaxed);
	if (cache->budget_held) {
		atomic_fetch_sub_explicit(&hk_budget_held, cache->budget_held, memory_order_relaxed);
		atomic_fetch_sub_explicit(&hk_budget_holders, 1, memory_order_relaxed);
		cache->budget_held = 0;
	}
	cache->next_spare = registry.spare;
	registry.spare = cache;
	hk_unlock(&hk_registry_lock);
}

static void thread_exit(void *argument)
{
	struct hk_cache *cache = argument;
	int saved = errno;

	hk_event(HK_EVENT_EXIT, 0, cache, 0);
	enter(cache);
	hk_receive(cache, cache, NULL);
	hk_flush_all(cache);
	hk_abandon_slabs(cache);
	hk_mailbox_close(cache);
	hk_deliver_all(cache);
	hk_tls = hk_tls_cxx = &hk_dead_cache;
	hk_leave(cache);
	hk_retire(cache);
	if (hk_hooks.thread_ended)
		hk_hooks.thread_ended();
	errno = saved;
}
