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

/* No thread can find the SuperSlab afterwards. Pool lock held, all slots claimed. Statistics
 * take the lock, so that they never count a SuperSlab whose memory is unmapped. */
static void hide(struct hk_superslab *s)
{
	hk_bucket_remove(s);
	hk_fifo_remove(&s->shared_meta->in_queue);
	s->base = 0;
	atomic_fetch_sub_explicit(&hk_pool_counters.superslabs, 1, memory_order_relaxed);
	hk_count(&hk_pool_counters.unmapped);
}

/* The SuperSlab gives up its address range. */
static void forget_range(struct hk_superslab *s, void *memory)
{
	hk_event(HK_EVENT_UNMAP, 0, memory, HK_SUPERSLAB_SIZE);
	hk_granule_clear(memory);
	hk_slots_end(s);
}

static void forget(struct hk_superslab *s)
{
	hk_thp_end(s);
	hk_superslab_delete(s);
}

static size_t unmap(struct hk_superslab *s, void *memory)
{
	forget_range(s, memory);
	forget(s);
	return hk_range_unmap_memory(memory, HK_SUPERSLAB_SIZE);
}

/* The SuperSlab that starts at an address, if all of it may be given away. Pool lock held. */
static struct hk_superslab *empty_at(uintptr_t address)
{
	struct hk_superslab *s = hk_granule_find((void *)address).superslab;

	/* The bucket is read first, because `base` may change while it is 0. */
	return s && s->shared_meta->bucket == HK_SLOTS && s->base == address &&
	       !atomic_load(&s->shared_meta->pinned) && hk_slots_dirty(s) ? s : NULL;
}

/* The first of n adjacent SuperSlabs that may be given away, or NULL. */
static struct hk_superslab *find_empty(unsigned n)
{
	struct hk_link *link = hk_pool.bucket[HK_SLOTS].first;
	unsigned looks = 0, i;

	for (; link && looks < HK_GIVE_LOOKS; link = link->next) {
		struct hk_superslab *s = hk_bucket_superslab(link);

		for (i = 0; i < n && empty_at(s->base + i * HK_SUPERSLAB_SIZE); i++)
			looks++;
		if (i == n)
			return s;
		looks++;
	}
	return NULL;
}

/* Claims and hides n adjacent SuperSlabs and returns their number; it is smaller if another
 * thread claims slots meanwhile. Pool lock held. */
static unsigned take_empty(struct hk_superslab **s, uintptr_t base, unsigned n)
{
	unsigned i;

	for (i = 0; i < n; i++) {
		s[i] = empty_at(base + i * HK_SUPERSLAB_SIZE);
		if (!s[i] || !hk_slots_claim_exact(s[i], HK_ALL_SLOTS))
			return i;
	}
	for (i = 0; i < n; i++)
		hide(s[i]);
	return n;
}

static void put_back(struct hk_superslab **s, unsigned n)
{
	while (n--) {
		atomic_store_explicit(&s[n]->shared_meta->free, HK_ALL_SLOTS, memory_order_release);
		hk_pool_changed(s[n]);
	}
}

/* The memory no longer belongs to the SuperSlabs. Returns whether the kernel was asked for
 * huge pages. */
static bool give(struct hk_superslab **s, uintptr_t base, unsigned n)
{
	bool huge = false;
	unsigned i;

	for (i = 0; i < n; i++) {
		uintptr_t memory = base + i * HK_SUPERSLAB_SIZE;

		huge |= hk_superslab_pages(s[i]) == HK_PAGES_HUGE;
		hk_slots_unmark(s[i], memory, 0, HK_SLOTS);
		forget_range(s[i], (void *)memory);
		forget(s[i]);
		hk_count(&hk_pool_counters.given);
	}
	return huge;
}

void *hk_pool_give(size_t size, bool *huge)
{
	unsigned n = (unsigned)(size >> HK_SUPERSLAB_SHIFT), taken = 0;
	struct hk_superslab *s[HK_GIVE_MOST], *first;
	uintptr_t base = 0;

	hk_assert(size % HK_SUPERSLAB_SIZE == 0);
	if (n > HK_GIVE_MOST || !hk_pool_lock())
		return NULL;
	first = find_empty(n);
	if (first) {
		base = first->base;
		taken = take_empty(s, base, n);
		if (taken < n)
			put_back(s, taken);
	}
	hk_pool_unlock();
	if (!first || taken < n)
		return NULL;
	*huge = give(s, base, n);
	return (void *)base;
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

/* Other threads cannot claim the slots meanwhile. */
static size_t purge(struct hk_superslab *s, uint64_t mine)
{
	bool small = hk_superslab_pages(s) == HK_PAGES_SMALL;
	uint64_t done;
	size_t bytes = 0;

	hk_event(HK_EVENT_PURGE, 0, (void *)s->base, HK_SUPERSLAB_SIZE);
	hk_thp_break(s);
	done = purge_runs(s, mine, &bytes);
	if (!small && done == mine)
		hk_thp_released(s);
	hk_slots_cleaned(s, done);
	atomic_fetch_or_explicit(&s->shared_meta->free, mine, memory_order_release);
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
	if (hk_slots_claim_exact(s, HK_ALL_SLOTS)) {
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
	r->slots = hk_slots_claim_any(s, hk_superslab_pages(s) != HK_PAGES_SMALL ? HK_ALL_SLOTS :
			      ~atomic_load_explicit(&m->clean, memory_order_relaxed));
	return r->slots != 0;
}

static struct hk_superslab *queue_pop(void)
{
	struct hk_superslab *s = hk_queue_superslab(hk_pool.queue.oldest);

	if (s)
		hk_fifo_remove(&s->shared_meta->in_queue);
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

static bool has_unfit(void)
{
	return atomic_load_explicit(&hk_pool.unfit, memory_order_relaxed) >= HK_POOL_UNFIT;
}

/* Slabs use new memory although as much waits, because what waits does not fit: the same
 * amount is due now. */
static void add_unfit(void)
{
	if (has_unfit())
		hk_decay_expire(&hk_dirty, atomic_exchange_explicit(&hk_pool.unfit, 0, memory_order_relaxed));
}

/* The next SuperSlab to be released, or NULL. */
static struct hk_superslab *due_victim(uint64_t now)
{
	struct hk_superslab *s;

	if (hk_is_eager())
		hk_eager_learn(now);
	add_unfit();
	if (!hk_decay_due(&hk_dirty, now, hk_decay_period(), may_wait()) && !hk_pool.at_once)
		return NULL;
	hk_pool.at_once -= hk_pool.at_once > 0;
	s = queue_pop();
	hk_decay_release(&hk_dirty, s ? hk_slots_dirty(s) : SIZE_MAX);
	return s;
}

size_t hk_pool_waiting(void)
{
	return hk_decay_waiting(&hk_dirty) * HK_SLOT_SIZE;
}

bool hk_pool_is_due(uint64_t now)
{
	return !hk_settings.superslab_reuse || has_unfit() || !hk_decay_is_idle(&hk_dirty, now, hk_decay_period(), may_wait());
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
	hk_fifo_remove(&s->shared_meta->in_queue);
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
