/* A thread's life: its cache comes with the first slow path and goes with a
 * pthread key; before and after, static empty caches stand in. */
#include "cache/cache.h"
#include "debug/ring.h"
#include "os/os.h"
#include "pool/meta.h"
#include "pool/pool.h"
#include "large/large.h"
#include "slab/pagemap.h"

#include <errno.h>

struct hk_cache hk_empty_cache;
struct hk_cache hk_dead_cache;
HK_TLS struct hk_cache *hk_tls = &hk_empty_cache;
struct hk_cache *hk_caches;
struct hk_limits hk_start_limits[HK_CLASSES];
_Atomic size_t hk_budget_held, hk_budget_holders;
void (*hk_window_end)(struct hk_cache *cache);
struct hk_hooks hk_hooks;

/*
 * The cache of threads that have none: after their teardown, or when there is
 * no memory for one. Its lists are used under its own lock, taken before the
 * cache lock.
 */
static struct hk_cache orphan;
static struct hk_lock orphan_lock = HK_LOCK_INITIALIZER(HK_RANK_ORPHAN);

/* All under its lock, but for started (acquire). */
static struct {
	struct hk_lock lock;
	struct hk_cache *spare;
	_Atomic bool started;
	bool has_key, had_environment;
	pthread_key_t key;
} registry = { .lock = HK_LOCK_INITIALIZER(HK_RANK_REGISTRY) };

enum { SMALL_BATCH = 4, MID_BYTES = 128 * 1024, BATCH_BYTES = 32 * 1024 };

static int32_t clamp(int32_t value, int32_t low, int32_t high)
{
	return value < low ? low : value > high ? high : value;
}

/* Limits from the settings; what they leave open is bounded in bytes. */
static void find_limits(struct hk_limits *limits, unsigned class)
{
	int32_t size = (int32_t)hk_class_size(class);
	unsigned group = hk_class_group(class);
	int32_t capacity = hk_settings.cache_capacity[group];
	int32_t batch = hk_settings.refill_batch[group];

	if (!capacity)
		capacity = clamp(MID_BYTES / size, 2, 512);
	if (!batch)
		batch = clamp(BATCH_BYTES / size, 1, 64);
	/* The trace: with lists that hold nothing, no call is a fast one. */
	if (hk_trace_on())
		capacity = 0;
	limits->capacity = capacity;
	limits->batch = capacity ? clamp(batch, 1, capacity) : 1;
}

static void find_all_limits(void)
{
	unsigned class;

	for (class = 0; class < HK_CLASSES; class++)
		find_limits(&hk_start_limits[class], class);
}

static void set_limits(struct hk_bin *bin, unsigned class)
{
	int32_t capacity = atomic_load_explicit(&hk_start_limits[class].capacity, memory_order_relaxed);
	int32_t batch = atomic_load_explicit(&hk_start_limits[class].batch, memory_order_relaxed);
	int32_t start;

	bin->capacity_max = capacity;
	bin->batch_max = batch < capacity ? batch : clamp(capacity, 1, batch);
	bin->batch = clamp(SMALL_BATCH, 1, bin->batch_max);
	start = capacity < 16 ? clamp(capacity, 0, 2) : capacity / 8;
	bin->room += start - bin->capacity;
	bin->capacity = start;
}

/* Lists that hold nothing, or are not one thread's, learn nothing. */
static int64_t first_window(const struct hk_cache *cache)
{
	int64_t alloc = hk_settings.alloc_learn ? hk_settings.alloc_learn_window : INT64_MAX;
	int64_t mem = hk_settings.mem_learn ? hk_settings.mem_learn_window : INT64_MAX;

	return hk_trace_on() || !hk_cache_private(cache) ? INT64_MAX : alloc < mem ? alloc : mem;
}

static void set_all_limits(struct hk_cache *cache)
{
	unsigned class;

	for (class = 0; class < HK_CLASSES; class++)
		set_limits(&cache->bin[class], class);
	cache->window_left = first_window(cache);
}

void hk_bin_limit(struct hk_cache *cache, struct hk_bin *bin, int32_t capacity, int32_t batch)
{
	bin->capacity_max = capacity;
	bin->batch_max = batch;
	if (bin->batch > batch)
		bin->batch = batch;
	if (bin->capacity <= capacity)
		return;
	bin->room -= bin->capacity - capacity;
	bin->capacity = capacity;
	if (bin->room < 0)
		hk_flush(cache, bin, capacity);
}

static void init_cache(struct hk_cache *cache)
{
	unsigned i;

	cache->lock = (struct hk_lock)HK_LOCK_INITIALIZER(HK_RANK_CACHE);
	set_all_limits(cache);
	for (i = 0; i <= HK_TINY_MAX / HK_GRAIN; i++)
		cache->bin_offset[i] = (uint16_t)((char *)&cache->bin[hk_class_of(i * HK_GRAIN)] -
						  (char *)cache);
}

static void thread_exit(void *argument);
static void fork_prepare(void);
static void fork_parent(void);
static void fork_child(void);

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
	find_all_limits();
	init_cache(&orphan);
	hk_caches = &orphan;
	registry.has_key = pthread_key_create(&registry.key, thread_exit) == 0;
	atomic_store_explicit(&registry.started, true, memory_order_release);
}

/* Handlers of fork as early as can be, since those registered later may use
 * the heap freely. The C library may allocate for them, from an allocator
 * that is started by then. */
static void start_once(void)
{
	bool first;

	hk_lock(&registry.lock);
	first = !atomic_load_explicit(&registry.started, memory_order_relaxed);
	if (first)
		start_process();
	hk_unlock(&registry.lock);
	if (first)
		pthread_atfork(fork_prepare, fork_parent, fork_child);
}

/* Before libc has set the environment there is none to read. */
static void late_settings(void)
{
	struct hk_cache *cache;

	hk_lock_everything();
	hk_settings_load(hk_os_environment(), hk_os_secure());
	hk_ring_start();
	find_all_limits();
	for (cache = hk_caches; cache; cache = cache->next_registered)
		set_all_limits(cache);
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

	hk_lock(&registry.lock);
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
	hk_unlock(&registry.lock);
	return cache;
}

static struct hk_cache *enter(struct hk_cache *cache)
{
	hk_lock(&cache->lock);
	atomic_store_explicit(&cache->inside, &hk_tls, memory_order_relaxed);
	return cache;
}

static struct hk_cache *enter_without_cache(void)
{
	struct hk_cache *cache = NULL;

	if (!atomic_load_explicit(&registry.started, memory_order_acquire))
		start_once();
	/* Not in a fork, which would unlock what it did not lock. */
	if (hk_tls == &hk_empty_cache && !hk_all_locked)
		cache = attach();
	if (!cache) {
		hk_lock(&orphan_lock);
		cache = &orphan;
	} else {
		int saved = errno;

		hk_tls = cache;
		hk_event(HK_EVENT_ATTACH, 0, cache, 0);
		/* Beyond 32 keys this may allocate: from the cache just made. */
		if (registry.has_key)
			pthread_setspecific(registry.key, cache);
		errno = saved;
	}
	return enter(cache);
}

struct hk_cache *hk_enter(void)
{
	struct hk_cache *cache = hk_tls;

	if (cache == &hk_empty_cache || cache == &hk_dead_cache)
		return enter_without_cache();
	return enter(cache);
}

struct hk_cache *hk_entered(void)
{
	struct hk_cache *cache = hk_tls;

	return cache == &hk_empty_cache || cache == &hk_dead_cache ? &orphan : cache;
}

void hk_leave(struct hk_cache *cache)
{
	atomic_store_explicit(&cache->inside, NULL, memory_order_relaxed);
	hk_unlock(&cache->lock);
	if (cache == &orphan)
		hk_unlock(&orphan_lock);
}

static bool is_inside(struct hk_cache *cache)
{
	return atomic_load_explicit(&cache->inside, memory_order_relaxed) == &hk_tls;
}

/*
 * Who goes through the caches of all threads, and which one it has locked; its
 * lists are not entered, so `inside` says nothing of it. Registry lock; by
 * (relaxed) tells other threads only that it is none of them.
 */
static struct {
	_Atomic(void *) by;
	struct hk_cache *cache;
} visit;

static void enter_orphan(void)
{
	hk_lock(&orphan_lock);
	enter(&orphan);
}

static void begin_visits(void)
{
	hk_lock(&registry.lock);
	enter_orphan();
	atomic_store_explicit(&visit.by, &hk_tls, memory_order_relaxed);
}

static void end_visits(void)
{
	atomic_store_explicit(&visit.by, NULL, memory_order_relaxed);
	hk_leave(&orphan);
	hk_unlock(&registry.lock);
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

void hk_leave_to_abort(void)
{
	if (atomic_load_explicit(&visit.by, memory_order_relaxed) == &hk_tls) {
		if (visit.cache)
			end_visit();
		end_visits();
	}
	if (is_inside(hk_tls))
		hk_leave(hk_tls);
	else if (is_inside(&orphan))
		hk_leave(&orphan);
}

bool hk_cache_private(const struct hk_cache *cache)
{
	return cache != &orphan;
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
static void abandon_slabs(struct hk_cache *cache)
{
	unsigned class;

	for (class = 0; class < HK_CLASSES; class++) {
		struct hk_bin *bin = &cache->bin[class];

		abandon_list(bin->avail);
		abandon_list(bin->full);
		bin->avail = bin->full = NULL;
		bin->head = NULL;
		bin->room = bin->capacity;
		set_limits(bin, class);
	}
}

static void flush_all(struct hk_cache *cache)
{
	unsigned class;

	hk_deliver_all(cache);
	hk_suspects_review(cache, true);
	hk_drain_all(cache);
	for (class = 0; class < HK_CLASSES; class++)
		if (cache->bin[class].head)
			hk_flush(cache, &cache->bin[class], 0);
}

static void retire(struct hk_cache *cache)
{
	hk_lock(&registry.lock);
	cache->live = false;
	atomic_fetch_sub_explicit(&hk_threads, 1, memory_order_relaxed);
	if (cache->budget_held) {
		atomic_fetch_sub_explicit(&hk_budget_held, cache->budget_held, memory_order_relaxed);
		atomic_fetch_sub_explicit(&hk_budget_holders, 1, memory_order_relaxed);
		cache->budget_held = 0;
	}
	cache->next_spare = registry.spare;
	registry.spare = cache;
	hk_unlock(&registry.lock);
}

static void thread_exit(void *argument)
{
	struct hk_cache *cache = argument;
	int saved = errno;

	hk_event(HK_EVENT_EXIT, 0, cache, 0);
	enter(cache);
	hk_receive(cache, cache, NULL);
	flush_all(cache);
	abandon_slabs(cache);
	hk_mailbox_close(cache);
	hk_deliver_all(cache);
	hk_tls = &hk_dead_cache;
	hk_leave(cache);
	retire(cache);
	if (hk_hooks.thread_ended)
		hk_hooks.thread_ended();
	errno = saved;
}

void hk_lock_everything(void)
{
	struct hk_cache *cache;

	hk_lock(&registry.lock);
	hk_lock(&orphan_lock);
	for (cache = hk_caches; cache; cache = cache->next_registered)
		hk_lock(&cache->lock);
	hk_pool_lock();
	hk_large_lock();
	hk_meta_lock();
	hk_pagemap_lock();
}

void hk_unlock_everything(void)
{
	struct hk_cache *cache;

	hk_pagemap_unlock();
	hk_meta_unlock();
	hk_large_unlock();
	hk_pool_unlock();
	for (cache = hk_caches; cache; cache = cache->next_registered)
		hk_unlock(&cache->lock);
	hk_unlock(&orphan_lock);
	hk_unlock(&registry.lock);
}

/* Handlers registered before ours run inside: see hk_all_locked. A cache made
 * there would be unlocked without having been locked, so there is one before. */
static void fork_prepare(void)
{
	hk_event(HK_EVENT_FORK, 0, NULL, 0);
	hk_leave(hk_enter());
	hk_lock_everything();
	hk_all_locked = true;
}

_Atomic uint64_t hk_forked_at;

static void fork_parent(void)
{
	atomic_store_explicit(&hk_forked_at, hk_os_now(), memory_order_relaxed);
	hk_all_locked = false;
	hk_unlock_everything();
}

/*
 * The child has this thread alone. The others' slabs were at rest, so they
 * are abandoned as at thread exit and get used again; blocks in the others'
 * lists stay taken, for no one can tell what the hot path was doing. So do
 * the blocks on their way to them.
 */
static void fork_child(void)
{
	struct hk_cache *cache, *mine = hk_tls;

	fork_parent();
	hk_huge_forked();
	if (hk_hooks.forked)
		hk_hooks.forked();
	for (cache = hk_caches; cache; cache = cache->next_registered) {
		unsigned i;

		if (cache == mine || !cache->live)
			continue;
		hk_lock(&cache->lock);
		hk_drain_all(cache);
		abandon_slabs(cache);
		atomic_store(&cache->mailbox, HK_MAILBOX_CLOSED);
		cache->inbox = NULL;
		for (i = 0; i < HK_BATCHES; i++)
			cache->batch[i] = (struct hk_batch){ 0 };
		hk_suspects_forget(cache);
		hk_unlock(&cache->lock);
		retire(cache);
	}
}

size_t hk_reclaim(struct hk_cache *cache)
{
	hk_receive(cache, cache, NULL);
	flush_all(cache);
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
		if (cache == &orphan)
			continue;
		begin_visit(cache);
		hk_receive(cache, &orphan, NULL);
		hk_drain_all(cache);
		hk_release_empty(cache);
		bytes += hk_sparse_purge(cache);
		end_visit();
	}
	hk_receive(&orphan, &orphan, NULL);
	flush_all(&orphan);
	hk_release_empty(&orphan);
	bytes += hk_sparse_purge(&orphan);
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

		if (cache != &orphan)
			begin_visit(cache);
		before = cache->remote_received;
		hk_receive(cache, &orphan, NULL);
		bytes += cache->remote_received != before;
		hk_sweep_idle(cache, now);
		bytes += hk_sparse_age(cache, now, SLABS_OF_ONE);
		*due |= cache->sparse_due != NULL;
		waits |= cache->sparse_due || cache->sparse_old || cache->sparse_new ||
			cache->spilled_bytes;
		if (cache != &orphan)
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
		enter_orphan();
		if (idle)
			bytes += hk_reuse_drain(&orphan, true);
		idle = false;
		more = hk_pool_age(now);
		bytes += more;
		hk_leave(&orphan);
	} while (more);
	enter_orphan();
	bytes += hk_large_age(now);
	hk_leave(&orphan);
	do
		bytes += age_caches(now, &due);
	while (due);
	return bytes;
}

void hk_cache_shared(void (*work)(void))
{
	enter_orphan();
	work();
	hk_leave(&orphan);
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
		if (cache == &orphan || cache == hk_tls || !has_mail(cache))
			continue;
		begin_visit(cache);
		hk_receive(cache, &orphan, NULL);
		end_visit();
	}
	hk_receive(&orphan, &orphan, NULL);
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
