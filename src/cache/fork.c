/*
 * Fork in a program with threads. The parent takes all locks of the allocator before the
 * fork. The child has only one thread, and it inherits the slabs of the other ones.
 *
 * After our locks are taken, libc waits for locks of its own, which other threads may hold
 * while they allocate. To avoid a deadlock, the lock of libc's list of streams is taken
 * before ours, and a thread that finds the heap locked for long uses the fallback
 * allocator.
 *
 * A signal handler may interrupt this thread inside the heap and fork. The locks that this
 * thread holds then stay as they are: in parent and child the interrupted operation
 * continues once the handler returns. Until then this thread, and in the child also threads
 * that the handler starts, use the fallback allocator. The other locks are taken if they
 * become free soon. If another thread keeps a lock that the whole heap needs, that lock is
 * never released in the child: its heap is closed, and it uses the fallback allocator from
 * then on. Two threads in such handlers do not wait for each other: a lock is marked as
 * parked while its holder is in such a handler.
 *
 * If there is no other thread, the fork takes no lock: each page that a handler writes to
 * causes a page fault in the parent, and another one in the child.
 */
#include "cache/fallback.h"
#include "cache/internal.h"

#include "config/control.h"
#include "config/settings.h"
#include "debug/ring.h"
#include "os/os.h"
#include "pool/pool.h"
#include "range/range.h"
#include "slab/meta.h"

_Atomic uint64_t hk_forked_at;
_Atomic unsigned hk_lost_caches;

/* A cache without a thread changes under the registry lock only. The result of these two
 * functions is true if that of every visit is. */
static bool each_cache_lock(bool (*visit)(struct hk_lock *lock, bool arg), bool arg)
{
	struct hk_cache *cache;
	bool all = visit(&hk_orphan.lock, arg);

	if (hk_lock_mine(&hk_registry_lock)) {
		for (cache = hk_live_cache(hk_live_caches.first); cache;
		     cache = hk_live_cache(cache->among_live.next))
			all &= visit(&cache->lock, arg);
		return all;
	}
	/* The list of live caches may be half changed, and threads may start and end until the
	 * locks are released. */
	for (cache = hk_caches; cache; cache = cache->next_registered)
		all &= visit(&cache->lock, arg);
	return all;
}

static bool each_lock(bool (*visit)(struct hk_lock *lock, bool arg), bool arg)
{
	bool all = visit(&hk_registry_lock, arg);

	all &= visit(&hk_orphan_lock, arg);
	all &= each_cache_lock(visit, arg);
	all &= visit(hk_pool_lock_itself(), arg);
	all &= visit(hk_range_lock(), arg);
	return visit(hk_meta_lock(), arg) && all;
}

static bool lock_one(struct hk_lock *lock, bool patient)
{
	hk_lock_for_fork(lock, hk_forks.depth, patient);
	return hk_lock_mine(lock);
}

/* Between these two calls this thread uses the heap without locks, all of which it holds. */
static void use_unlocked(void)
{
	hk_forks.all_locked |= (uint8_t)(1u << (hk_forks.depth - 1));
}

static void use_locked(void)
{
	hk_forks.all_locked &= (uint8_t)~(1u << (hk_forks.depth - 1));
}

static bool unlock_one(struct hk_lock *lock, bool arg)
{
	(void)arg;
	hk_unlock_for_fork(lock, hk_forks.depth);
	return true;
}

static bool lock_all(bool patient)
{
	hk_forks.depth++;
	return each_lock(lock_one, patient);
}

/* The registry lock is released last because it protects the list of caches. */
static void unlock_all(void)
{
	each_cache_lock(unlock_one, false);
	unlock_one(hk_pool_lock_itself(), false);
	unlock_one(hk_range_lock(), false);
	unlock_one(hk_meta_lock(), false);
	unlock_one(&hk_orphan_lock, false);
	unlock_one(&hk_registry_lock, false);
	hk_forks.depth--;
}

/* Marks a lock that this thread held when a signal handler interrupted it, or removes the mark. */
static bool park_one(struct hk_lock *lock, bool parked)
{
	if (hk_lock_mine(lock))
		atomic_store_explicit(&lock->parked, parked, memory_order_relaxed);
	return true;
}

/* Releases what the fork has locked. The marks are removed after that, because each_cache_lock then
 * visits the same caches as when they were set: one of them may have lost its thread. */
static void release_all(void)
{
	unlock_all();
	if (hk_inside())
		each_lock(park_one, false);
}

static struct hk_before before;

/* Inside the heap, so that a signal handler finds empty lists. */
bool hk_lock_everything(void)
{
	struct hk_before now = hk_find_nothing();

	if (!lock_all(true)) {
		unlock_all();
		hk_find_again(now);
		return false;
	}
	use_unlocked();
	before = now;
	return true;
}

void hk_unlock_everything(void)
{
	struct hk_before then = before;

	use_locked();
	unlock_all();
	hk_find_again(then);
}

/* In the handlers after a fork: did another thread exist when it began? */
static bool has_locked(void)
{
	return hk_forks.depth != 0;
}

/* Fork handlers that were registered before ours run with all locks held: see
 * hk_forks.all_locked. This thread gets no cache meanwhile, because a new cache would be unlocked
 * without having been locked. So it gets its cache first, unless it is cold. */
static void fork_prepare(void)
{
	bool inside = hk_inside();
	struct hk_signals signals;

	if (!inside)
		hk_event(HK_EVENT_FORK, 0, NULL, 0);
	if (!hk_forks.depth && hk_os_is_alone())
		return;
	if (inside)
		each_lock(park_one, true);
	if (!hk_forks.depth)
		hk_os_lock_streams();
	if (!inside)
		hk_get_ready();
	hk_os_block_signals(&signals);
	/* What a signal handler has interrupted may be in an inconsistent state. */
	if (lock_all(!inside) && !inside)
		use_unlocked();
	atomic_store(&hk_forking, hk_self());
	hk_os_restore_signals(&signals);
}

static void note_time(void)
{
	if (hk_settings.mem_learn)
		atomic_store_explicit(&hk_forked_at, hk_os_now(), memory_order_relaxed);
}

static void fork_parent(void)
{
	struct hk_signals signals;

	note_time();
	if (!has_locked())
		return;
	hk_os_block_signals(&signals);
	use_locked();
	if (hk_forks.depth == 1)
		atomic_store(&hk_forking, 0);
	release_all();
	hk_os_restore_signals(&signals);
	if (!hk_forks.depth)
		hk_os_unlock_streams();
}

static void close_if_held(struct hk_lock *lock)
{
	if (hk_lock_held(lock) && !hk_lock_mine(lock))
		atomic_store(&hk_heap_closed, HK_CLOSED_FOR_GOOD);
}

/*
 * The other threads do not exist in the child. Their slabs are adopted when they are
 * needed. A cache whose thread was inside it may be inconsistent and is never used.
 */
static void lose_threads(void)
{
	struct hk_cache *cache, *next, *mine = hk_own_cache();

	hk_limit_forked();
	hk_control_forked();
	hk_fallback_forked();
	close_if_held(&hk_registry_lock);
	close_if_held(&hk_orphan_lock);
	close_if_held(&hk_orphan.lock);
	close_if_held(hk_pool_lock_itself());
	close_if_held(hk_range_lock());
	close_if_held(hk_meta_lock());
	if (mine)
		close_if_held(&mine->lock);
	if (atomic_load(&hk_heap_closed))
		return;
	for (cache = hk_live_cache(hk_live_caches.first); cache; cache = next) {
		next = hk_live_cache(cache->among_live.next);
		/* A handler may have interrupted this thread while it got a cache, so `mine` may be
		 * another one. */
		if (cache->thread == hk_self() || cache->lost)
			continue;
		cache->lost = !hk_lock_held(&cache->lock) || hk_lock_mine(&cache->lock);
		if (cache->lost)
			hk_lost_caches++;
		else
			hk_unlist_live(cache);
	}
}

/* What this thread interrupted has to be completed before the heap is used. */
static void close_if_inside(void)
{
	if (hk_inside() && !atomic_load(&hk_heap_closed))
		atomic_store(&hk_heap_closed, hk_self());
}

static void leave_threads(void)
{
	struct hk_signals signals;

	hk_os_block_signals(&signals);
	lose_threads();
	use_locked();
	close_if_inside();
	atomic_store(&hk_forking, 0);
	release_all();
	hk_os_restore_signals(&signals);
	if (!hk_forks.depth)
		hk_os_reset_streams();
}

static void fork_child(void)
{
	bool locked = has_locked();
	/* Has a handler that ran after fork_prepare started a thread? One that exists only in the
	 * child has not been lost. */
	bool has_lost = !locked && hk_os_fork_unseen();

	hk_os_fork_seen();
	note_time();
	hk_thp_forked();
	if (locked) {
		leave_threads();
	} else {
		if (has_lost)
			lose_threads();
		close_if_inside();
	}
	/* If a handler of the child has started a thread, there may be a scavenger already. */
	if (hk_hooks.forked && (locked || has_lost || hk_os_is_alone()))
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
	hk_os_at_fork(fork_prepare, fork_parent, fork_child);
}
