/*
 * Blocks larger than those of slabs. Their size is stored in their descriptors, which an
 * overflow cannot reach. Pad bytes follow a block. From level 3 on inaccessible pages follow
 * too, as long as the process has few enough mappings.
 */
#include "harden/internal.h"

#include "config/policy.h"
#include "os/os.h"

static _Atomic unsigned guards;		/* relaxed */

static bool close_pages(void *addr, size_t size)
{
	bool closed = atomic_load_explicit(&guards, memory_order_relaxed) < HK_GUARDS &&
		      hk_os_close_pages(addr, size);

	if (closed)
		atomic_fetch_add_explicit(&guards, 1, memory_order_relaxed);
	return closed;
}

static bool open_pages(void *addr, size_t size)
{
	bool opened = hk_os_open_pages(addr, size);

	if (opened)
		atomic_fetch_sub_explicit(&guards, 1, memory_order_relaxed);
	return opened;
}

/* With a guard page, an overflow is detected at the end of the page at the latest. */
static size_t whole_for(size_t size)
{
	return hk_guards_on() ? hk_whole_pages(size) + hk_page_size : size + HK_SEAL;
}

static void guard(char *p, struct hk_note *note)
{
	size_t from = hk_whole_pages(note->size), whole = hk_large_size(p);

	note->guarded = hk_guards_on() && from < whole && !hk_inside() &&
			close_pages(p + from, whole - from);
}

/* False: the block still has its guard page. */
static bool unguard(char *p, struct hk_note *note)
{
	size_t from = hk_whole_pages(note->size), whole = hk_large_size(p);

	if (note->guarded && open_pages(p + from, whole - from))
		note->guarded = false;
	return !note->guarded;
}

/* The number of pad bytes, up to the guard page or the end. */
static size_t pad_of(const char *p, const struct hk_note *note)
{
	return (note->guarded ? hk_whole_pages(note->size) : hk_large_size(p)) - note->size;
}

static void fill_pad(char *p, const struct hk_note *note)
{
	hk_pad_fill(p + note->size, pad_of(p, note), hk_pad_mask((uintptr_t)p));
}

/* Clears the bytes between two offsets; whole pages are purged. */
static void clear(char *p, size_t from, size_t to)
{
	size_t first = hk_whole_pages(from), end = to & -hk_page_size;

	if (first >= end || !hk_os_purge(p + first, end - first)) {
		hk_block_clear(p + from, to - from);
		return;
	}
	hk_block_clear(p + from, first - from);
	hk_block_clear(p + end, to - end);
}

static void *take(size_t size, size_t whole, size_t align, size_t sampled, bool *clean, const void *caller)
{
	if (sampled)
		return hk_sampled_malloc(hk_whole_pages(whole), sampled, size, clean, caller);
	/* As in hk_memalign: small blocks with a large alignment. */
	if (whole <= HK_SLAB_MAX)
		whole = HK_SLAB_MAX + 1;
	return hk_large_malloc(whole, align > HK_GRAIN ? align : HK_GRAIN, clean, caller);
}

void *hk_wide_take(size_t size, size_t align, const struct hk_seal *seal, size_t sampled, bool *zero,
		   const void *caller)
{
	size_t whole = size < HK_IMPOSSIBLE ? whole_for(size) : size;
	struct hk_note *note;
	bool clean = false;
	char *p;

	p = take(size, whole, align, sampled, &clean, caller);
	if (!p)
		return NULL;
	note = hk_large_note(p);
	if (hk_contents_on() && !clean) {
		if (note)
			clear(p, 0, size);
		else
			hk_block_clear(p, size);
		clean = true;
	}
	if (zero)
		*zero = clean;
	if (!note)
		return p;
	note->size = size;
	note->form = seal->form;
	note->align = seal->align;
	note->noted = true;
	note->guarded = note->freed = false;
	guard(p, note);
	fill_pad(p, note);
	return p;
}

struct hk_note *hk_wide_find(const void *p, enum hk_call call)
{
	struct hk_note *note = hk_large_note(p);
	const char *end;

	if (!note || !note->noted)
		return NULL;
	if (note->freed)
		hk_report_twice(call, p, hk_large_size(p) <= HK_MID_MAX + HK_SLOT_SIZE ? "Mid block" : "Large block");
	end = (const char *)p + note->size;
	if (!hk_pad_whole(end, pad_of(p, note), hk_pad_mask((uintptr_t)p)))
		hk_report_overrun(call, p, note->size, hk_large_size(p));
	return note;
}

/* From level 3 on the block is inaccessible while in quarantine. */
void hk_wide_free(void *p, struct hk_note *note, const void *caller)
{
	size_t whole = hk_large_size(p);

	hk_sampled_free(p);
	if (!unguard(p, note))
		return;
	if (hk_contents_on() && !hk_inside())
		hk_os_purge(p, whole);
	if (hk_guards_on() && !hk_inside() && close_pages(p, whole)) {
		note->freed = true;
		hk_queue_push_wide(p, whole);
	} else {
		note->noted = false;
		hk_free_slow(p, HK_CALL_FREE, caller);
	}
}

/* If the kernel does not make a block accessible again, it is leaked, because it cannot be
 * reused. */
void hk_wide_settle(void *p)
{
	struct hk_note *note = hk_large_note(p);

	if (!note || !open_pages(p, hk_large_size(p)))
		return;
	note->noted = false;
	hk_free_slow(p, HK_CALL_FREE, NULL);
}

/* The guard page is removed first, because the kernel can move only a single mapping. */
void *hk_wide_resize(void *p, size_t size, const void *caller)
{
	struct hk_note *note = hk_large_note(p);
	size_t whole = size < HK_IMPOSSIBLE ? whole_for(size) : 0, had, old;
	char *to = p;

	if (!note || !note->noted || note->form != HK_FORM_MALLOC || note->align ||
	    whole <= HK_SLAB_MAX || hk_inside() || !unguard(p, note))
		return NULL;
	old = note->size;
	had = hk_large_size(p);
	if (whole > had || whole < had / 2)
		to = hk_resize_slow(p, whole, caller);
	else if (hk_large_roomy(p, whole))
		hk_resize_slow(p, whole, caller);
	if (!to) {
		guard(p, note);
		/* Without a guard page, the bytes behind the end are different from before. */
		fill_pad(p, note);
		return NULL;
	}
	note = hk_large_note(to);
	note->size = size;
	if (size > old)
		clear(to, old, size);
	guard(to, note);
	fill_pad(to, note);
	return to;
}
