/*
 * The ladder: free memory is released step by step, from the lists of threads to the
 * system. ladder.def says how much each rung releases for each reason.
 *
 * The rungs of a cache need its lock; those that make system calls are climbed with no lock
 * held. The lists and batches of a thread are never touched by another thread, because the
 * owner's hot path uses them without a lock.
 */
#include "cache/internal.h"

#include "large/large.h"
#include "os/os.h"
#include "pool/eager.h"
#include "range/range.h"

#include <string.h>

enum rung { BATCHES, MAILBOX, CHAINS, LISTS, SLABS, STAGE1, HOLES, SLOTS, RANGES, RUNGS };
enum amount { NONE, SOME, IDLE, OTHERS, FEW, DUE, ALL };
enum caches { OWN, EVERY };

_Static_assert(HK_RECLAIM_REASONS <= 8 * sizeof(uint16_t), "a bit of due for each reason");

static const struct row {
	uint8_t caches, much[RUNGS];
} ladder[HK_RECLAIM_REASONS] = {
#define RECLAIM(reason, caches, ...) { caches, { __VA_ARGS__ } },
#include "cache/ladder.def"
};

/* Slabs without an owner are adopted by the shared cache: if they were adopted by the
 * visited cache, the hot path of its thread could use them at the same time. False: this
 * thread cannot enter now. */
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

/* A slab that is being purged never counts as empty, so the purge still finds it. */
static void abandon_list(struct hk_list *slabs)
{
	struct hk_slab *slab;

	while ((slab = hk_slab_listed(slabs->first)) != NULL) {
		hk_list_remove(&slab->listed);
		if (slab->used == 0)
			hk_pool_return(slab);
		else
			hk_pool_abandon(slab);
	}
}

static void flush_lists(struct hk_cache *cache)
{
	unsigned class;

	for (class = 0; class < HK_CLASSES; class++)
		if (cache->bin[class].head != HK_LIST_END)
			hk_flush(cache, &cache->bin[class], 0);
}

/* The slabs are given up before the mailbox is closed: see remote.c. */
void hk_abandon_slabs(struct hk_cache *cache)
{
	unsigned class;

	for (class = 0; class < HK_CLASSES; class++) {
		struct hk_bin *bin = &cache->bin[class];

		abandon_list(&bin->avail);
		abandon_list(&bin->full);
		bin->head = HK_LIST_END;
		bin->room = bin->capacity;
	}
	hk_shown_forget(cache);
	hk_lists_restart(cache);
}

/* In the child of a fork: adopts the slabs of the parent's other threads. Blocks in their
 * lists and batches are leaked, because their hot paths may have been changing them during
 * the fork. */
static void adopt_lost(void)
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
			hk_receive(cache, &hk_orphan);
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

/* This cache becomes the owner of the slabs of ended threads, so that their free pages are
 * released like those of its own slabs. */
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

_Atomic size_t hk_mail_slots;

/* Empties the mailboxes of other threads. *seen: the number of caches. Returns how many had
 * mail; an ended thread has none. */
static unsigned visit_mailboxes(unsigned *seen)
{
	struct hk_cache *cache;
	unsigned found = 0;

	*seen = 0;
	for (cache = hk_caches; cache; cache = cache->next_registered) {
		++*seen;
		if (cache == hk_tls || !hk_has_mail(cache) || !begin_visit(cache))
			continue;
		hk_receive(cache, &hk_orphan);
		end_visit(cache);
		found++;
	}
	return found;
}

/* At most once for the same growth of the heap. The heap may grow more until the next time if
 * there are many caches or if none had mail, so that the cost is small compared with that of
 * the new pages. */
static void collect_mail(void)
{
	size_t touched = hk_pool_touched(), at = atomic_load_explicit(&hk_mail_slots, memory_order_relaxed);
	unsigned seen, step;

	/* If the heap has shrunk to half, the threshold is out of date. */
	if ((touched < at && touched > at / 2) ||
	    !atomic_compare_exchange_strong(&hk_mail_slots, &at, touched + HK_GROW_SLOTS))
		return;
	adopt_lost();
	step = visit_mailboxes(&seen) ? 1 : HK_MAIL_NONE;
	step += step * seen / HK_MAIL_CACHES;
	atomic_store_explicit(&hk_mail_slots, touched + step, memory_order_relaxed);
}

/* The shared cache has no thread that would notice its mail. */
static void collect_shared_mail(void)
{
	if (!hk_has_mail(&hk_orphan) || hk_inside() || !hk_enter_cache(&hk_orphan))
		return;
	hk_receive(&hk_orphan, &hk_orphan);
	hk_leave(&hk_orphan);
}

static uint32_t moves(const struct hk_cache *cache, unsigned class)
{
	return (uint32_t)(cache->bin[class].refills + cache->bin[class].flushes +
			  (cache->used_chains ? cache->spilled[class].moves : 0));
}

/* Does this amount include the class? idle: the class had no refill or flush. */
static bool applies(unsigned much, bool idle)
{
	return much == ALL || (much == IDLE && idle);
}

static void climb_class(struct hk_cache *cache, const uint8_t *much, unsigned class, bool own,
			unsigned *chains)
{
	struct hk_bin *bin = &cache->bin[class];
	bool idle = cache->swept[class] == moves(cache, class);

	if (idle)
		cache->fresh[class] = 0;
	if (applies(much[CHAINS], idle))
		*chains = hk_drain(cache, class, *chains);
	if (own && applies(much[LISTS], idle))
		hk_hide(cache, class);
	if (own && applies(much[LISTS], idle) && bin->head != HK_LIST_END) {
		hk_flush(cache, bin, 0);
		hk_bin_shorten(cache, bin);
	} else if (own && much[LISTS] == ALL) {
		hk_bin_shorten(cache, bin);
	}
	if (applies(much[SLABS], idle))
		hk_bin_release_empty(bin);
	cache->swept[class] = moves(cache, class);
}

/* The blocks of an idle list may keep slabs from becoming empty. A thread puts only a few
 * chains back at a time, because the program waits for it. */
static void climb_classes(struct hk_cache *cache, const uint8_t *much, uint64_t now, bool own)
{
	unsigned class, chains = own && much[CHAINS] == IDLE ? HK_DRAIN_CHAINS : HK_CHAINS;

	cache->swept_at = now;
	for (class = 0; class < HK_CLASSES; class++)
		climb_class(cache, much, class, own, &chains);
}

/* Does it empty one of the three rungs that are emptied class by class? */
static bool has_sweep(const uint8_t *much)
{
	return much[CHAINS] > SOME || much[LISTS] || much[SLABS];
}

static bool sweep_is_due(const struct hk_cache *cache, enum hk_reclaim_reason reason, uint64_t now)
{
	return reason == HK_FOR_GROWTH || ladder[reason].much[SLABS] == ALL || now - cache->swept_at >= HK_IDLE_MS;
}

/* The rungs of a cache, whose lock is held. by: the cache itself if its owner calls,
 * otherwise the shared cache. */
static void climb(struct hk_cache *cache, struct hk_cache *by, enum hk_reclaim_reason reason)
{
	const uint8_t *much = ladder[reason].much;
	bool own = by == cache;
	uint64_t now;

	if (own && much[BATCHES])
		hk_deliver_all(cache);
	if (much[MAILBOX] == ALL)
		hk_receive(cache, by);
	if (much[CHAINS] == SOME)
		hk_drain_some(cache);
	if (has_sweep(much)) {
		now = hk_os_now();
		if (sweep_is_due(cache, reason, now))
			climb_classes(cache, much, now, own);
	}
	if (own && much[STAGE1])
		take_abandoned(cache);
	/* Slabs without an owner were in no list of sparse slabs. */
	if (much[HOLES] == ALL || (much[STAGE1] && much[HOLES] && !hk_cache_private(cache)))
		hk_sparse_all(cache);
}

void hk_reclaim_held(struct hk_cache *cache, enum hk_reclaim_reason reason)
{
	const uint8_t *much = ladder[reason].much;

	climb(cache, cache, reason);
	if (much[MAILBOX] == OTHERS || much[HOLES] || much[SLOTS] || much[RANGES])
		cache->due |= (uint16_t)(1u << reason);
}

/* Inside the heap, because it may take the lock of the ranges. */
static size_t release(const struct hk_pool_release *r)
{
	struct hk_before before = hk_find_nothing();
	size_t bytes = hk_pool_release(r);

	hk_find_again(before);
	return bytes;
}

static bool release_superslab(uint64_t now, bool all, size_t *bytes)
{
	struct hk_cache *cache = hk_enter_own();
	struct hk_pool_release r;
	bool found;

	if (!cache)
		return false;
	found = all ? hk_pool_trim(&r) : hk_pool_due(now, &r);
	hk_leave(cache);
	if (found)
		*bytes += release(&r);
	return found;
}

/* The number of attempts is bounded, because memory that the kernel refuses to release
 * (mlock) is found again. */
static size_t release_superslabs(uint64_t now, bool all, uint32_t most)
{
	size_t bytes = 0;

	while (most-- && release_superslab(now, all, &bytes))
		;
	return bytes;
}

/* Inside the heap, because it takes the lock of the ranges. */
size_t hk_unmap_ranges(struct hk_range *ranges)
{
	struct hk_before before = hk_find_nothing();
	size_t bytes = hk_range_unmap(ranges);

	hk_find_again(before);
	return bytes;
}

static size_t release_ranges(uint64_t now, unsigned much)
{
	struct hk_cache *cache = hk_enter_own();
	struct hk_range *ranges;

	if (!cache)
		return 0;
	ranges = much == ALL ? hk_range_all() : hk_large_due(now, much == FEW ? HK_RANGE_RELEASES : UINT_MAX);
	hk_leave(cache);
	return hk_unmap_ranges(ranges);
}

static size_t release_sparse(struct hk_cache *cache, uint64_t now, unsigned most)
{
	struct hk_slab_purge purge;
	size_t bytes = 0;
	bool found = true;

	while (found && most-- && hk_enter_cache(cache)) {
		found = hk_sparse_begin(cache, now, &purge);
		hk_leave(cache);
		bytes += found ? hk_sparse_purge(&purge) : 0;
	}
	return bytes;
}

/* The free pages in the slabs of a cache; no lock held. */
static size_t climb_holes(struct hk_cache *cache, unsigned much, uint64_t now)
{
	if (!much)
		return 0;
	/* hk_sparse_all has made every slab due, so no clock is needed. */
	return release_sparse(cache, much == ALL ? 0 : now,
			      much == FEW && !hk_is_eager() ? HK_SPARSE_TICK : UINT_MAX);
}

/* The rungs that belong to no cache; no lock held. */
static size_t climb_shared(const uint8_t *much, uint64_t now)
{
	size_t bytes = 0;

	if (much[SLOTS] == ALL || (much[SLOTS] && hk_pool_is_due(now)))
		bytes += release_superslabs(now, much[SLOTS] == ALL, much[SLOTS] == FEW ?
					    HK_RELEASE_SUPERSLABS : hk_superslab_end());
	if (much[RANGES] == ALL || (much[RANGES] && hk_large_is_due(now)))
		bytes += release_ranges(now, much[RANGES]);
	return bytes;
}

void hk_reclaim_rest(unsigned reasons)
{
	struct hk_cache *cache = hk_has_lists(hk_tls) ? hk_tls : &hk_orphan;
	uint64_t now = hk_os_now();

	if (reasons & (1u << HK_FOR_TICK | 1u << HK_FOR_END))
		collect_shared_mail();
	/* TICK includes all of FREED. */
	if (reasons & 1u << HK_FOR_TICK)
		reasons &= ~(1u << HK_FOR_FREED);
	for (; reasons; reasons &= reasons - 1) {
		const uint8_t *much = ladder[__builtin_ctz(reasons)].much;

		if (much[MAILBOX] == OTHERS)
			collect_mail();
		climb_holes(cache, much[HOLES], now);
		climb_shared(much, now);
	}
}

static size_t climb_own(enum hk_reclaim_reason reason, uint64_t now)
{
	struct hk_cache *cache = hk_enter_own();

	if (!cache)
		return 0;
	climb(cache, cache, reason);
	hk_leave(cache);
	return climb_holes(cache, ladder[reason].much[HOLES], now);
}

/* One cache at a time, and its lock is held for short times only. If blocks moved, one byte
 * is added to the result. */
static size_t climb_every(enum hk_reclaim_reason reason, uint64_t now)
{
	struct hk_cache *cache;
	size_t bytes = 0, before;
	bool waits = false;

	FOR_EACH_CACHE(cache) {
		if (!begin_visit(cache))
			return bytes;
		before = cache->remote_received;
		climb(cache, &hk_orphan, reason);
		bytes += cache->remote_received != before;
		end_visit(cache);
		bytes += climb_holes(cache, ladder[reason].much[HOLES], now);
		if (!begin_visit(cache))
			return bytes;
		waits |= cache->sparse_due.first || cache->sparse_old.first ||
			 cache->sparse_new.first || cache->spilled_bytes;
		end_visit(cache);
	}
	atomic_store_explicit(&hk_sparse_waits, waits, memory_order_relaxed);
	if (ladder[reason].much[STAGE1] && begin_visit(&hk_orphan)) {
		/* Its classes need not be idle, and threads used it since the climb. */
		flush_lists(&hk_orphan);
		hk_abandon_slabs(&hk_orphan);
		end_visit(&hk_orphan);
	}
	return bytes;
}

size_t hk_reclaim(enum hk_reclaim_reason reason)
{
	const struct row *row = &ladder[reason];
	uint64_t now = hk_os_now();
	size_t bytes = 0;

	adopt_lost();
	if (row->caches == EVERY) {
		/* First, so that the other caches receive what this thread sends. */
		if (row->much[BATCHES])
			bytes += climb_own(reason, now);
		bytes += climb_every(reason, now);
	}
	if (row->caches == OWN || row->much[BATCHES])
		bytes += climb_own(reason, now);
	if (row->caches == OWN)
		collect_shared_mail();
	return bytes + climb_shared(row->much, now);
}
