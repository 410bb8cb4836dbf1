/* The cache of a thread is created in its first slow path and given up by the destructor of
 * a pthread key. Before and after, the thread uses static empty caches. */
#include "cache/internal.h"

#include "debug/ring.h"
#include "os/os.h"
#include "pool/pool.h"
#include "range/decay.h"
#include "sample/sample.h"
#include "slab/meta.h"

#include <errno.h>

void (*hk_window_end)(struct hk_cache *cache);
struct hk_hooks hk_hooks;

/* Protected by the registry lock, except that started is read without it (acquire). */
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
	hk_limit_start();
	init_cache(&hk_orphan);
	atomic_store_explicit(&hk_caches, &hk_orphan, memory_order_release);
	atomic_store_explicit(&registry.started, true, memory_order_release);
}

/* What the settings turn on, after the heap has been started. */
static void start_recorders(void)
{
	hk_ring_start();
	hk_sample_start();
	if (hk_sampling())
		hk_lists_lead();
}

/*
 * Runs in the first slow path of the process, which may precede all constructors. libc is
 * called before the lock is taken, or after it is released, when the allocator is ready for
 * calls from libc. Fork handlers are registered as early as possible, because handlers that
 * are registered after ours may use the heap without restrictions.
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
	/* No fork can hold it for long yet. */
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
	start_recorders();
	hk_fork_watch();
	/* This thread may have got its cache before the key existed. */
	if (hk_os_key_start(thread_exit) && hk_has_lists(hk_tls))
		hk_os_key_set(hk_tls);
}

void hk_start(void)
{
	if (!atomic_load_explicit(&registry.started, memory_order_acquire))
		start_once();
}

/* If the heap was started before libc had set the environment, it is read now. */
static void late_settings(void)
{
	struct hk_cache *cache;

	if (!hk_lock_everything())
		return;
	hk_settings_load(hk_os_environment(), hk_os_secure());
	hk_limits_find();
	hk_limit_start();
	for (cache = hk_caches; cache; cache = cache->next_registered)
		hk_cache_limit(cache);
	hk_unlock_everything();
	start_recorders();
}

__attribute__((constructor(101))) static void hk_constructor(void)
{
	hk_get_ready();
	if (!registry.had_environment)
		late_settings();
	atomic_store_explicit(&hk_purge_delay, hk_settings.mem_learn_delay, memory_order_relaxed);
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

/* NULL: out of memory, or a fork takes long, or a signal handler has just created the cache of this
 * thread. */
static struct hk_cache *attach(void)
{
	struct hk_cache *cache = NULL;
	struct hk_before before;

	hk_meta_fill();
	before = hk_find_nothing();
	if (before.tls == HK_EMPTY_CACHE && hk_lock_or_leave(&hk_registry_lock)) {
		cache = new_cache();
		hk_unlock(&hk_registry_lock);
	}
	if (cache)
		before.tls = cache;
	hk_find_again(before);
	return cache;
}

_Static_assert((int)HK_COLD_CALLS_MOST + (int)HK_COLD_CALLS_LOCKED <= (int)HK_BITS_COLD,
	       "hk_thread_bits counts them");

static unsigned cold_calls(void)
{
	return hk_thread_bits & HK_BITS_COLD;
}

/* Does a thread have a cache? For threads that have none. */
static bool another_thread(void)
{
	return atomic_load_explicit(&hk_threads, memory_order_relaxed) > hk_lost_caches;
}

static unsigned most_cold_calls(void)
{
	unsigned most = HK_COLD_CALLS + atomic_load_explicit(&hk_threads, memory_order_relaxed);

	return most < HK_COLD_CALLS_MOST ? most : HK_COLD_CALLS_MOST;
}

/*
 * A new thread uses the shared cache for its first calls, unless it is the only thread: many
 * threads make no more calls than that, and their blocks are then in the same pages, instead
 * of in a page of each class of each thread. The more threads have a cache, the more calls
 * these are. Not with HAKMEM_HARDEN, because the shared cache has no quarantine.
 */
bool hk_thread_cold(void)
{
	return hk_tls == HK_EMPTY_CACHE && cold_calls() < most_cold_calls() && !hk_harden &&
	       another_thread();
}

/* Frees of blocks of the shared cache do not count, because they are fast for a thread that
 * uses it, and are sent to it by one that does not. */
struct hk_cache *hk_enter_to_free(const struct hk_slab *slab)
{
	if (cold_calls() && slab && atomic_load_explicit(&slab->owner, memory_order_relaxed) == &hk_orphan &&
	    hk_thread_cold())
		hk_thread_bits--;
	return hk_enter();
}

/* The key tells when the thread ends. libc frees memory after that, and a cache that the
 * thread got then would never be given up. */
static void count_cold_call(void)
{
	unsigned counts = hk_lock_held(&hk_orphan_lock) ? HK_COLD_CALLS_LOCKED : 1;
	bool first = !cold_calls();

	hk_thread_bits = (uint16_t)(hk_thread_bits + counts);
	if (first)
		hk_os_key_set(HK_EMPTY_CACHE);
}

/* The lock may be held for long, for example by a thread that is stopped in a signal handler.
 * A cold thread does not wait for it a second time: its next call creates its cache. */
static struct hk_cache *enter_shared(void)
{
	if (hk_enter_cache(&hk_orphan))
		return &hk_orphan;
	hk_thread_bits = (uint16_t)((hk_thread_bits & ~(unsigned)HK_BITS_COLD) | HK_COLD_CALLS_MOST);
	return NULL;
}

static struct hk_cache *enter_without_cache(void)
{
	struct hk_cache *cache = NULL;
	int saved = errno;

	hk_start();
	if (another_thread())
		hk_os_watch_forks();
	if (hk_thread_cold())
		count_cold_call();
	/* Not during a fork, which would unlock the new cache without having locked it. */
	else if (hk_tls == HK_EMPTY_CACHE && !hk_forks.all_locked)
		cache = attach();
	if (!cache) {
		errno = saved;
		return enter_shared();
	}
	hk_event(HK_EVENT_ATTACH, 0, cache, 0);
	/* With more than 32 keys this may allocate, which uses the new cache. */
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

bool hk_get_ready(void)
{
	struct hk_cache *cache = hk_enter();

	if (cache)
		hk_leave(cache);
	return cache != NULL;
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

/* If a signal handler ends its thread inside the heap, the cache is lost. A thread without a
 * cache passes HK_EMPTY_CACHE. */
static void thread_exit(void *argument)
{
	struct hk_cache *cache = argument != HK_EMPTY_CACHE ? argument : hk_tls;
	int saved = errno;

	if (hk_inside())
		return;
	if (!hk_has_lists(cache)) {
		hk_tls = hk_tls_cxx = HK_DEAD_CACHE;
		return;
	}
	detach(cache);
	if (hk_hooks.thread_ended)
		hk_hooks.thread_ended();
	errno = saved;
}

unsigned hk_program_threads(void)
{
	unsigned all = atomic_fetch_add(&hk_threads, 0), lost = atomic_load(&hk_lost_caches);

	return all > lost ? all - lost : 0;
}

/* The thread may already have a cache, because a library that wraps pthread_create may have
 * used the heap in it. */
void hk_thread_apart(void)
{
	struct hk_cache *cache = HK_UNKNOWN_THREAD ? NULL : hk_own_cache();

	if (cache) {
		hk_os_key_set(NULL);
		detach(cache);
	}
	hk_tls = hk_tls_cxx = HK_DEAD_CACHE;
}
