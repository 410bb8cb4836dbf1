/* Large and Huge blocks, which have a range or mapping each, and the choice between Mid,
 * Large and Huge. */
#include "config/policy.h"
#include "config/settings.h"
#include "debug/ring.h"
#include "large/internal.h"
#include "os/os.h"
#include "pool/eager.h"
#include "slab/pagemap.h"

#include <errno.h>
#include <stddef.h>

struct hk_large_counters hk_large_counters;

/* The number of fitted blocks; relaxed. */
static _Atomic size_t fitted;

/* The bytes include guards. */
static void count(size_t blocks, size_t bytes)
{
	struct hk_large_counters *c = &hk_large_counters;

	atomic_fetch_add_explicit(&c->live, blocks, memory_order_relaxed);
	hk_raise(&c->peak_bytes, bytes +
		 atomic_fetch_add_explicit(&c->bytes, bytes, memory_order_relaxed));
}

static size_t round_up(size_t size, size_t unit)
{
	return (size + unit - 1) & -unit;
}

static size_t granules_for(size_t size)
{
	return round_up(size, hk_page_size > HK_SUPERSLAB_SIZE ? hk_page_size : HK_SUPERSLAB_SIZE);
}

static bool is_fitted(size_t mapped)
{
	return mapped <= HK_LARGE_MAX && mapped % HK_SUPERSLAB_SIZE;
}

static bool may_fit(void)
{
	return hk_space_is_short(HK_SPACE_FIT_SHARE) && atomic_load_explicit(&fitted, memory_order_relaxed) < HK_FITTED_MOST;
}

static size_t mapping_size(size_t size)
{
	size_t pages = round_up(size, hk_page_size), whole = granules_for(size);

	if (size > HK_LARGE_MAX)
		return pages + (hk_os_has_guards() ? hk_page_size : 0);
	return whole - pages >= pages / HK_SPACE_WASTE_SHARE && may_fit() ? pages : whole;
}

static void count_fitted(size_t mapped, size_t blocks)
{
	if (is_fitted(mapped))
		atomic_fetch_add_explicit(&fitted, blocks, memory_order_relaxed);
}

static void start(struct hk_large *b)
{
	count_fitted(b->range.mapped, 1);
	b->grew = b->shrank = b->regrew = b->note.noted = false;
	atomic_store_explicit(&b->note.sample, 0, memory_order_relaxed);
	hk_range_use(&b->range);
	hk_granule_set_range((void *)b->range.start, &b->range);
	count(1, b->range.mapped);
}

static void reuse(struct hk_large *b)
{
	start(b);
	b->populated = true;
	hk_event(HK_EVENT_LARGE_REUSE, 0, (void *)b->range.start, b->range.mapped);
}

/* The descriptor of a range is also the descriptor of its block. */
static struct hk_large *block_of(struct hk_range *r)
{
	_Static_assert(offsetof(struct hk_large, range) == 0, "a cast suffices");
	return (struct hk_large *)(void *)r;
}

/*
 * A freed range above HK_RANGE_KEPT_ALWAYS is kept only after the program has requested one
 * of that size again: most programs that hold a file or a table of many MiB do so only once.
 *	let_go		the largest range, up to HK_LARGE_MAX, that was not kept
 *	wanted_again	the largest size, up to let_go, that was requested later
 * Both relaxed.
 */
static _Atomic size_t let_go, wanted_again;

static bool worth_keeping(size_t mapped)
{
	return !is_fitted(mapped) && (mapped <= HK_RANGE_KEPT_ALWAYS ||
				      mapped <= atomic_load_explicit(&wanted_again, memory_order_relaxed));
}

static void note_let_go(size_t mapped)
{
	if (mapped <= HK_LARGE_MAX && !is_fitted(mapped))
		hk_raise(&let_go, mapped);
}

static void note_wanted(size_t mapped)
{
	if (mapped <= atomic_load_explicit(&let_go, memory_order_relaxed))
		hk_raise(&wanted_again, mapped);
}

static struct hk_large *new_block(size_t mapped)
{
	struct hk_large *b = block_of(hk_range_new());

	if (b) {
		b->former = b->range.start;
		b->range.start = 0;
		b->range.mapped = mapped;
		b->range.guarded = b->range.clean = b->range.advised = false;
		b->populated = false;
		b->range.old_guards = 0;
	}
	return b;
}

static struct hk_large *take_free(size_t mapped)
{
	struct hk_range *r = mapped <= HK_LARGE_MAX ? hk_range_take(mapped) : NULL;

	note_wanted(mapped);
	return block_of(r);
}

/* Uses the memory of empty SuperSlabs, if there is some. Not for Huge blocks, which are not
 * whole granules. */
static bool take_empty(struct hk_large *b, size_t whole)
{
	bool huge = false;

	b->range.start = (uintptr_t)hk_pool_give(whole, &huge);
	b->range.advised |= huge;
	if (b->range.start)
		b->range.mapped = whole;
	return b->range.start != 0;
}

/* Is it worth a system call to release the pages after the wanted bytes? Huge pages stay whole. */
static bool has_tail(const struct hk_large *b)
{
	return !b->range.advised && round_up(b->wanted, hk_page_size) + HK_LARGE_SHRINK <= b->range.mapped;
}

/* The pages of an empty SuperSlab that the block does not need. Not those of a freed Large block,
 * which blocks of other sizes will need soon. */
static void drop_tail(const struct hk_large *b)
{
	size_t from = round_up(b->wanted, hk_page_size);

	hk_os_purge((char *)b->range.start + from, b->range.mapped - from);
}

/* Uses a free range or the memory of empty SuperSlabs. If there is none, if its guards must be
 * changed first, or if a part must be released, leaves a descriptor to hk_large_finish. */
static void begin_mapping(struct hk_large_request *r)
{
	size_t mapped = mapping_size(r->size), whole = granules_for(r->size);
	bool anywhere = r->align <= HK_SUPERSLAB_SIZE;
	struct hk_large *b = NULL;

	if (anywhere)
		b = take_free(mapped > HK_LARGE_MAX ? mapped : whole);
	if (!b)
		b = new_block(mapped);
	if (!b)
		return;
	b->wanted = r->size;
	if (!b->range.start && mapped <= HK_LARGE_MAX && anywhere)
		r->emptied = take_empty(b, whole) && has_tail(b);
	if (b->range.start && !r->emptied && !is_fitted(mapped) && hk_guard_fits(b)) {
		reuse(b);
		r->block = (void *)b->range.start;
		r->zero = b->range.clean;
	} else {
		r->range = b;
	}
}

static void *get_mapping(const struct hk_large *b, size_t align)
{
	if (b->range.mapped > HK_LARGE_MAX)
		return hk_os_map_with_room(b->range.mapped, align);
	return is_fitted(b->range.mapped) ? hk_os_map_fitted(b->range.mapped, align, b->former) :
					    hk_os_map(b->range.mapped, align);
}

/* Creates the leaves of the page map for both ends, so that the range can be put into the
 * store later. */
static bool map(struct hk_large *b, size_t align)
{
	void *p = get_mapping(b, align > HK_SUPERSLAB_SIZE ? align : HK_SUPERSLAB_SIZE);

	b->range.start = (uintptr_t)p;
	if (!p)
		return false;
	if (!hk_granule_clear((char *)p + b->range.mapped - 1) || !hk_granule_clear(p)) {
		hk_os_unmap(p, b->range.mapped);
		return false;
	}
	hk_dense_populate(b);
	hk_guard_fresh(b);
	start(b);
	hk_event(HK_EVENT_LARGE_MAP, 0, p, b->range.mapped);
	return true;
}

/* If the block is to be fitted, unmaps the part of its reused range that it does not need. */
static void cut(struct hk_large *b)
{
	size_t mapped = mapping_size(b->wanted), granule = mapped >> HK_SUPERSLAB_SHIFT;

	if (!is_fitted(mapped) || mapped > b->range.mapped ||
	    !hk_os_unmap((char *)b->range.start + mapped, b->range.mapped - mapped))
		return;
	b->range.mapped = mapped;
	b->range.guarded = false;
	b->range.old_guards &= ((uint64_t)1 << granule) - 1;
}

/* Prepares a reused range; unmaps it if its guards cannot be changed. */
static bool refit(struct hk_large *b)
{
	cut(b);
	if (hk_guard_fit(b)) {
		reuse(b);
		return true;
	}
	if (hk_os_unmap((void *)b->range.start, b->range.mapped))
		hk_range_delete(&b->range);
	return false;
}

/* Returns the range if it is to be unmapped, or NULL. */
static struct hk_range *free_mapping(struct hk_large *b)
{
	void *p = (void *)b->range.start;

	count((size_t)-1, -b->range.mapped);
	count_fitted(b->range.mapped, (size_t)-1);
	hk_granule_clear(p);
	b->range.clean = false;
	b->range.next = NULL;
	if (!worth_keeping(b->range.mapped)) {
		note_let_go(b->range.mapped);
		return &b->range;
	}
	hk_event(HK_EVENT_LARGE_KEEP, 0, p, b->range.mapped);
	return hk_range_add(&b->range) ? NULL : &b->range;
}

static struct hk_large *find(const void *p)
{
	struct hk_range *r = hk_granule_find(p).range;

	return r && r->start == (uintptr_t)p && hk_range_is(r, HK_RANGE_USED) ? block_of(r) : NULL;
}

/*
 * Moves the pages to another address without copying. The page map must be changed while the
 * old range still belongs to this block: as soon as the kernel has unmapped it, another
 * thread may get the same addresses.
 */
static void *move_mapping(struct hk_large *b, size_t mapped)
{
	void *p = (void *)b->range.start, *to = hk_os_reserve(mapped, HK_SUPERSLAB_SIZE);

	if (!to)
		return NULL;
	if (!hk_granule_clear(to)) {
		hk_os_unreserve(to, mapped);
		return NULL;
	}
	hk_granule_clear(p);
	if (!hk_os_move(p, b->range.mapped, to, mapped)) {
		hk_granule_set_range(p, &b->range);
		return NULL;
	}
	hk_granule_set_range(to, &b->range);
	return to;
}

static void resized(struct hk_large *b, void *start, size_t mapped, size_t before)
{
	count(0, mapped - before);
	count_fitted(before, (size_t)-1);
	count_fitted(mapped, 1);
	b->range.start = (uintptr_t)start;
	b->range.mapped = mapped;
}

/*
 * A Huge block that grows repeatedly is probably a vector that the program fills, so the new
 * part gets huge pages unless they are costly. The whole block is advised, because mremap
 * requires a single mapping. Growth that contains no whole new granule is ignored, because
 * its end may be unused capacity of the vector.
 */
static void expect_more(struct hk_large *b, size_t size, size_t before)
{
	size_t fresh = round_up(before, HK_SUPERSLAB_SIZE);
	bool again = b->grew;

	b->grew |= size > before;
	if (!again || before <= HK_LARGE_MAX || fresh + HK_SUPERSLAB_SIZE > size ||
	    hk_os_huge_mode() == HK_HUGE_NEVER)
		return;
	if (hk_thp_admit())
		b->range.advised |= hk_thp_advise((void *)b->range.start, b->range.mapped, (char *)b->range.start + fresh);
	else if (b->range.advised)
		b->range.advised = !hk_os_small((void *)b->range.start, b->range.mapped);
}

/* Grows the block into the free range after it. */
static bool extend(struct hk_large *b, size_t size)
{
	size_t mapped = granules_for(size), before = b->range.mapped;

	if (mapped <= before || size > HK_LARGE_MAX || is_fitted(before))
		return false;
	note_wanted(mapped);
	if (!hk_range_extend(&b->range, mapped))
		return false;
	resized(b, (void *)b->range.start, b->range.mapped, before);
	return true;
}

/* For the size of a Mid block: would a mapping of its own take less memory than its share of a
 * SuperSlab? */
static bool fits_better(size_t size)
{
	size_t share;

	if (SIZE_MAX == UINT32_MAX || size < HK_FITTED_LEAST || !may_fit())
		return false;
	share = HK_SUPERSLAB_SIZE / (HK_SUPERSLAB_SIZE / round_up(size, HK_SLOT_SIZE));
	return share - size >= size / HK_SPACE_WASTE_SHARE;
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
		hk_mid_begin(r, !r->exact && fits_better(r->size));
	if (!r->mid)
		begin_mapping(r);
}

bool hk_large_finish(struct hk_large_request *r)
{
	bool done;

	if (r->mid)
		return hk_mid_finish(r);
	if (!r->range)
		return false;
	if (r->range->range.start) {
		done = refit(r->range);
		if (done && r->emptied && has_tail(r->range))
			drop_tail(r->range);
		r->zero = done && r->range->range.clean;
	} else {
		done = r->zero = map(r->range, r->align);
		if (!done)
			hk_range_delete(&r->range->range);
	}
	if (done)
		r->block = (void *)r->range->range.start;
	return done;
}

void hk_large_freeing(const void *p)
{
	const struct hk_large *b = find(p);

	if (b)
		hk_dense_freeing(b, worth_keeping(b->range.mapped));
}

bool hk_large_free(void *p, struct hk_range **unmap)
{
	struct hk_large *b;

	*unmap = NULL;
	if (hk_mid_free(p))
		return true;
	b = find(p);
	if (!b || !hk_range_retire(&b->range))
		return false;
	*unmap = free_mapping(b);
	return true;
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

/* Releases the pages after the wanted bytes of a resized block. Whole granules were unmapped
 * before, so these are pages of the last one. */
static void drop_unwanted(struct hk_large *b, size_t size)
{
	size_t from = round_up(size, hk_page_size), to = round_up(b->wanted, hk_page_size);

	want(b, size);
	if (to > b->range.mapped)
		to = b->range.mapped;
	if (from + HK_LARGE_SHRINK > to)
		return;
	/* Otherwise the kernel might fill the rest of a huge page again. */
	if (b->range.advised)
		hk_os_small((void *)(b->range.start + from), to - from);
	hk_os_purge((char *)b->range.start + from, to - from);
}

bool hk_large_roomy(void *p, size_t size)
{
	struct hk_large *b = find(p);

	if (!b)
		return !hk_settings.superslab_reuse && hk_mid_size(p) >= size + HK_SLOT_SIZE;
	if (size > b->wanted)
		want(b, size);
	/* If the block grows and shrinks repeatedly, its pages would be zeroed each time. */
	if (b->regrew && b->range.mapped <= HK_LARGE_MAX)
		return false;
	return b->wanted >= size + HK_LARGE_SHRINK;
}

/* Resizes the mapping in place if the kernel has room there; otherwise moves it. All guards are
 * removed first, so that hk_guard_fit cannot fail after the block has moved. */
static void *remap(struct hk_large *b, size_t size)
{
	size_t mapped = mapping_size(size), before = b->range.mapped;
	void *p = (void *)b->range.start, *to = p;
	int error;

	if (mapped == before)
		return p;
	if (!hk_range_lift_old_guards(&b->range) || !hk_range_lift_guard(&b->range))
		return NULL;
	hk_dense_forget(p);
	error = hk_os_resize(p, before, mapped);
	if (error) {
		to = error == ENOMEM && mapped > before ? move_mapping(b, mapped) : NULL;
		if (!to) {
			hk_guard_fit(b);
			return NULL;
		}
	}
	/* Both ends have their leaf of the page map, as in map. */
	if (mapped > HK_SUPERSLAB_SIZE)
		hk_granule_clear((char *)to + mapped - 1);
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
	/* It fails only if remap has changed nothing. */
	return hk_guard_fit(b) ? p : NULL;
}

/* Searches downwards, because only the first granule of a live block is in the page map. */
bool hk_large_around(const void *p, struct hk_span *span)
{
	enum { FARTHEST = 1 << 15 };	/* granules: 64 GiB */
	struct hk_large *b = NULL;
	uintptr_t i;

	for (i = 0; i < FARTHEST && (uintptr_t)p >> HK_SUPERSLAB_SHIFT >= i; i++) {
		struct hk_granule found = hk_granule_find((void *)((uintptr_t)p - (i << HK_SUPERSLAB_SHIFT)));

		b = block_of(found.range);
		if (b || found.superslab)
			break;
	}
	if (!b || !hk_range_is(&b->range, HK_RANGE_USED) || (uintptr_t)p - b->range.start >= b->range.mapped)
		return false;
	span->start = b->range.start;
	/* A Large block has whole granules, including its guard. */
	span->size = b->range.mapped > HK_LARGE_MAX ? hk_large_usable(b) : b->range.mapped;
	span->kind = b->range.mapped > HK_LARGE_MAX ? "Huge" : "Large";
	return true;
}

/* The bytes that may wait. */
static size_t may_wait(void)
{
	size_t live = atomic_load_explicit(&hk_large_counters.bytes, memory_order_relaxed);
	size_t usual = hk_pool_scarce() ? live / HK_RANGE_SCARCE_SHARE :
					  HK_RANGE_WAITING_LEAST + live / HK_RANGE_WAITING_OF * HK_RANGE_WAITING_PARTS;
	size_t few = hk_is_eager() ? hk_eager_bytes(HK_EAGER_LARGE) : usual;

	return few < usual ? few : usual;
}

bool hk_large_excess(void)
{
	return hk_range_waiting() > may_wait();
}

bool hk_large_is_due(uint64_t now)
{
	return !hk_range_is_idle(now, may_wait());
}

struct hk_range *hk_large_due(uint64_t now, unsigned most)
{
	return hk_large_is_due(now) ? hk_range_due(now, may_wait(), most) : NULL;
}
