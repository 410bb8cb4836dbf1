/* A thread's life: its cache comes with the first slow path and goes with a
 * pthread key; before and after, static empty caches stand in. */
#include "cache/internal.h"

#include "debug/ring.h"
#include "os/os.h"
#include "pool/pool.h"
#include "range/decay.h"
#include "slab/meta.h"

#include <errno.h>

void (*hk_window_end)(struct hk_cache *cache);
struct hk_hooks hk_hooks;

/* All under the registry lock, but for started (acquire). */
static struct {
	_Atomic bool started;
	bool had_environment;
} registry;

static void init_cache(struct hk_cache *cache)
{
	unsigned i;

	cache->front.secret = hk_secret();
	for (i = 0; i < HK_CLASSES; i++)
		cache->bin[i].head = HK_LIST_END;
	cache->lock = (struct hk_lock)HK_LOCK_INITIALIZER(HK_RANK_CACHE);
	hk_cache_limit(cache);
}

static void thread_exit(void *argument);

/* Once, under the registry lock. */
static void start_process(void)
{
	hk_secret_start(hk_os_random);
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
	struct hk_before before;
	bool first;

	/* The libc functions called here may be wrapped by a library that uses the heap. */
	if (hk_inside())
		return;
	before = hk_find_nothing();
	hk_os_start();
	/* Nobody can hold it for ever yet. */
	while (!hk_lock(&hk_registry_lock))
		;
	first = !atomic_load_explicit(&registry.started, memory_order_relaxed);
	if (first)
		start_process();
	hk_unlock(&hk_registry_lock);
	hk_find_again(before);
	if (!first)
		return;
	hk_secret_seal();
	hk_ring_start();
	hk_fork_watch();
	/* And a cache that came meanwhile. */
	if (hk_os_key_start(thread_exit) && hk_has_lists(hk_tls))
		hk_os_key_set(hk_tls);
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

static bool prewarm(void)
{
	struct hk_cache *cache = hk_meta_fill() ? hk_enter() : NULL;
	struct hk_superslab *s;

	if (!cache)
		return false;
	s = hk_meta_superslab();
	hk_leave(cache);
	return hk_pool_prewarm(s);
}

__attribute__((constructor(101))) static void hk_constructor(void)
{
	struct hk_cache *cache = hk_enter();
	unsigned i;

	if (cache)
		hk_leave(cache);
	if (!registry.had_environment)
		late_settings();
	atomic_store_explicit(&hk_purge_delay, hk_settings.mem_learn_delay, memory_order_relaxed);
	for (i = 0; i < hk_settings.superslab_prewarm && prewarm(); i++)
		;
}

static struct hk_cache *new_cache(void)
{
	struct hk_cache *cache = hk_spare_cache();
	bool fresh = !cache;

	if (fresh)
		cache = hk_meta_alloc(sizeof *cache);
	if (!cache)
		return NULL;
	if (fresh)
		init_cache(cache);
	hk_enlist(cache, fresh);
	return cache;
}

/* NULL: no memory, or a fork takes long. */
static struct hk_cache *attach(void)
{
	struct hk_cache *cache = NULL;
	struct hk_before before;

	hk_meta_fill();
	before = hk_find_nothing();
	if (hk_lock_or_leave(&hk_registry_lock)) {
		cache = new_cache();
		hk_unlock(&hk_registry_lock);
	}
	hk_find_again(before);
	return cache;
}

static struct hk_cache *enter_without_cache(void)
{
	struct hk_cache *cache = NULL;
	int saved = errno;

	hk_start();
	/* Not in a fork, which would unlock what it did not lock. */
	if (hk_tls == HK_EMPTY_CACHE && !hk_all_locked)
		cache = attach();
	if (!cache) {
		errno = saved;
		return hk_enter_cache(&hk_orphan) ? &hk_orphan : NULL;
	}
	hk_tls = cache;
	hk_event(HK_EVENT_ATTACH, 0, cache, 0);
	/* Beyond 32 keys this may allocate: from the cache just made. */
	hk_os_key_set(cache);
	errno = saved;
	return hk_enter_cache(cache) ? cache : NULL;
}

struct hk_cache *hk_enter(void)
{
	struct hk_cache *cache = hk_tls;

	if (hk_unlikely(hk_os_fork_unseen()))
		hk_fork_unseen();
	if (hk_unlikely(hk_inside() || atomic_load_explicit(&hk_heap_closed, memory_order_relaxed)))
		return NULL;
	if (cache == HK_EMPTY_CACHE || cache == HK_DEAD_CACHE)
		return enter_without_cache();
	return hk_enter_cache(cache) ? cache : NULL;
}

static void detach(struct hk_cache *cache)
{
	if (hk_hooks.thread_ends)
		hk_hooks.thread_ends(cache);
	hk_event(HK_EVENT_EXIT, 0, cache, 0);
	hk_find_nothing();
	if (hk_lock(&cache->lock)) {
		hk_reclaim_held(cache, HK_FOR_END);
		hk_abandon_slabs(cache);
		hk_mailbox_close(cache);
		hk_deliver_all(cache);
		cache->due = 0;
		hk_unlock(&cache->lock);
		hk_retire(cache);
	}
	hk_find_again((struct hk_before){ HK_DEAD_CACHE, HK_DEAD_CACHE });
	hk_pool_clear_freed();
	hk_reclaim_rest(1u << HK_FOR_END);
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
		hk_os_key_set(NULL);
		detach(cache);
	}
	hk_tls = hk_tls_cxx = HK_DEAD_CACHE;
}
