/* A thread's life: its cache comes with the first slow path and goes with a
 * pthread key; before and after, static empty caches stand in. */
#include "cache/threads.h"
#include "debug/ring.h"
#include "os/os.h"
#include "pool/meta.h"
#include "pool/pool.h"

#include <errno.h>
#include <pthread.h>

struct hk_cache hk_empty_cache;
struct hk_cache hk_dead_cache;
struct hk_cache hk_busy_cache;
HK_TLS struct hk_cache *hk_tls = &hk_empty_cache;
_Atomic(struct hk_cache *) hk_caches;
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

/* Once, under the registry lock. */
static void start_process(void)
{
	registry.had_environment = hk_os_environment() != NULL;
	hk_settings_load(hk_os_environment(), hk_os_secure());
	hk_limits_find();
	init_cache(&hk_orphan);
	atomic_store_explicit(&hk_caches, &hk_orphan, memory_order_release);
	atomic_store_explicit(&registry.started, true, memory_order_release);
}

/*
 * In the first slow path of the process, which may come before any constructor.
 * What asks libc comes before the lock, or after it, from an allocator that is
 * started by then. Handlers of fork are registered as early as can be, since those
 * registered later may use the heap freely.
 */
static void start_once(void)
{
	bool first;

	hk_os_start();
	hk_lock(&hk_registry_lock);
	first = !atomic_load_explicit(&registry.started, memory_order_relaxed);
	if (first)
		start_process();
	hk_unlock(&hk_registry_lock);
	if (!first)
		return;
	hk_ring_start();
	hk_fork_watch();
	registry.has_key = pthread_key_create(&registry.key, thread_exit) == 0;
	/* A cache that came meanwhile. */
	if (registry.has_key && hk_tls->live)
		pthread_setspecific(registry.key, hk_tls);
}

void hk_start(void)
{
	if (!atomic_load_explicit(&registry.started, memory_order_acquire))
		start_once();
}

/* Before libc has set the environment there is none to read. */
static void late_settings(void)
{
	struct hk_cache *cache;

	hk_lock_everything();
	hk_settings_load(hk_os_environment(), hk_os_secure());
	hk_limits_find();
	for (cache = hk_caches; cache; cache = cache->next_registered)
		hk_cache_limit(cache);
	hk_unlock_everything();
	hk_ring_start();
}

__attribute__((constructor(101))) static void hk_constructor(void)
{
	struct hk_cache *cache = hk_enter();

	if (cache)
		hk_leave(cache);
	if (!registry.had_environment)
		late_settings();
	atomic_store_explicit(&hk_purge_delay, hk_settings.mem_learn_delay, memory_order_relaxed);
	hk_pool_prewarm(hk_settings.superslab_prewarm);
}

static struct hk_cache *spare_cache(void)
{
	struct hk_cache *cache = registry.spare;

	if (cache)
		registry.spare = cache->next_spare;
	return cache;
}

/* For one thread, whose lists are at rest. */
static void enlist(struct hk_cache *cache, bool fresh)
{
	if (fresh) {
		cache->next_registered = atomic_load_explicit(&hk_caches, memory_order_relaxed);
		atomic_store_explicit(&hk_caches, cache, memory_order_release);
	}
	atomic_store_explicit(&cache->live, true, memory_order_relaxed);
	atomic_fetch_add_explicit(&hk_threads, 1, memory_order_relaxed);
	atomic_store_explicit(&cache->mailbox, NULL, memory_order_relaxed);
}

/* NULL: no memory, or a fork takes long. */
static struct hk_cache *attach(void)
{
	struct hk_cache *cache;

	if (!hk_lock_or_leave(&hk_registry_lock))
		return NULL;
	cache = spare_cache();
	if (cache)
		enlist(cache, false);
	hk_unlock(&hk_registry_lock);
	if (cache)
		return cache;
	cache = hk_meta_fill() ? hk_meta_alloc(sizeof *cache) : NULL;
	if (!cache)
		return NULL;
	init_cache(cache);
	if (!hk_lock_or_leave(&hk_registry_lock))
		return NULL;
	enlist(cache, true);
	hk_unlock(&hk_registry_lock);
	return cache;
}

/* The hot path finds nothing as long as this thread is inside. */
static bool enter(struct hk_cache *cache)
{
	if (!hk_lock_or_leave(&cache->lock))
		return false;
	cache->entered_from = hk_tls;
	hk_tls = &hk_busy_cache;
	return true;
}

bool hk_enter_cache(struct hk_cache *cache)
{
	if (cache == &hk_orphan && !hk_lock_or_leave(&hk_orphan_lock))
		return false;
	if (enter(cache))
		return true;
	if (cache == &hk_orphan)
		hk_unlock(&hk_orphan_lock);
	return false;
}

static struct hk_cache *enter_without_cache(void)
{
	struct hk_cache *cache = NULL;
	int saved = errno;

	hk_start();
	/* Not in a fork, which would unlock what it did not lock. */
	if (hk_tls == &hk_empty_cache && !hk_all_locked)
		cache = attach();
	if (!cache) {
		errno = saved;
		return hk_enter_cache(&hk_orphan) ? &hk_orphan : NULL;
	}
	hk_tls = cache;
	hk_event(HK_EVENT_ATTACH, 0, cache, 0);
	/* Beyond 32 keys this may allocate: from the cache just made. */
	if (registry.has_key)
		pthread_setspecific(registry.key, cache);
	errno = saved;
	return enter(cache) ? cache : NULL;
}

struct hk_cache *hk_own_cache(void)
{
	return registry.has_key ? pthread_getspecific(registry.key) : NULL;
}

bool hk_inside(void)
{
	return hk_tls == &hk_busy_cache || (!hk_all_locked && (hk_lock_mine(&hk_tls->lock) ||
		hk_lock_mine(&hk_registry_lock) || hk_lock_mine(&hk_orphan_lock)));
}

struct hk_cache *hk_enter(void)
{
	struct hk_cache *cache = hk_tls;

	if (hk_unlikely(hk_os_fork_unseen()))
		hk_fork_unseen();
	if (hk_unlikely(hk_inside() || atomic_load_explicit(&hk_heap_closed, memory_order_relaxed)))
		return NULL;
	if (cache == &hk_empty_cache || cache == &hk_dead_cache)
		return enter_without_cache();
	return enter(cache) ? cache : NULL;
}

void hk_leave(struct hk_cache *cache)
{
	hk_tls = cache->entered_from;
	hk_unlock(&cache->lock);
	if (cache == &hk_orphan)
		hk_unlock(&hk_orphan_lock);
}

/* From the innermost: a cache that is visited, the shared one, this thread's. */
void hk_leave_to_abort(void)
{
	struct hk_cache *cache;

	if (hk_all_locked)
		return;
	for (cache = hk_caches; cache; cache = cache->next_registered)
		if (cache != &hk_orphan && hk_lock_mine(&cache->lock))
			hk_leave(cache);
	if (hk_lock_mine(&hk_orphan.lock))
		hk_leave(&hk_orphan);
}

bool hk_cache_private(const struct hk_cache *cache)
{
	return cache != &hk_orphan;
}

/* A slab that is being purged is not empty, so the purge finds it later. */
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
	atomic_store_explicit(&cache->live, false, memory_order_relaxed);
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

/* Lock held: nothing of it is left, and the thread has no cache any more. */
static void empty(struct hk_cache *cache)
{
	hk_receive(cache, cache, NULL);
	hk_flush_all(cache);
	hk_abandon_slabs(cache);
	hk_mailbox_close(cache);
	hk_deliver_all(cache);
}

static void detach(struct hk_cache *cache)
{
	hk_event(HK_EVENT_EXIT, 0, cache, 0);
	hk_lock(&cache->lock);
	hk_tls = &hk_busy_cache;
	empty(cache);
	hk_tls = &hk_dead_cache;
	hk_unlock(&cache->lock);
	hk_retire(cache);
	if (hk_pool_freed())
		hk_release(false);
}

/* A signal handler that ends its thread inside the heap takes the cache along. */
static void thread_exit(void *argument)
{
	int saved = errno;

	if (hk_inside())
		return;
	detach(argument);
	if (hk_hooks.thread_ended)
		hk_hooks.thread_ended();
	errno = saved;
}

unsigned hk_program_threads(void)
{
	unsigned all = atomic_fetch_add(&hk_threads, 0), lost = atomic_load(&hk_lost_caches);

	return all > lost ? all - lost : 0;
}

/* If libc started it, a library that wraps pthread_create may have used the heap. */
void hk_thread_apart(void)
{
	struct hk_cache *cache = HK_UNKNOWN_THREAD ? NULL : hk_own_cache();

	if (cache) {
		pthread_setspecific(registry.key, NULL);
		detach(cache);
	}
	hk_tls = &hk_dead_cache;
}
