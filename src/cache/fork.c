/*
 * Fork in a program with threads: the parent's locks are all taken for it, and the
 * child, alone, inherits the slabs of the threads that it lacks.
 *
 * Between the two libc waits for locks of its own, which other threads may hold
 * while they allocate. So the lock of libc's list of streams comes first, and a
 * thread that finds the heap locked for long is served by the fallback allocator.
 *
 * A signal handler may fork where it interrupted this thread inside the heap. Then
 * this thread's own locks stay as they are: in parent and child, what was interrupted
 * goes on once the handler returns, and until then the fallback allocator serves. The
 * other locks are taken if they become free soon; where another thread holds one that
 * all need, it is lost in the child, whose heap is closed: the fallback allocator
 * serves it for good.
 */
#include "cache/threads.h"
#include "debug/ring.h"
#include "large/large.h"
#include "os/os.h"

#include <pthread.h>

_Atomic uint64_t hk_forked_at;
_Atomic unsigned hk_lost_caches;

/* Forks of this thread that are under way, one in a handler during another. */
static HK_TLS uint8_t depth;

static void each_lock(void (*visit)(struct hk_lock *lock, bool arg), bool arg)
{
	struct hk_cache *cache;

	visit(&hk_registry_lock, arg);
	visit(&hk_orphan_lock, arg);
	/* A cache without a thread changes under the registry lock only. */
	for (cache = hk_caches; cache; cache = cache->next_registered)
		if (cache == &hk_orphan || cache->live)
			visit(&cache->lock, arg);
	visit(hk_pool_lock_itself(), arg);
	visit(hk_large_lock(), arg);
	visit(hk_meta_lock(), arg);
}

static void lock_one(struct hk_lock *lock, bool patient)
{
	hk_lock_for_fork(lock, depth, patient);
}

static void unlock_one(struct hk_lock *lock, bool arg)
{
	(void)arg;
	hk_unlock_for_fork(lock, depth);
}

static void lock_all(bool patient)
{
	depth++;
	each_lock(lock_one, patient);
}

static void unlock_all(void)
{
	each_lock(unlock_one, false);
	depth--;
}

static struct hk_cache *entered_from;

/* As inside, so that a signal handler finds nothing in the lists. */
void hk_lock_everything(void)
{
	lock_all(true);
	hk_all_locked++;
	entered_from = hk_tls;
	hk_tls = &hk_busy_cache;
}

void hk_unlock_everything(void)
{
	hk_tls = entered_from;
	hk_all_locked--;
	unlock_all();
}

/* Handlers registered before ours run inside: see hk_all_locked. A cache made
 * there would be unlocked without having been locked, so there is one before. */
static void fork_prepare(void)
{
	bool inside = hk_inside();
	struct hk_signals signals;
	struct hk_cache *cache;

	if (!depth)
		hk_os_lock_streams();
	if (!inside) {
		hk_event(HK_EVENT_FORK, 0, NULL, 0);
		cache = hk_enter();
		if (cache)
			hk_leave(cache);
	}
	hk_os_block_signals(&signals);
	lock_all(!inside);
	if (!inside)
		hk_all_locked++;
	atomic_store(&hk_forking, hk_self());
	hk_os_restore_signals(&signals);
}

static void fork_parent(void)
{
	struct hk_signals signals;

	atomic_store_explicit(&hk_forked_at, hk_os_now(), memory_order_relaxed);
	hk_os_block_signals(&signals);
	if (!hk_inside())
		hk_all_locked--;
	if (depth == 1)
		atomic_store(&hk_forking, 0);
	unlock_all();
	hk_os_restore_signals(&signals);
	if (!depth)
		hk_os_unlock_streams();
}

static void close_if_held(struct hk_lock *lock)
{
	if (lock->holder && !hk_lock_mine(lock))
		atomic_store(&hk_heap_closed, true);
}

/*
 * The other threads are gone. Slabs at rest are adopted once there is need for them;
 * a cache that its thread was in is abandoned unread.
 */
static void lose_threads(void)
{
	struct hk_cache *cache, *mine = hk_own_cache();

	close_if_held(&hk_registry_lock);
	close_if_held(&hk_orphan_lock);
	close_if_held(&hk_orphan.lock);
	close_if_held(hk_pool_lock_itself());
	close_if_held(hk_large_lock());
	close_if_held(hk_meta_lock());
	for (cache = hk_caches; cache; cache = cache->next_registered) {
		if (cache == mine || cache == &hk_orphan || !cache->live || cache->lost)
			continue;
		cache->lost = !cache->lock.holder || hk_lock_mine(&cache->lock);
		cache->live = cache->lost;
		hk_lost_caches += cache->lost;
		if (!cache->lost)
			atomic_fetch_sub_explicit(&hk_threads, 1, memory_order_relaxed);
	}
}

static void fork_child(void)
{
	struct hk_signals signals;

	hk_os_fork_seen();
	atomic_store_explicit(&hk_forked_at, hk_os_now(), memory_order_relaxed);
	hk_huge_forked();
	hk_os_block_signals(&signals);
	lose_threads();
	if (!hk_inside())
		hk_all_locked--;
	atomic_store(&hk_forking, 0);
	unlock_all();
	hk_os_restore_signals(&signals);
	if (!depth)
		hk_os_reset_streams();
	if (hk_hooks.forked)
		hk_hooks.forked();
}

void hk_fork_unseen(void)
{
	hk_os_fork_seen();
	atomic_store(&hk_forking, 0);
	lose_threads();
	if (hk_hooks.forked)
		hk_hooks.forked();
}

void hk_fork_watch(void)
{
	pthread_atfork(fork_prepare, fork_parent, fork_child);
}
