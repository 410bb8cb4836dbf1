/*
 * Does the program write to all of its Large blocks? If so, new ranges get huge pages, which
 * take less time than a fault for each small page. If not, they would get memory that the
 * program never uses.
 *
 * A block is dense if nearly all of a few pages that are examined were written to. Words
 * that are not zero prove that. A live block, of which the program may have made a part inaccessible, is
 * read by the kernel, so that an error is not a fault. If a block that is being freed has
 * more words that are zero, the time of a read tells whether the page existed before.
 *
 * Each proof allows the next few ranges to be populated, so a program that no longer writes
 * to its blocks gets few such ranges.
 */
#include "config/policy.h"
#include "config/settings.h"
#include "large/internal.h"
#include "os/os.h"
#include "pool/thp.h"

/*
 * All relaxed: an outdated value only leads to pages of the wrong size.
 *	allowed		ranges that may still be populated
 *	recent		the newest ranges: start, and in the low bits the number of granules
 *			that the program wants as a whole
 *	skip		looks to be left out
 *	next_skip	after the next block that is not dense
 */
static struct {
	_Atomic unsigned allowed;
	struct hk_newest recent;
	_Atomic unsigned skip, next_skip;
} dense;

static unsigned load(_Atomic unsigned *figure)
{
	return atomic_load_explicit(figure, memory_order_relaxed);
}

static void store(_Atomic unsigned *figure, unsigned value)
{
	atomic_store_explicit(figure, value, memory_order_relaxed);
}

/* One page of each part of the block; the first and the last page are not among them. */
static uintptr_t sample(uintptr_t start, size_t size, unsigned n)
{
	size_t part = size / HK_DENSE_SAMPLES;

	return (start + n * part + part / 2) & -(uintptr_t)hk_page_size;
}

enum words { UNREADABLE, ZERO, WRITTEN };

static enum words read_words(uintptr_t start, size_t size)
{
	unsigned n, zero = 0;

	for (n = 0; n < HK_DENSE_SAMPLES && zero <= HK_DENSE_ZERO; n++) {
		bool is_zero;

		if (!hk_os_peek((const void *)sample(start, size, n), &is_zero))
			return UNREADABLE;
		zero += is_zero;
	}
	return zero <= HK_DENSE_ZERO ? WRITTEN : ZERO;
}

/* Pages next to each other, so that the processor reads several at a time: a page that exists
 * takes 50 ns, a page fault 250 to 500 ns. Only for memory that the library will use again: it
 * must be accessible then, and is made so if the program has left a page that is not. */
static bool reads_fast(uintptr_t start, size_t size)
{
	uintptr_t at = (start + size / 2) & -(uintptr_t)hk_page_size;
	uintptr_t last = at + (HK_DENSE_READS - 1) * hk_page_size;
	uint64_t before, most = (uint64_t)HK_DENSE_READS * HK_DENSE_READ_NS;
	unsigned n, piece;
	bool is_zero;

	if (last >= start + size || !hk_os_peek((const void *)at, &is_zero) ||
	    !hk_os_peek((const void *)last, &is_zero) ||
	    !hk_os_open_pages((void *)at, last + hk_page_size - at))
		return false;
	before = hk_os_clock();
	for (piece = 0; piece < HK_DENSE_PIECES; piece++) {
		for (n = 0; n < HK_DENSE_READS / HK_DENSE_PIECES; n++, at += hk_page_size)
			(void)*(const volatile char *)at;
		if (hk_os_clock() - before > most)
			return false;
	}
	return true;
}

static void found(bool is_dense)
{
	unsigned next = load(&dense.next_skip);

	if (is_dense) {
		store(&dense.allowed, HK_DENSE_TRUST);
		store(&dense.next_skip, 0);
		return;
	}
	store(&dense.allowed, 0);
	store(&dense.skip, next);
	store(&dense.next_skip, !next ? 1 : next < HK_DENSE_SKIP_MOST ? next * 2 : next);
}

static bool may_populate(void)
{
	return hk_os_huge_mode() != HK_HUGE_ALWAYS && !hk_harden;
}

/* Also counts the looks that are left out. */
static bool look_is_due(void)
{
	unsigned skip = load(&dense.skip);

	if (load(&dense.allowed) > HK_DENSE_TRUST / 2 || !may_populate())
		return false;
	if (skip)
		store(&dense.skip, skip - 1);
	return !skip;
}

static size_t last_part(size_t wanted)
{
	return wanted & (HK_SUPERSLAB_SIZE - 1);
}

/* The bytes to be populated; the last granule only if most of it is wanted. */
static size_t dense_bytes(const struct hk_large *b)
{
	size_t whole = b->wanted - last_part(b->wanted);

	return whole + (last_part(b->wanted) > HK_SUPERSLAB_SIZE / 2 ? HK_SUPERSLAB_SIZE : 0);
}

static bool is_candidate(const struct hk_large *b)
{
	return b->wanted >= HK_SUPERSLAB_SIZE && b->range.mapped <= HK_LARGE_MAX;
}

void hk_dense_freeing(const struct hk_large *b, bool reused)
{
	enum words words;

	hk_dense_forget((void *)b->range.start);
	if (!is_candidate(b) || !look_is_due())
		return;
	words = read_words(b->range.start, b->wanted);
	found(words == WRITTEN ||
	      (words == ZERO && reused && !b->populated && reads_fast(b->range.start, b->wanted)));
}

void hk_dense_forget(const void *block)
{
	unsigned n;

	for (n = 0; n < HK_NEWEST; n++)
		if ((atomic_load_explicit(&dense.recent.word[n], memory_order_relaxed) & -HK_SUPERSLAB_SIZE) ==
		    (uintptr_t)block)
			atomic_store_explicit(&dense.recent.word[n], 0, memory_order_relaxed);
}

/* The youngest range is not judged, because the program may still fill it. The thread that
 * owns the block may resize or free it meanwhile, so its descriptor is not read; at worst,
 * memory that has been used otherwise since is judged. */
static void judge_recent(void)
{
	uintptr_t word = hk_newest_oldest(&dense.recent), start = word & -HK_SUPERSLAB_SIZE;

	if (word && look_is_due())
		found(read_words(start, (word - start) << HK_SUPERSLAB_SHIFT) == WRITTEN);
}

static void remember(const struct hk_large *b)
{
	hk_newest_add(&dense.recent, b->range.start + (b->wanted >> HK_SUPERSLAB_SHIFT));
}

/* Huge pages one by one, because they may take too long. Returns the end of what they
 * populated. */
static char *populate_huge(struct hk_large *b)
{
	char *at = (char *)b->range.start, *end = at + dense_bytes(b);
	bool fast = true;

	if (hk_os_huge_mode() != HK_HUGE_MADVISE || !hk_thp_admit() || !hk_os_huge(at, b->range.mapped))
		return at;
	b->range.advised = true;
	for (; at < end && fast; at += HK_SUPERSLAB_SIZE)
		fast = hk_thp_touch(at);
	if (!fast)
		hk_os_small((void *)b->range.start, b->range.mapped);
	return at;
}

void hk_dense_populate(struct hk_large *b)
{
	char *at, *end = (char *)b->range.start + (b->wanted & -hk_page_size);
	unsigned allowed;

	if (!is_candidate(b))
		return;
	judge_recent();
	remember(b);
	allowed = load(&dense.allowed);
	if (!allowed || !may_populate() || hk_pool_scarce())
		return;
	store(&dense.allowed, allowed - 1);
	b->populated = true;
	at = populate_huge(b);
	if (at >= end)
		return;
	b->range.advised |= hk_thp_advise_64k((void *)b->range.start, b->range.mapped, at);
	hk_os_populate(at, (size_t)(end - at));
}
