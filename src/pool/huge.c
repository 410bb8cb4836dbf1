/*
 * Huge pages for SuperSlabs that will fill: the next one of a heap that has
 * a good deal in use, grew a short while ago and filled densely what it got
 * before. What huge pages hold too much is bounded by the SuperSlabs that are
 * still filling up.
 */
#include "os/os.h"
#include "pool/internal.h"

enum {
	FROM = 16,		/* SuperSlabs of a heap that is worth it */
	SOON_MS = 1000,		/* between two SuperSlabs of a heap that grows fast */
	BELIEF_MOST = 4,
	DEAR_NS = 1000000,	/* a huge page that takes longer: 2 us for each 4 KiB,
				 * as much as small pages */
	PAUSE = 2,		/* SuperSlabs after a dear one, doubled each time */
	PAUSE_MOST = 64,
};

/* Of the bytes of a SuperSlab. */
#define DENSE (HK_SUPERSLAB_SIZE / 8 * 7)

/* Relaxed: a hint that was overtaken costs a page of the wrong size. */
enum { NEWEST = 3 };
static struct {
	/* A ring; at next the oldest. Its own base, for by now the descriptor
	 * may be another SuperSlab's. */
	_Atomic(struct hk_superslab *) superslab[NEWEST];
	_Atomic uintptr_t base[NEWEST];
	_Atomic unsigned next;
	_Atomic uint64_t last_at;		/* ms */
	_Atomic size_t before_fork;		/* SuperSlabs that came from the parent */
	_Atomic unsigned trust, belief;		/* see is_dense_huge */
	_Atomic unsigned pause, next_pause;	/* still to wait; after the next dear one */
} grown;

/*
 * Bytes of the run that starts here known to be touched: carving touches each
 * page of blocks up to a page. Whether the program touches all of larger ones
 * is its affair.
 */
static size_t carved(const struct hk_slab *slab, bool *opaque)
{
	size_t size;

	*opaque = atomic_load_explicit(&slab->kind, memory_order_acquire) != HK_RUN_SLAB;
	size = __atomic_load_n(&slab->size, __ATOMIC_RELAXED);
	*opaque |= size > hk_page_size;
	return *opaque ? 0 : size * __atomic_load_n(&slab->carved, __ATOMIC_RELAXED);
}

/*
 * A huge page does not tell what of it is touched. What must be seen to be
 * known is believed to be as it was a few times after a SuperSlab with small
 * pages was seen to be dense; then comes another such one.
 */
static bool is_dense_huge(const struct hk_superslab *s)
{
	uint64_t free = atomic_load_explicit(&s->shared_meta->free, memory_order_relaxed);
	unsigned i, first, belief = atomic_load_explicit(&grown.belief, memory_order_relaxed);
	size_t known = 0, unknown = 0;
	bool opaque;

	for (i = 0; i < HK_SLOTS; i++) {
		first = atomic_load_explicit(&s->first[i], memory_order_relaxed);
		if (free >> i & 1)
			continue;
		known += carved(&s->slab[first], &opaque) * (first == i);
		unknown += opaque ? HK_SLOT_SIZE : 0;
	}
	if (known >= DENSE)
		return true;
	if (known + unknown < DENSE || !belief)
		return false;
	atomic_store_explicit(&grown.belief, belief - 1, memory_order_relaxed);
	return true;
}

/* Seen once it is believed once, seen again more often. */
static bool is_dense_small(uintptr_t base)
{
	unsigned trust = atomic_load_explicit(&grown.trust, memory_order_relaxed);
	bool dense = hk_os_resident((void *)base, HK_SUPERSLAB_SIZE) >= DENSE;

	trust = !dense ? 0 : trust < BELIEF_MOST ? trust + 1 : BELIEF_MOST;
	atomic_store_explicit(&grown.trust, trust, memory_order_relaxed);
	atomic_store_explicit(&grown.belief, trust, memory_order_relaxed);
	return dense;
}

/* The third newest is judged: those after it are still filling up. */
static bool is_dense(void)
{
	unsigned oldest = atomic_load_explicit(&grown.next, memory_order_relaxed) % NEWEST;
	const struct hk_superslab *s = atomic_load_explicit(&grown.superslab[oldest],
							    memory_order_acquire);

	if (!s)
		return false;
	return hk_superslab_pages(s) != HK_PAGES_SMALL ? is_dense_huge(s) :
	       is_dense_small(atomic_load_explicit(&grown.base[oldest], memory_order_relaxed));
}

/*
 * What a huge page costs is up to the machine: the kernel may have to move
 * memory to make one, and the host of a virtual machine may have to find the
 * memory first.
 */
static void judge(uint64_t ns)
{
	unsigned next = atomic_load_explicit(&grown.next_pause, memory_order_relaxed);

	if (ns < DEAR_NS) {
		next = 0;
	} else {
		next = !next ? PAUSE : next < PAUSE_MOST ? next * 2 : PAUSE_MOST;
		atomic_store_explicit(&grown.pause, next, memory_order_relaxed);
	}
	atomic_store_explicit(&grown.next_pause, next, memory_order_relaxed);
}

bool hk_huge_advise(void *start, size_t size, char *first)
{
	uint64_t before;

	if (!hk_os_huge(start, size))
		return false;
	before = hk_os_thread_clock();
	*(volatile char *)first = 0;
	judge(hk_os_thread_clock() - before);
	return true;
}

bool hk_huge_pausing(void)
{
	unsigned left = atomic_load_explicit(&grown.pause, memory_order_relaxed);

	if (left)
		atomic_store_explicit(&grown.pause, left - 1, memory_order_relaxed);
	return left != 0;
}

bool hk_huge_wanted(void)
{
	size_t count = atomic_load_explicit(&hk_pool_counters.superslabs, memory_order_relaxed);
	size_t parents = atomic_load_explicit(&grown.before_fork, memory_order_relaxed);
	uint64_t then = atomic_load_explicit(&grown.last_at, memory_order_relaxed);

	return count >= parents + FROM && !hk_pool_scarce() && hk_os_now() - then < SOON_MS &&
	       hk_os_huge_mode() != HK_HUGE_NEVER && !hk_huge_pausing() && is_dense();
}

void hk_huge_grown(struct hk_superslab *s)
{
	unsigned at = atomic_fetch_add_explicit(&grown.next, 1, memory_order_relaxed) % NEWEST;

	atomic_store_explicit(&grown.base[at], s->base, memory_order_relaxed);
	atomic_store_explicit(&grown.superslab[at], s, memory_order_release);
	atomic_store_explicit(&grown.last_at, hk_os_now(), memory_order_relaxed);
}

void hk_huge_forked(void)
{
	atomic_store_explicit(&grown.before_fork, atomic_load_explicit(
		&hk_pool_counters.superslabs, memory_order_relaxed), memory_order_relaxed);
}
