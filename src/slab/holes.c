/*
 * Holes: pages of a slab that are released to the system while the slab is in use.
 * MADV_DONTNEED also deletes the marks of the free blocks in them; until the page is in use
 * again, double frees are detected as described at hot_limit in slab.h.
 */
#include "os/os.h"
#include "slab/slab.h"

_Atomic size_t hk_hole_bytes, hk_hole_purged_bytes;

/* A slab has at most 64 whole pages, or none if a page is larger than the slab. */
_Static_assert(8 * HK_SLOT_SIZE / 64 <= 4096, "one bit per page of 4 KiB");

static uintptr_t first_page(const struct hk_slab *slab)
{
	return (slab->base + hk_page_size - 1) & -(uintptr_t)hk_page_size;
}

static unsigned pages_of(const struct hk_slab *slab)
{
	uintptr_t end = slab->base + slab->slots * HK_SLOT_SIZE, first = first_page(slab);

	return first < end ? (unsigned)((end - first) / hk_page_size) : 0;
}

static uint64_t low_bits(size_t n)
{
	return n < 64 ? ((uint64_t)1 << n) - 1 : UINT64_MAX;
}

/* The whole pages of the slab that contain some of its bytes from..to - 1. */
static uint64_t touched(const struct hk_slab *slab, size_t from, size_t to)
{
	size_t before = first_page(slab) - slab->base;
	unsigned shift;

	if (to <= before)
		return 0;
	shift = (unsigned)__builtin_ctzl(hk_page_size);
	from = from > before ? (from - before) >> shift : 0;
	to = (to - before + hk_page_size - 1) >> shift;
	return low_bits(to) & ~low_bits(from) & low_bits(pages_of(slab));
}

/* The pages after the last carved block. */
static uint64_t behind(const struct hk_slab *slab)
{
	return low_bits(pages_of(slab)) & ~touched(slab, 0, slab->carved * (size_t)slab->size);
}

/* The pages with carved blocks, none of which is used. */
uint64_t hk_slab_free_pages(const struct hk_slab *slab)
{
	uint64_t busy = behind(slab);
	size_t size = slab->size;
	unsigned word;

	for (word = 0; word * 64 < slab->carved; word++) {
		uint64_t used = ~slab->free[word] & low_bits(slab->carved - word * 64);

		for (; used; used &= used - 1) {
			size_t at = (word * 64 + (size_t)__builtin_ctzll(used)) * size;

			busy |= touched(slab, at, at + size);
		}
	}
	return low_bits(pages_of(slab)) & ~busy;
}

static void set_holes(struct hk_slab *slab, uint64_t holes)
{
	uint64_t old = atomic_load_explicit(&slab->holes, memory_order_relaxed);
	size_t now = (size_t)__builtin_popcountll(holes) * hk_page_size;
	size_t before = (size_t)__builtin_popcountll(old) * hk_page_size;

	atomic_fetch_add_explicit(&hk_hole_bytes, now - before, memory_order_relaxed);
	atomic_store_explicit(&slab->holes, holes, memory_order_relaxed);
	hk_slab_set_limit(slab, slab->limit);
}

void hk_slab_forget_holes(struct hk_slab *slab)
{
	if (hk_slab_holed(slab))
		set_holes(slab, 0);
}

/* Removes the first run of bits from *pages and returns it. */
static uint64_t next_run(uint64_t *pages)
{
	unsigned first = (unsigned)__builtin_ctzll(*pages);
	uint64_t rest = ~(*pages >> first), run;
	unsigned n = rest ? (unsigned)__builtin_ctzll(rest) : 64 - first;

	run = low_bits(first + n) & ~low_bits(first);
	*pages &= ~run;
	return run;
}

static size_t start_of(const struct hk_slab *slab, uint64_t run)
{
	return first_page(slab) - slab->base + (size_t)__builtin_ctzll(run) * hk_page_size;
}

static size_t size_of(uint64_t run)
{
	return (size_t)__builtin_popcountll(run) * hk_page_size;
}

/* The runs of `pages` that contain a wanted page; each will be one system call. */
static uint64_t runs_with(uint64_t pages, uint64_t wanted)
{
	uint64_t all = 0, run;

	while (pages) {
		run = next_run(&pages);
		all |= run & wanted ? run : 0;
	}
	return all;
}

/* Returns the pages that could not be released. */
static uint64_t purge_runs(const struct hk_slab *slab, uint64_t pages)
{
	uint64_t failed = 0, run;

	while (pages) {
		run = next_run(&pages);
		if (!hk_os_purge((void *)(slab->base + start_of(slab, run)), size_of(run)))
			failed |= run;
	}
	return failed;
}

/* Marks the carved blocks in these pages as free or as used. All of them are free; marking
 * them as used keeps them from being allocated during the purge. */
static void set_free(struct hk_slab *slab, uint64_t pages, bool free)
{
	while (pages) {
		uint64_t run = next_run(&pages);
		size_t from = start_of(slab, run), end = (from + size_of(run) - 1) / slab->size + 1, i;

		for (i = from / slab->size; i < end && i < slab->carved; i++) {
			uint64_t *word = &slab->free[i / 64], bit = (uint64_t)1 << (i % 64);

			if (!(*word & bit) == !free)
				continue;
			HK_FOLDED_STORE(*word, *word ^ bit);
			slab->used = (uint16_t)(free ? slab->used - 1 : slab->used + 1);
			if (*word)
				slab->words |= (uint32_t)1 << (i / 64);
			else
				slab->words &= ~((uint32_t)1 << (i / 64));
		}
	}
}

/* Restores the marks of the free blocks that start in pages which are no longer holes. The
 * bits of blocks in a chain are clear; hk_slab_restore_marks restores their marks. */
static void mark_free(struct hk_slab *slab, uint64_t pages)
{
	size_t before = first_page(slab) - slab->base, size = slab->size;
	unsigned page, i, end;

	for (; pages; pages &= pages - 1) {
		page = (unsigned)__builtin_ctzll(pages);
		i = (unsigned)((before + page * hk_page_size + size - 1) / size);
		end = (unsigned)((before + (page + 1) * hk_page_size + size - 1) / size);
		for (; i < end && i < slab->carved; i++)
			if (hk_slab_bit(slab, i))
				hk_set_free((struct hk_block *)(slab->base + i * size), HK_LIST_END);
	}
}

bool hk_slab_purge_begin(struct hk_slab *slab, size_t least, struct hk_slab_purge *p)
{
	uint64_t holes = atomic_load_explicit(&slab->holes, memory_order_relaxed);

	if (slab->purging)
		return false;
	p->slab = slab;
	p->fresh = hk_slab_free_pages(slab) & ~holes;
	p->tail = slab->dirty_tail ? behind(slab) : 0;
	if (!(p->fresh | p->tail) || size_of(p->fresh | p->tail) < least)
		return false;
	p->pages = runs_with(holes | p->fresh | p->tail, p->fresh | p->tail);
	/* The limit is set first, so that no free relies on marks that are about to be lost. */
	set_holes(slab, holes | p->fresh);
	set_free(slab, p->pages, false);
	/* The slab must not count as empty during the purge, even if no carved block is in
	 * these pages. */
	slab->used++;
	slab->purging = true;
	return true;
}

void hk_slab_purge_pages(struct hk_slab_purge *p)
{
	p->failed = purge_runs(p->slab, p->pages);
}

size_t hk_slab_purge_end(struct hk_slab_purge *p)
{
	struct hk_slab *slab = p->slab;
	size_t bytes = size_of((p->fresh | p->tail) & ~p->failed);

	set_free(slab, p->pages, true);
	slab->used--;
	/* A failed call may have released some of its pages (if part of them is locked). */
	mark_free(slab, p->fresh & p->failed);
	set_holes(slab, atomic_load_explicit(&slab->holes, memory_order_relaxed) &
			~(p->fresh & p->failed));
	slab->dirty_tail = slab->dirty_tail && (p->tail & p->failed);
	slab->purging = false;
	atomic_fetch_add_explicit(&hk_hole_purged_bytes, bytes, memory_order_relaxed);
	return bytes;
}

void hk_slab_restore_marks(struct hk_slab *slab, struct hk_block *chain)
{
	uint64_t holes = atomic_load_explicit(&slab->holes, memory_order_relaxed), in_use = 0;

	for (; chain != HK_LIST_END; chain = hk_next(chain)) {
		size_t at = (uintptr_t)chain - slab->base;

		if (holes & touched(slab, at, at + 1))
			chain->mark = hk_mark(chain, hk_secret());
		in_use |= touched(slab, at, at + slab->size);
	}
	if (!(holes & in_use))
		return;
	mark_free(slab, holes & in_use);
	set_holes(slab, holes & ~in_use);
}
