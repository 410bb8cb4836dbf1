/* Large and Huge: mappings of their own, and the choice between the kinds. */
#include "debug/ring.h"
#include "large/internal.h"
#include "os/lock.h"
#include "os/os.h"
#include "pool/meta.h"
#include "slab/pagemap.h"

#include <errno.h>

/* Freed Large mappings that are kept: how many, how much, how long (ms). */
enum { KEPT = 16, KEPT_MS = 500 };
#define KEPT_BYTES ((size_t)64 << 20)

/*
 * All under the large lock, but that the block's user may read size and
 * mapped. Live ones are in the list; kept ones in kept[], oldest first; those
 * that the kernel would not take back (vm.max_map_count) in stuck; others in
 * spare. The counters of kept ones include the stuck ones.
 */
struct hk_large {
	uintptr_t start;
	size_t mapped;			/* bytes */
	uint64_t kept_since;
	bool live;
	struct hk_large *prev, *next;
};

static struct {
	struct hk_lock lock;
	struct hk_large *live, *spare, *stuck;
	struct hk_large *kept[KEPT];
	unsigned kept_count;
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

	b->live = true;
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
	b->live = false;
	if (b->prev)
		b->prev->next = b->next;
	else
		large.live = b->next;
	if (b->next)
		b->next->prev = b->prev;
	hk_large_counters.live--;
	hk_large_counters.bytes -= b->mapped;
}

static void put_spare(struct hk_large *b)
{
	b->next = large.spare;
	large.spare = b;
}

static void count_kept(size_t count, size_t bytes)
{
	hk_large_counters.cached += count;
	hk_large_counters.cached_bytes += bytes;
}

static struct hk_large *take_kept(unsigned i)
{
	struct hk_large *b = large.kept[i];

	for (large.kept_count--; i < large.kept_count; i++)
		large.kept[i] = large.kept[i + 1];
	count_kept(-(size_t)1, -b->mapped);
	return b;
}

static struct hk_large *take_stuck(void)
{
	struct hk_large *b = large.stuck;

	if (b) {
		large.stuck = b->next;
		count_kept(-(size_t)1, -b->mapped);
	}
	return b;
}

/* Unmaps; the caller holds no lock and nobody else knows of it. */
static bool give_back(struct hk_large *b)
{
	bool done;

	hk_event(HK_EVENT_LARGE_UNMAP, 0, (void *)b->start, b->mapped);
	done = hk_os_unmap((void *)b->start, b->mapped);
	if (!done)
		hk_os_purge((void *)b->start, b->mapped);
	hk_large_lock();
	if (done) {
		put_spare(b);
	} else {
		b->next = large.stuck;
		large.stuck = b;
		count_kept(1, b->mapped);
	}
	hk_large_unlock();
	return done;
}

/* One more try for each stuck mapping, until one does not go. */
static size_t unstick(void)
{
	struct hk_large *b;
	size_t bytes = 0, size;

	do {
		hk_large_lock();
		b = take_stuck();
		hk_large_unlock();
		size = b ? b->mapped : 0;
		bytes += size;
	} while (b && give_back(b));
	return bytes - size;
}

/* The oldest kept mapping that has to go, as a list with the lock held; the
 * caller unmaps it without. */
static struct hk_large *expire(uint64_t now, size_t bytes_max, unsigned count_max)
{
	if (large.kept_count &&
	    (large.kept_count > count_max ||
	     hk_large_counters.cached_bytes > bytes_max ||
	     now - large.kept[0]->kept_since >= KEPT_MS))
		return take_kept(0);
	return NULL;
}

static size_t unmap_expired(size_t bytes_max, unsigned count_max)
{
	uint64_t now = hk_os_now();
	struct hk_large *b;
	size_t bytes = 0;

	for (;;) {
		hk_large_lock();
		b = expire(now, bytes_max, count_max);
		hk_large_unlock();
		if (!b)
			return bytes;
		bytes += b->mapped;
		give_back(b);
	}
}

/* The smallest kept mapping that fits without wasting a quarter. */
static struct hk_large *reuse(size_t mapped)
{
	unsigned i, best = KEPT;

	for (i = 0; i < large.kept_count; i++)
		if (large.kept[i]->mapped >= mapped &&
		    large.kept[i]->mapped - mapped <= mapped / 4 &&
		    (best == KEPT || large.kept[i]->mapped < large.kept[best]->mapped))
			best = i;
	if (best != KEPT)
		return take_kept(best);
	return large.stuck && large.stuck->mapped >= mapped ? take_stuck() : NULL;
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
		b = reuse(mapped);
	*zero = !b;
	if (!b && large.spare) {
		b = large.spare;
		large.spare = b->next;
		b->start = 0;
	}
	hk_large_unlock();
	if (!b)
		b = hk_meta_alloc(sizeof *b);
	if (!b)
		return NULL;
	if (*zero) {
		b->mapped = mapped;
		b->start = (uintptr_t)hk_os_map(mapped, align);
	}
	if (b->start && !hk_granule_set_large((void *)b->start, b)) {
		hk_os_unmap((void *)b->start, b->mapped);
		b->start = 0;
	}
	p = (void *)b->start;
	hk_large_lock();
	if (p)
		link_live(b);
	else
		put_spare(b);
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
	if (!b || b->start != (uintptr_t)p || !b->live) {
		hk_large_unlock();
		return false;
	}
	unlink_live(b);
	hk_granule_clear(p);
	keep = b->mapped <= HK_LARGE_MAX && large.kept_count < KEPT;
	if (keep) {
		b->kept_since = hk_os_now();
		large.kept[large.kept_count++] = b;
		hk_event(HK_EVENT_LARGE_KEEP, 0, p, b->mapped);
		count_kept(1, b->mapped);
	}
	hk_large_unlock();
	if (keep)
		unmap_expired(KEPT_BYTES, KEPT - 1);
	else
		give_back(b);
	unstick();
	return true;
}

static struct hk_large *find(const void *p)
{
	struct hk_large *b = hk_granule_find(p).large;

	return b && b->start == (uintptr_t)p && b->live ? b : NULL;
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

/* In place where the kernel can. */
static void *resize_mapping(struct hk_large *b, size_t size)
{
	size_t mapped = mapping_size(size);
	void *p = (void *)b->start, *to = p;
	int error = mapped == b->mapped ? 0 : hk_os_resize(p, b->mapped, mapped);

	if (error) {
		to = error == ENOMEM && mapped > b->mapped ? move_mapping(b, mapped) : NULL;
		if (!to)
			return NULL;
	}
	hk_large_lock();
	hk_large_counters.bytes += mapped - b->mapped;
	if (hk_large_counters.bytes > hk_large_counters.peak_bytes)
		hk_large_counters.peak_bytes = hk_large_counters.bytes;
	b->start = (uintptr_t)to;
	b->mapped = mapped;
	hk_large_unlock();
	return to;
}

void *hk_large_take(size_t size, size_t align, bool *zero)
{
	bool ignored;

	if (!zero)
		zero = &ignored;
	if (size > PTRDIFF_MAX - HK_SUPERSLAB_SIZE)
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

void *hk_large_resize(void *p, size_t size)
{
	struct hk_large *b = find(p);

	if (size > PTRDIFF_MAX - HK_SUPERSLAB_SIZE)
		return NULL;
	if (b)
		return size > HK_MID_MAX / 2 ? resize_mapping(b, size) : NULL;
	return hk_mid_resize(p, size) ? p : NULL;
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

size_t hk_large_age(void)
{
	return unmap_expired(KEPT_BYTES, KEPT - 1);
}

size_t hk_large_trim(void)
{
	return unmap_expired(0, 0) + unstick();
}
