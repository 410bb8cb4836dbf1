/*
 * Release to the system. SuperSlabs with free dirty slots wait in a queue, the coldest
 * first. What is due (range/decay.h) is released by threads that free slots, so that the
 * work is proportional to the memory that is freed and not to the heap. The memory that may
 * wait is bounded by a share of the heap, and the coldest excess is released at once,
 * because a program may free everything and then stop calling the allocator.
 */
#include "config/policy.h"
#include "config/settings.h"
#include "debug/ring.h"
#include "os/os.h"
#include "pool/eager.h"
#include "pool/internal.h"
#include "range/range.h"
#include "slab/pagemap.h"

/* Claims slots while their pages are released, so that no other thread can claim them. */
static uint64_t claim_mask(struct hk_superslab *s, uint64_t wanted)
{
	_Atomic uint64_t *free = &s->shared_meta->free;

	return wanted & atomic_fetch_and_explicit(free, ~wanted, memory_order_acquire);
}

unsigned hk_dirty_slots(const struct hk_shared_meta *m)
{
	return (unsigned)__builtin_popcountll(
		atomic_load_explicit(&m->free, memory_order_relaxed) &
		~atomic_load_explicit(&m->clean, memory_order_relaxed));
}

/* Claims all of an empty SuperSlab; false: it is not empty. */
static bool claim_whole(struct hk_superslab *s)
{
	uint64_t all = HK_ALL_SLOTS;

	return atomic_compare_exchange_strong_explicit(&s->shared_meta->free, &all, 0,
			memory_order_acquire, memory_order_relaxed);
}

static void cleaned(unsigned slots)
{
	hk_decay_subtract(&hk_pool.dirty, slots);
	atomic_fetch_sub_explicit(&hk_pool_touched_slots, slots, memory_order_relaxed);
}

/* No thread can find the SuperSlab afterwards. Pool lock held, all slots claimed. Statistics
 * take the lock, so that they never count a SuperSlab whose memory is unmapped. */
static void hide(struct hk_superslab *s)
{
	hk_bucket_remove(s);
	hk_queue_remove(s);
	s->base = 0;
	atomic_fetch_sub_explicit(&hk_pool_counters.superslabs, 1, memory_order_relaxed);
	hk_count(&hk_pool_counters.unmapped);
}

/* The SuperSlab gives up its address range. */
static void forget_range(struct hk_superslab *s, void *memory)
{
	hk_event(HK_EVENT_UNMAP, 0, memory, HK_SUPERSLAB_SIZE);
	hk_granule_clear(memory);
	cleaned(HK_SLOTS - (unsigned)__builtin_popcountll(
		atomic_load_explicit(&s->shared_meta->clean, memory_order_relaxed)));
}

static void forget(struct hk_superslab *s)
{
	if (atomic_exchange_explicit(&s->shared_meta->pages, HK_PAGES_SMALL, memory_order_relaxed) ==
	    HK_PAGES_HUGE)
		atomic_fetch_sub_explicit(&hk_huge_superslabs, 1, memory_order_relaxed);
	hk_meta_spare(s);
}

static size_t unmap(struct hk_superslab *s, void *memory)
{
	forget_range(s, memory);
	forget(s);
	return hk_range_unmap_memory(memory, HK_SUPERSLAB_SIZE);
}

void *hk_pool_give(void)
{
	struct hk_superslab *s;
	void *memory = NULL;

	if (!hk_pool_lock())
		return NULL;
	s = hk_pool.bucket[HK_SLOTS];
	if (s && !atomic_load(&s->shared_meta->pinned) && hk_dirty_slots(s->shared_meta) && claim_whole(s)) {
		memory = (void *)s->base;
		hide(s);
	}
	hk_pool_unlock();
	if (memory) {
		hk_slots_unmark(s, (uintptr_t)memory, 0, HK_SLOTS);
		forget_range(s, memory);
		forget(s);
		hk_count(&hk_pool_counters.given);
	}
	return memory;
}

/* Purges runs of claimed slots, but only whole pages: if a page is larger than a slot, the
 * rest of it may be in use. Returns the slots that are clean now. */
static uint64_t purge_runs(struct hk_superslab *s, uint64_t slots, size_t *bytes)
{
	uint64_t done = 0;

	while (slots) {
		unsigned first = (unsigned)__builtin_ctzll(slots);
		uint64_t rest = ~(slots >> first);
		unsigned n = rest ? (unsigned)__builtin_ctzll(rest) : HK_SLOTS - first;
		uintptr_t from = s->base + first * HK_SLOT_SIZE;
		uintptr_t to = from + n * HK_SLOT_SIZE;

		slots &= ~hk_slot_mask(first, n);
		from = (from + hk_page_size - 1) & -(uintptr_t)hk_page_size;
		to &= -(uintptr_t)hk_page_size;
		if (to <= from || !hk_os_purge((void *)from, to - from))
			continue;
		*bytes += to - from;
		first = (unsigned)((from - s->base) >> HK_SLOT_SHIFT);
		done |= hk_slot_mask(first, (unsigned)((to - from) >> HK_SLOT_SHIFT));
	}
	return done;
}

static size_t purge(struct hk_superslab *s, uint64_t mine)
{
	struct hk_shared_meta *m = s->shared_meta;
	bool small = hk_superslab_pages(s) == HK_PAGES_SMALL;
	uint64_t done, clean;
	uint8_t broken = HK_PAGES_BROKEN;
	size_t bytes = 0;

	hk_event(HK_EVENT_PURGE, 0, (void *)s->base, HK_SUPERSLAB_SIZE);
	if (!small)
		hk_superslab_break(s);
	done = purge_runs(s, mine, &bytes);
	/* Slots in use become dirty when they are freed, so only free ones matter here. */
	if (!small && done == mine)
		atomic_compare_exchange_strong_explicit(&m->pages, &broken, HK_PAGES_SMALL,
				memory_order_relaxed, memory_order_relaxed);
	clean = atomic_fetch_or_explicit(&m->clean, done, memory_order_relaxed);
	cleaned((unsigned)__builtin_popcountll(done & ~clean));
	atomic_fetch_or_explicit(&m->free, mine, memory_order_release);
	hk_pool_changed(s);
	atomic_fetch_add_explicit(&hk_pool_counters.purged_bytes, bytes, memory_order_relaxed);
	return bytes;
}

size_t hk_pool_release(const struct hk_pool_release *r)
{
	return r->memory ? unmap(r->superslab, r->memory) : purge(r->superslab, r->slots);
}

/* Claims all of an empty SuperSlab, to be unmapped, otherwise its free slots that hold
 * pages. False: there are none. Pool lock held. */
static bool claim_free(struct hk_superslab *s, struct hk_pool_release *r)
{
	struct hk_shared_meta *m = s->shared_meta;

	*r = (struct hk_pool_release){ .superslab = s };
	if (claim_whole(s)) {
		if (!atomic_load(&m->pinned)) {
			r->memory = (void *)s->base;
			hide(s);
			return true;
		}
		/* The thread that unpins it puts it in the queue again. */
		atomic_store(&m->free, HK_ALL_SLOTS);
		if (!atomic_load(&m->pinned))
			hk_pool_changed(s);
		return false;
	}
	r->slots = claim_mask(s, hk_superslab_pages(s) != HK_PAGES_SMALL ? HK_ALL_SLOTS :
			      ~atomic_load_explicit(&m->clean, memory_order_relaxed));
	return r->slots != 0;
}

static struct hk_superslab *queue_pop(void)
{
	struct hk_superslab *s = hk_pool.oldest;

	if (s)
		hk_queue_remove(s);
	return s;
}

/* The number of free dirty slots that may wait. */
static size_t may_wait(void)
{
	size_t slots = HK_SLOTS * atomic_load_explicit(&hk_pool_counters.superslabs,
						       memory_order_relaxed);

	size_t usual = hk_pool_scarce() ? slots / HK_POOL_SCARCE_SHARE :
		(size_t)HK_POOL_WAITING_LEAST * HK_SLOTS + slots / HK_POOL_WAITING_SHARE, few;

	if (!hk_is_eager())
		return usual;
	few = hk_eager_bytes(HK_EAGER_POOL) / HK_SLOT_SIZE;
	return few < usual ? few : usual;
}

/* The next SuperSlab to be released, or NULL. */
static struct hk_superslab *due_victim(uint64_t now)
{
	struct hk_superslab *s;

	if (hk_is_eager())
		hk_eager_learn(now);
	if (!hk_decay_due(&hk_pool.dirty, now, hk_decay_period(), may_wait()) && !hk_pool.at_once)
		return NULL;
	hk_pool.at_once -= hk_pool.at_once > 0;
	s = queue_pop();
	hk_decay_release(&hk_pool.dirty, s ? hk_dirty_slots(s->shared_meta) : SIZE_MAX);
	return s;
}

/* With HAKMEM_SUPERSLAB_REUSE=0: an empty SuperSlab, or one with many dirty free slots. */
bool hk_released_at_once(const struct hk_superslab *s)
{
	return !hk_settings.superslab_reuse &&
	       (s->shared_meta->bucket == HK_SLOTS ||
		hk_dirty_slots(s->shared_meta) >= HK_SLOTS / HK_POOL_AT_ONCE_SHARE);
}

void hk_pool_run_free(struct hk_superslab *home, unsigned first, unsigned slots)
{
	hk_event(HK_EVENT_RELEASE, 0, (void *)(home->base + first * HK_SLOT_SIZE),
		 slots * HK_SLOT_SIZE);
	hk_decay_add(&hk_pool.dirty, slots);
	atomic_fetch_or_explicit(&home->shared_meta->free, hk_slot_mask(first, slots),
				 memory_order_release);
	hk_pool_changed(home);
	atomic_store_explicit(&hk_pool.wanted, true, memory_order_relaxed);
}

bool hk_pool_clear_freed(void)
{
	return atomic_load_explicit(&hk_pool.wanted, memory_order_relaxed) &&
	       atomic_exchange_explicit(&hk_pool.wanted, false, memory_order_relaxed);
}

size_t hk_pool_waiting(void)
{
	return hk_decay_waiting(&hk_pool.dirty) * HK_SLOT_SIZE;
}

bool hk_pool_is_due(uint64_t now)
{
	return !hk_settings.superslab_reuse || !hk_decay_is_idle(&hk_pool.dirty, now, may_wait());
}

bool hk_pool_due(uint64_t now, struct hk_pool_release *r)
{
	struct hk_superslab *s;
	bool found = false;

	if (!hk_pool_is_due(now) || !hk_pool_lock())
		return false;
	/* A SuperSlab whose slots were claimed again after it was queued has nothing to
	 * release. */
	while (!found && (s = due_victim(now)) != NULL)
		found = claim_free(s, r);
	hk_pool_unlock();
	return found;
}

bool hk_pool_shrink(struct hk_superslab *s, struct hk_pool_release *r)
{
	bool found;

	if (!hk_pool_lock())
		return false;
	hk_queue_remove(s);
	found = hk_superslab_mapped(s) && claim_free(s, r);
	hk_pool_unlock();
	return found;
}

bool hk_pool_trim(struct hk_pool_release *r)
{
	struct hk_superslab *s;
	bool found = false;

	if (!hk_pool_lock())
		return false;
	while (!found && (s = queue_pop()) != NULL)
		found = claim_free(s, r);
	hk_pool_unlock();
	return found;
}
