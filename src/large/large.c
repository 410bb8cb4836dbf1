/* Large and Huge: mappings of their own, and the choice between the kinds. */
#include "config/settings.h"
#include "config/settings.h"
#include "debug/ring.h"
#include "large/internal.h"
#include "os/lock.h"
#include "os/os.h"
#include "slab/pagemap.h"

#include <errno.h>

static struct hk_lock large_lock = HK_LOCK_INITIALIZER(HK_RANK_LARGE);

struct hk_large_counters hk_large_counters;

struct hk_lock *hk_large_lock(void)
{
	return &large_lock;
}

/* The bytes include guards. */
static void count(size_t blocks, size_t bytes)
{
	struct hk_large_counters *c = &hk_large_counters;

	atomic_fetch_add_explicit(&c->live, blocks, memory_order_relaxed);
	hk_raise(&c->peak_bytes, bytes +
		 atomic_fetch_add_explicit(&c->bytes, bytes, memory_order_relaxed));
}

/*
 * A range that the kernel would not take back (vm.max_map_count) is kept without
 * its pages, to be used or tried again; it is lost where a fork takes long.
 */
static size_t unmap(struct hk_large *b)
{
	size_t bytes = b->mapped;

	hk_event(HK_EVENT_LARGE_UNMAP, 0, (void *)b->start, b->mapped);
	if (hk_os_unmap((void *)b->start, b->mapped)) {
		hk_large_node_free(b);
		return bytes;
	}
	hk_os_purge((void *)b->start, b->mapped);
	if (!hk_guard_lift(b))
		return 0;
	b->mapped &= -HK_SUPERSLAB_SIZE;
	if (!b->mapped || !hk_lock_or_leave(&large_lock))
		return 0;
	if (!hk_kept_add(b))
		hk_large_node_free(b);
	hk_unlock(&large_lock);
	return 0;
}

size_t hk_large_unmap(struct hk_large *ranges)
{
	struct hk_large *next;
	size_t bytes = 0;

	for (; ranges; ranges = next) {
		next = ranges->next;
		bytes += unmap(ranges);
	}
	return bytes;
}

static struct hk_large *expired(bool all, unsigned most)
{
	struct hk_large *list = NULL, *b;

	if (!hk_lock(&large_lock))
		return NULL;
	while (most-- && (b = hk_kept_expire(all)) != NULL) {
		b->next = list;
		list = b;
	}
	hk_unlock(&large_lock);
	return list;
}

static size_t round_up(size_t size, size_t unit)
{
	return (size + unit - 1) & -unit;
}

static size_t mapping_size(size_t size)
{
	if (size > HK_LARGE_MAX)
		return round_up(size, hk_page_size) + (hk_os_has_guards() ? hk_page_size : 0);
	return round_up(size, hk_page_size > HK_SUPERSLAB_SIZE ? hk_page_size : HK_SUPERSLAB_SIZE);
}

static void start(struct hk_large *b)
{
	b->huge = b->grew = b->shrank = b->regrew = b->note.noted = false;
	b->state = HK_LARGE_LIVE;
	hk_granule_set_large((void *)b->start, b);
	count(1, b->mapped);
}

static void reuse(struct hk_large *b)
{
	start(b);
	hk_event(HK_EVENT_LARGE_REUSE, 0, (void *)b->start, b->mapped);
}

/* Finds a kept range or that of an empty SuperSlab; otherwise leaves a descriptor for
 * hk_large_finish, also for a range whose guards must be changed first. */
static void begin_mapping(struct hk_large_request *r)
{
	size_t mapped = mapping_size(r->size);
	struct hk_large *b = NULL;

	if (r->align < HK_SUPERSLAB_SIZE)
		r->align = HK_SUPERSLAB_SIZE;
	if (!hk_lock(&large_lock))
		return;
	if (r->align == HK_SUPERSLAB_SIZE)
		b = hk_kept_take(mapped);
	r->block = b ? (void *)b->start : NULL;
	if (!b && (b = hk_large_node()) != NULL) {
		b->mapped = mapped;
		b->guarded = false;
		b->pits = 0;
	}
	hk_unlock(&large_lock);
	if (!b)
		return;
	b->wanted = r->size;
	if (!r->block && mapped == HK_SUPERSLAB_SIZE && r->align == HK_SUPERSLAB_SIZE)
		r->block = hk_pool_give();
	b->start = (uintptr_t)r->block;
	if (r->block && hk_guard_fits(b)) {
		reuse(b);
	} else {
		r->range = b;
		r->block = NULL;
	}
}

/* Both ends have their leaf of the page map from here on, so that the range can
 * be kept later. */
static bool map(struct hk_large *b, size_t align)
{
	void *p = b->mapped > HK_LARGE_MAX ? hk_os_map_with_room(b->mapped, align) :
					     hk_os_map(b->mapped, align);

	b->start = (uintptr_t)p;
	if (!p)
		return false;
	if (!hk_granule_clear((char *)p + b->mapped - 1) || !hk_granule_clear(p)) {
		hk_os_unmap(p, b->mapped);
		return false;
	}
	hk_guard_fresh(b);
	start(b);
	hk_event(HK_EVENT_LARGE_MAP, 0, p, b->mapped);
	return true;
}

/* Prepares a range that was in use before; unmaps it if its guards cannot be changed. */
static bool refit(struct hk_large *b)
{
	if (hk_guard_fit(b)) {
		reuse(b);
		return true;
	}
	if (hk_os_unmap((void *)b->start, b->mapped))
		hk_large_node_free(b);
	return false;
}

static struct hk_large *free_mapping(struct hk_large *b)
{
	void *p = (void *)b->start;
	bool keep;

	b->state = HK_LARGE_GONE;
	count((size_t)-1, -b->mapped);
	hk_granule_clear(p);
	b->next = NULL;
	keep = hk_kept_decide(b->mapped) && !b->huge;
	if (keep)
		hk_event(HK_EVENT_LARGE_KEEP, 0, p, b->mapped);
	return keep && hk_kept_add(b) ? NULL : b;
}

static struct hk_large *find(const void *p)
{
	struct hk_large *b = hk_granule_find(p).large;

	return b && b->start == (uintptr_t)p && b->state == HK_LARGE_LIVE ? b : NULL;
}

/*
 * The pages move, never the bytes. What the page map says of a range must
 * change while the range is this block's: once the kernel has it back, it may
 * be another thread's at once.
 */
static void *move_mapping(struct hk_large *b, size_t mapped)
{
	void *p = (void *)b->start, *to = hk_os_reserve(mapped, HK_SUPERSLAB_SIZE);

	if (!to)
		return NULL;
	if (!hk_granule_clear(to)) {
		hk_os_unreserve(to, mapped);
		return NULL;
	}
	hk_granule_clear(p);
	if (!hk_os_move(p, b->mapped, to, mapped)) {
		hk_granule_set_large(p, b);
		return NULL;
	}
	hk_granule_set_large(to, b);
	return to;
}

static void resized(struct hk_large *b, void *start, size_t mapped, size_t before)
{
	count(0, mapped - before);
	b->start = (uintptr_t)start;
	b->mapped = mapped;
}

/*
 * A Huge block that grows again is a vector, which the program fills: huge pages
 * for what it adds, as long as they are not dear. The advice is for all of the
 * block, for mremap wants one mapping; the last 2 MiB before may be the reserve
 * of the vector.
 */
static void expect_more(struct hk_large *b, size_t size, size_t before)
{
	size_t fresh = round_up(before, HK_SUPERSLAB_SIZE);
	bool again = b->grew;

	b->grew |= size > before;
	if (!again || before <= HK_LARGE_MAX || fresh + HK_SUPERSLAB_SIZE > size ||
	    hk_os_huge_mode() == HK_HUGE_NEVER)
		return;
	if (hk_huge_admit())
		b->huge = hk_huge_advise((void *)b->start, b->mapped, (char *)b->start + fresh);
	else if (b->huge)
		b->huge = !hk_os_small((void *)b->start, b->mapped);
}

/* By the kept range behind it. */
static bool extend(struct hk_large *b, size_t size)
{
	size_t mapped = mapping_size(size), before = b->mapped;
	bool done;

	if (mapped <= before || mapped > HK_LARGE_MAX)
		return false;
	if (!hk_lock(&large_lock))
		return false;
	done = hk_kept_extend(b, mapped);
	hk_unlock(&large_lock);
	if (done)
		resized(b, (void *)b->start, b->mapped, before);
	return done;
}

void hk_large_begin(struct hk_large_request *r)
{
	bool mid = r->size <= HK_MID_MAX && r->align <= HK_MID_MAX;

	r->block = NULL;
	r->range = NULL;
	r->superslab = NULL;
	r->zero = false;
	r->mid = mid;
	if (mid)
		hk_mid_begin(r);
	else
		begin_mapping(r);
}

bool hk_large_finish(struct hk_large_request *r)
{
	bool done;

	if (r->mid)
		return hk_mid_finish(r);
	if (!r->range)
		return false;
	if (r->range->start) {
		done = refit(r->range);
	} else {
		done = r->zero = map(r->range, r->align);
		if (!done)
			hk_large_node_free(r->range);
	}
	if (done)
		r->block = (void *)r->range->start;
	return done;
}

bool hk_large_free(void *p, struct hk_large **unmap)
{
	struct hk_large *b;

	*unmap = NULL;
	if (hk_mid_free(p))
		return true;
	/* It is lost where the lock is. */
	if (!hk_lock(&large_lock))
		return true;
	b = find(p);
	if (b)
		*unmap = free_mapping(b);
	hk_unlock(&large_lock);
	return b != NULL;
}

size_t hk_large_size(const void *p)
{
	size_t size = hk_mid_size(p);
	struct hk_large *b;

	if (size)
		return size;
	b = find(p);
	return b ? hk_large_usable(b) : 0;
}

struct hk_note *hk_large_note(const void *p)
{
	struct hk_note *note = hk_mid_note(p);
	struct hk_large *b = note ? NULL : find(p);

	return b ? &b->note : note;
}

static void want(struct hk_large *b, size_t size)
{
	if (size < b->wanted)
		b->shrank = true;
	else if (size > b->wanted)
		b->regrew |= b->shrank;
	b->wanted = size;
}

bool hk_large_resize(void *p, size_t size)
{
	struct hk_large *b = find(p);

	if (size >= HK_IMPOSSIBLE)
		return false;
	if (!b)
		return hk_mid_resize(p, size);
	if (!extend(b, size))
		return false;
	want(b, size);
	return true;
}

void *hk_large_refit(void *p)
{
	struct hk_large *b = find(p);

	return !b || hk_guard_fit(b) ? p : NULL;
}

/* Releases what a resized block has mapped and does not want: whole granules are
 * gone, these are the pages of the last one. */
static void drop_unwanted(struct hk_large *b, size_t size)
{
	size_t from = round_up(size, hk_page_size), to = round_up(b->wanted, hk_page_size);

	want(b, size);
	if (to > b->mapped)
		to = b->mapped;
	if (from + HK_LARGE_SHRINK <= to)
		hk_os_purge((char *)b->start + from, to - from);
}

bool hk_large_roomy(void *p, size_t size)
{
	struct hk_large *b = find(p);

	if (!b)
		return !hk_settings.superslab_reuse && hk_mid_size(p) >= size + HK_LARGE_SHRINK;
	if (size > b->wanted)
		want(b, size);
	/* One that goes up and down would have its pages zeroed each time. */
	if (b->regrew && b->mapped <= HK_LARGE_MAX)
		return false;
	return b->wanted >= size + HK_LARGE_SHRINK;
}

/* In place where the kernel has room there. */
static void *remap(struct hk_large *b, size_t size)
{
	size_t mapped = mapping_size(size), before = b->mapped;
	void *p = (void *)b->start, *to = p;
	int error;

	if (mapped == before)
		return p;
	if (!hk_guard_lift(b))
		return NULL;
	error = hk_os_resize(p, before, mapped);
	if (error) {
		to = error == ENOMEM && mapped > before ? move_mapping(b, mapped) : NULL;
		if (!to) {
			hk_guard_fit(b);
			return NULL;
		}
	}
	resized(b, to, mapped, before);
	expect_more(b, size, before);
	return to;
}

void *hk_large_remap(void *p, size_t size)
{
	struct hk_large *b = find(p);

	if (!b || size <= HK_MID_MAX / 2 || size >= HK_IMPOSSIBLE)
		return NULL;
	p = remap(b, size);
	if (!p)
		return NULL;
	drop_unwanted(b, size);
	return hk_guard_fit(b) ? p : NULL;
}

/* Only the first granule of a live block leads to it. */
bool hk_large_around(const void *p, struct hk_span *span)
{
	enum { FARTHEST = 1 << 15 };	/* granules: 64 GiB */
	struct hk_large *b = NULL;
	uintptr_t i;

	for (i = 0; i < FARTHEST && (uintptr_t)p >> HK_SUPERSLAB_SHIFT >= i; i++) {
		struct hk_granule found = hk_granule_find((void *)((uintptr_t)p - (i << HK_SUPERSLAB_SHIFT)));

		b = found.large;
		if (b || found.superslab)
			break;
	}
	if (!b || b->state != HK_LARGE_LIVE || (uintptr_t)p - b->start >= b->mapped)
		return false;
	span->start = b->start;
	/* A Large block has whole granules, including its guard. */
	span->size = b->mapped > HK_LARGE_MAX ? hk_large_usable(b) : b->mapped;
	span->kind = b->mapped > HK_LARGE_MAX ? "Huge" : "Large";
	return true;
}

bool hk_large_is_due(uint64_t now)
{
	return hk_kept_is_due(now);
}

struct hk_large *hk_large_due(uint64_t now)
{
	enum { MOST = 8 };

	return hk_large_is_due(now) ? expired(false, MOST) : NULL;
}

struct hk_large *hk_large_trim(void)
{
	return expired(true, UINT_MAX);
}
