/* Large and Huge: mappings of their own, and the choice between the kinds. */
#include "config/settings.h"
#include "debug/ring.h"
#include "large/internal.h"
#include "os/lock.h"
#include "os/os.h"
#include "slab/pagemap.h"

#include <errno.h>

static struct {
	struct hk_lock lock;
	struct hk_large *live;
} large = { .lock = HK_LOCK_INITIALIZER(HK_RANK_LARGE) };

struct hk_large_counters hk_large_counters;

void hk_large_lock(void)
{
	hk_lock(&large.lock);
}

void hk_large_unlock(void)
{
	hk_unlock(&large.lock);
}

static void link_live(struct hk_large *b)
{
	struct hk_large_counters *c = &hk_large_counters;

	b->state = HK_LARGE_LIVE;
	b->prev = NULL;
	b->next = large.live;
	if (b->next)
		b->next->prev = b;
	large.live = b;
	c->live++;
	c->bytes += b->mapped;
	if (c->bytes > c->peak_bytes)
		c->peak_bytes = c->bytes;
}

static void unlink_live(struct hk_large *b)
{
	b->state = HK_LARGE_GONE;
	if (b->prev)
		b->prev->next = b->next;
	else
		large.live = b->next;
	if (b->next)
		b->next->prev = b->prev;
	hk_large_counters.live--;
	hk_large_counters.bytes -= b->mapped;
}

/*
 * Unmaps; the caller holds no lock and nobody else knows of the range. One
 * that the kernel would not take back (vm.max_map_count) is kept without its
 * pages, to be used or tried again.
 */
static bool give_back(struct hk_large *b)
{
	bool done;

	hk_event(HK_EVENT_LARGE_UNMAP, 0, (void *)b->start, b->mapped);
	done = hk_os_unmap((void *)b->start, b->mapped);
	if (!done) {
		hk_os_purge((void *)b->start, b->mapped);
		b->mapped &= -HK_SUPERSLAB_SIZE;
	}
	hk_large_lock();
	if (done || !b->mapped || !hk_kept_add(b))
		hk_large_node_free(b);
	hk_large_unlock();
	return done;
}

static size_t unmap_expired(bool all)
{
	struct hk_large *b;
	size_t bytes = 0, size;

	do {
		hk_large_lock();
		b = hk_kept_expire(all);
		hk_large_unlock();
		size = b ? b->mapped : 0;
		bytes += size;
	} while (b && give_back(b));
	return bytes - size;
}

static size_t round_up(size_t size, size_t unit)
{
	return (size + unit - 1) & -unit;
}

static size_t mapping_size(size_t size)
{
	return round_up(size, size > HK_LARGE_MAX || hk_page_size > HK_SUPERSLAB_SIZE ?
			hk_page_size : HK_SUPERSLAB_SIZE);
}

static void *alloc_mapping(size_t size, size_t align, bool *zero)
{
	size_t mapped = mapping_size(size);
	struct hk_large *b = NULL;
	void *p;

	if (align < HK_SUPERSLAB_SIZE)
		align = HK_SUPERSLAB_SIZE;
	hk_large_lock();
	if (align == HK_SUPERSLAB_SIZE)
		b = hk_kept_take(mapped);
	*zero = !b;
	if (!b)
		b = hk_large_node();
	if (b)
		b->huge = b->grew = b->shrank = b->regrew = false;
	hk_large_unlock();
	if (!b)
		return NULL;
	b->wanted = size;
	if (*zero) {
		b->mapped = mapped;
		b->start = mapped == HK_SUPERSLAB_SIZE && align == HK_SUPERSLAB_SIZE ?
			   (uintptr_t)hk_pool_give() : 0;
		*zero = !b->start;
	}
	if (*zero)
		b->start = (uintptr_t)hk_os_map(mapped, align);
	if (b->start && !hk_granule_set_large((void *)b->start, b)) {
		hk_os_unmap((void *)b->start, b->mapped);
		b->start = 0;
	}
	p = (void *)b->start;
	hk_large_lock();
	if (p)
		link_live(b);
	else
		hk_large_node_free(b);
	hk_large_unlock();
	if (p)
		hk_event(*zero ? HK_EVENT_LARGE_MAP : HK_EVENT_LARGE_REUSE, 0, p, mapped);
	return p;
}

static bool free_mapping(void *p)
{
	struct hk_large *b;
	bool keep;

	hk_large_lock();
	b = hk_granule_find(p).large;
	if (!b || b->start != (uintptr_t)p || b->state != HK_LARGE_LIVE) {
		hk_large_unlock();
		return false;
	}
	unlink_live(b);
	hk_granule_clear(p);
	keep = hk_kept_decide(b->mapped) && !b->huge;
	if (keep) {
		hk_event(HK_EVENT_LARGE_KEEP, 0, p, b->mapped);
		keep = hk_kept_add(b);
	}
	hk_large_unlock();
	if (!keep)
		give_back(b);
	unmap_expired(false);
	return true;
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
	hk_large_counters.bytes += mapped - before;
	if (hk_large_counters.bytes > hk_large_counters.peak_bytes)
		hk_large_counters.peak_bytes = hk_large_counters.bytes;
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
	if (!hk_huge_pausing())
		b->huge = hk_huge_advise((void *)b->start, b->mapped, (char *)b->start + fresh);
	else if (b->huge)
		b->huge = !hk_os_small((void *)b->start, b->mapped);
}

/* In place, where what lies behind is kept or the kernel has room there. */
static void *resize_mapping(struct hk_large *b, size_t size)
{
	size_t mapped = mapping_size(size), before = b->mapped;
	void *p = (void *)b->start, *to = p;
	int error = 0;

	if (mapped == before)
		return p;
	if (mapped > before && mapped <= HK_LARGE_MAX) {
		hk_large_lock();
		if (hk_kept_extend(b, mapped)) {
			resized(b, p, b->mapped, before);
			hk_large_unlock();
			return p;
		}
		hk_large_unlock();
	}
	error = hk_os_resize(p, before, mapped);
	if (error) {
		to = error == ENOMEM && mapped > before ? move_mapping(b, mapped) : NULL;
		if (!to)
			return NULL;
	}
	hk_large_lock();
	resized(b, to, mapped, before);
	hk_large_unlock();
	expect_more(b, size, before);
	return to;
}

void *hk_large_take(size_t size, size_t align, bool *zero)
{
	bool ignored;

	if (!zero)
		zero = &ignored;
	if (size >= HK_IMPOSSIBLE)
		return NULL;
	if (size <= HK_MID_MAX && align <= HK_MID_MAX)
		return hk_mid_alloc(size, align, zero);
	return alloc_mapping(size, align, zero);
}

bool hk_large_free(void *p)
{
	return hk_mid_free(p) || free_mapping(p);
}

size_t hk_large_size(const void *p)
{
	size_t size = hk_mid_size(p);
	struct hk_large *b;

	if (size)
		return size;
	b = find(p);
	return b ? b->mapped : 0;
}

static void want(struct hk_large *b, size_t size)
{
	if (size < b->wanted)
		b->shrank = true;
	else if (size > b->wanted)
		b->regrew |= b->shrank;
	b->wanted = size;
}

/* What a resized block has mapped and does not want: whole granules are gone, the
 * pages of the last one go here. */
static void drop_unwanted(struct hk_large *b, size_t size)
{
	size_t from = round_up(size, hk_page_size), to = round_up(b->wanted, hk_page_size);

	want(b, size);
	if (to > b->mapped)
		to = b->mapped;
	if (from + HK_LARGE_SHRINK <= to)
		hk_os_purge((char *)b->start + from, to - from);
}

void *hk_large_resize(void *p, size_t size)
{
	struct hk_large *b = find(p);

	if (size >= HK_IMPOSSIBLE)
		return NULL;
	if (!b)
		return hk_mid_resize(p, size) ? p : NULL;
	p = size > HK_MID_MAX / 2 ? resize_mapping(b, size) : NULL;
	if (p)
		drop_unwanted(b, size);
	return p;
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

bool hk_large_around(const void *p, struct hk_span *span)
{
	struct hk_large *b;

	hk_large_lock();
	for (b = large.live; b; b = b->next)
		if ((uintptr_t)p - b->start < b->mapped)
			break;
	if (b) {
		span->start = b->start;
		span->size = b->mapped;
		span->kind = b->mapped > HK_LARGE_MAX ? "Huge" : "Large";
	}
	hk_large_unlock();
	return b != NULL;
}

size_t hk_large_age(uint64_t now)
{
	return now < atomic_load_explicit(&hk_kept_calm_until, memory_order_relaxed) ? 0 :
	       unmap_expired(false);
}

size_t hk_large_trim(void)
{
	return unmap_expired(true);
}
