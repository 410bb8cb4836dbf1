/*
 * The store of free ranges. A range is coalesced with its neighbours when it is freed and
 * split when it is taken (boundary tags: Knuth, TAOCP 1, 2.5; the page map holds the tags).
 * Ranges that are due (range/decay.h) are unmapped, oldest first.
 */
#include "range/range.h"

#include "debug/ring.h"
#include "os/os.h"
#include "range/internal.h"
#include "slab/meta.h"
#include "slab/pagemap.h"

#include <string.h>

enum { BUCKETS = 63 };

/* Ranges by the time of the free. DIRTY ones hold pages. CLEAN ones do not, because the
 * kernel released their pages but refused to unmap them; they do not count as waiting. */
enum { DIRTY, CLEAN, QUEUES };

/*
 * All protected by the lock.
 *	bucket[n]	ranges of n + 1 granules; the last one also holds longer ranges
 *	filled		bit n set <=> bucket[n] is not empty
 *	dirty		bytes in the queue DIRTY
 */
static struct {
	struct hk_lock lock;
	struct hk_list bucket[BUCKETS];
	uint64_t filled;
	struct hk_fifo queue[QUEUES];
	struct hk_decay dirty;
} store = { .lock = HK_LOCK_INITIALIZER(HK_RANK_RANGES) };

struct hk_range_counters hk_range_counters;

/* Unused descriptors. Any thread pushes; popping requires the lock. */
static struct hk_stack spare;

struct hk_lock *hk_range_lock(void)
{
	return &store.lock;
}

static struct hk_range *new_locked(void)
{
	struct hk_stack_link *link = hk_stack_pop(&spare);

	return link ? hk_holder(link, struct hk_range, spare) : hk_meta_alloc(HK_RANGE_DESCRIPTOR);
}

struct hk_range *hk_range_new(void)
{
	struct hk_range *r;

	if (!hk_lock(&store.lock))
		return NULL;
	r = new_locked();
	hk_unlock(&store.lock);
	return r;
}

void hk_range_delete(struct hk_range *r)
{
	hk_stack_push(&spare, &r->spare);
}

static unsigned bucket_of(size_t mapped)
{
	size_t granules = mapped >> HK_SUPERSLAB_SHIFT;

	return (unsigned)(granules < BUCKETS ? granules : BUCKETS) - 1;
}

static void *last_granule(const struct hk_range *r)
{
	return (void *)(r->start + r->mapped - HK_SUPERSLAB_SIZE);
}

static void count(size_t ranges, size_t bytes)
{
	atomic_fetch_add_explicit(&hk_range_counters.free, ranges, memory_order_relaxed);
	atomic_fetch_add_explicit(&hk_range_counters.bytes, bytes, memory_order_relaxed);
}

static struct hk_fifo *queue_of(const struct hk_range *r)
{
	return &store.queue[r->clean ? CLEAN : DIRTY];
}

static size_t dirty_bytes(const struct hk_range *r)
{
	return r->clean ? 0 : r->mapped;
}

/* older: the link after which it is put in its queue, or NULL. */
static void link_in(struct hk_range *r, struct hk_fifo_link *older)
{
	unsigned n = bucket_of(r->mapped);

	hk_granule_set_range((void *)r->start, r);
	hk_granule_set_range(last_granule(r), r);
	atomic_store_explicit(&r->state, HK_RANGE_FREE, memory_order_relaxed);
	hk_list_push(&store.bucket[n], &r->in_bucket);
	store.filled |= (uint64_t)1 << n;
	hk_fifo_insert(queue_of(r), &r->in_queue, older);
	count(1, r->mapped);
}

static struct hk_range *unlink_from(struct hk_range *r)
{
	unsigned n = bucket_of(r->mapped);

	hk_granule_clear((void *)r->start);
	hk_granule_clear(last_granule(r));
	atomic_store_explicit(&r->state, HK_RANGE_NONE, memory_order_relaxed);
	hk_list_remove(&r->in_bucket);
	if (!store.bucket[n].first)
		store.filled &= ~((uint64_t)1 << n);
	hk_fifo_remove(&r->in_queue);
	count((size_t)-1, -r->mapped);
	return r;
}

/* Takes the first bytes of a range; the rest keeps its age. If there is no memory for a
 * descriptor of the rest, all of the range is taken. */
static struct hk_range *take_part(struct hk_range *r, size_t mapped)
{
	struct hk_fifo_link *older = r->in_queue.older;
	struct hk_range *rest;

	unlink_from(r);
	rest = r->mapped > mapped ? new_locked() : NULL;
	if (rest) {
		rest->clean = r->clean;
		rest->advised = r->advised;
		hk_guard_cut(r, mapped, rest);
		link_in(rest, older);
	}
	hk_decay_subtract(&store.dirty, dirty_bytes(r));
	return r;
}

static struct hk_range *free_at(uintptr_t address)
{
	struct hk_range *r = hk_granule_find((void *)address).range;

	return r && hk_range_is(r, HK_RANGE_FREE) ? r : NULL;
}

/* A range is clean only if both parts are. */
static void join(struct hk_range *r, struct hk_range *behind)
{
	hk_guard_join(r, behind);
	r->clean = r->clean && behind->clean;
	r->advised |= behind->advised;
}

static void add_locked(struct hk_range *r)
{
	struct hk_range *before = free_at(r->start - 1), *after = free_at(r->start + r->mapped);
	size_t counted = 0;

	hk_guard_to_old(r);
	if (before && hk_guard_can_join(before, r)) {
		counted += dirty_bytes(before);
		join(unlink_from(before), r);
		r->start = before->start;
		r->mapped = before->mapped;
		r->old_guards = before->old_guards;
		r->clean = before->clean;
		r->advised = before->advised;
		hk_range_delete(before);
	}
	if (after && hk_guard_can_join(r, after)) {
		counted += dirty_bytes(after);
		join(r, unlink_from(after));
		hk_range_delete(after);
	}
	link_in(r, queue_of(r)->newest);
	hk_decay_add(&store.dirty, dirty_bytes(r) - counted);
}

bool hk_range_add(struct hk_range *r)
{
	if (!hk_lock(&store.lock))
		return false;
	add_locked(r);
	hk_unlock(&store.lock);
	return true;
}

/* A range that is large enough, from the first bucket that has one. */
static struct hk_range *find(size_t mapped)
{
	uint64_t fit = store.filled >> bucket_of(mapped) << bucket_of(mapped);

	return fit ? hk_holder(store.bucket[__builtin_ctzll(fit)].first, struct hk_range, in_bucket) : NULL;
}

struct hk_range *hk_range_take(size_t mapped)
{
	struct hk_range *r;

	if (bucket_of(mapped) == BUCKETS - 1 || !hk_lock(&store.lock))
		return NULL;
	r = find(mapped);
	if (r) {
		take_part(r, mapped);
		hk_guard_from_old(r);
	}
	hk_unlock(&store.lock);
	return r;
}

bool hk_range_extend(struct hk_range *r, size_t mapped)
{
	struct hk_range *after;
	size_t more = mapped - r->mapped;

	if (!hk_lock(&store.lock))
		return false;
	after = free_at(r->start + r->mapped);
	if (after && after->mapped < more)
		after = NULL;
	if (after) {
		take_part(after, more);
		hk_guard_to_old(r);
		hk_guard_join(r, after);
		r->advised |= after->advised;
		hk_guard_from_old(r);
		hk_range_delete(after);
	}
	hk_unlock(&store.lock);
	return after != NULL;
}

size_t hk_range_waiting(void)
{
	return hk_decay_waiting(&store.dirty);
}

bool hk_range_is_idle(uint64_t now, size_t limit)
{
	return hk_decay_is_idle(&store.dirty, now, hk_decay_period(), limit);
}

static struct hk_range *take_due(uint64_t now, size_t limit)
{
	size_t due = hk_decay_due(&store.dirty, now, hk_decay_period(), limit);
	struct hk_fifo_link *oldest = store.queue[DIRTY].oldest;
	struct hk_range *r = oldest ? hk_holder(oldest, struct hk_range, in_queue) : NULL;

	if (!due)
		return NULL;
	if (r)
		take_part(r, (due + HK_SUPERSLAB_SIZE - 1) & -HK_SUPERSLAB_SIZE);
	hk_decay_release(&store.dirty, r ? r->mapped : SIZE_MAX);
	return r;
}

struct hk_range *hk_range_due(uint64_t now, size_t limit, unsigned most)
{
	struct hk_range *list = NULL, *r;

	if (!hk_lock(&store.lock))
		return NULL;
	while (most-- && (r = take_due(now, limit)) != NULL) {
		r->next = list;
		list = r;
	}
	hk_unlock(&store.lock);
	return list;
}

struct hk_range *hk_range_all(void)
{
	struct hk_range *list = NULL, *r;

	if (!hk_lock(&store.lock))
		return NULL;
	while ((r = find(HK_SUPERSLAB_SIZE)) != NULL) {
		take_part(r, r->mapped);
		r->next = list;
		list = r;
	}
	hk_unlock(&store.lock);
	return list;
}

/* Makes the range read as zero. Locked pages cannot be released, so they are cleared. */
static bool empty(struct hk_range *r, size_t *released)
{
	if (r->clean)
		return true;
	if (hk_os_purge((void *)r->start, r->mapped)) {
		*released = r->mapped;
		return true;
	}
	if (!hk_range_lift_old_guards(r))
		return false;
	memset((void *)r->start, 0, r->mapped);
	return true;
}

/* Puts memory that could not be unmapped into the store. An incomplete granule at the end
 * is leaked; all of the memory is leaked if a fork takes long.
 * Returns the bytes that were released. */
static size_t keep(struct hk_range from)
{
	struct hk_range *r;
	size_t released = 0;

	if (!hk_range_lift_guard(&from) || !empty(&from, &released))
		return released;
	from.mapped &= -HK_SUPERSLAB_SIZE;
	from.clean = true;
	/* A leaf of the page map cannot be mapped with the lock held. */
	if (!from.mapped || !hk_granule_clear(last_granule(&from)) || !hk_lock_or_leave(&store.lock))
		return released;
	r = new_locked();
	if (r) {
		r->start = from.start;
		r->mapped = from.mapped;
		r->clean = true;
		r->advised = from.advised;
		r->guarded = false;
		r->old_guards = from.old_guards;
		add_locked(r);
	}
	hk_unlock(&store.lock);
	return released;
}

static size_t unmap(struct hk_range r)
{
	return hk_os_unmap((void *)r.start, r.mapped) ? r.mapped : keep(r);
}

size_t hk_range_unmap(struct hk_range *list)
{
	size_t bytes = 0;

	while (list) {
		struct hk_range r = *list;

		hk_event(HK_EVENT_LARGE_UNMAP, 0, (void *)r.start, r.mapped);
		hk_range_delete(list);
		bytes += unmap(r);
		list = r.next;
	}
	return bytes;
}

size_t hk_range_unmap_memory(void *start, size_t size)
{
	return unmap((struct hk_range){ .start = (uintptr_t)start, .mapped = size });
}
