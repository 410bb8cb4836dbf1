/*
 * Huge or small pages. A new SuperSlab gets a huge page if the heap is large, has grown
 * recently and has filled its earlier SuperSlabs densely. The memory that huge pages waste is
 * bounded by the SuperSlabs that are still filling up. MEM learning promotes others later,
 * and a SuperSlab of which a part is released gets small pages.
 */
#include "pool/thp.h"

#include "config/settings.h"
#include "os/os.h"
#include "pool/internal.h"

_Atomic size_t hk_thp_superslabs;

/* Relaxed: an outdated value only leads to a page of the wrong size. */
static struct {
	struct hk_newest superslabs;
	_Atomic uint64_t last_at;		/* ms */
	_Atomic size_t before_fork;		/* SuperSlabs inherited from the parent */
	_Atomic unsigned pause, next_pause;	/* SuperSlabs: until the pause ends, and
						 * in the pause after the next costly page */
} grown;

/*
 * The third newest SuperSlab is judged, because newer ones are still filling up. Blocks
 * larger than a page do not count, because the program may not touch all of their pages;
 * the kernel is not asked, because a sandbox may kill the program for such a system call.
 */
static bool is_dense(void)
{
	const struct hk_superslab *s = (void *)hk_newest_oldest(&grown.superslabs);

	return s && hk_usage_of(s).touched >= HK_SUPERSLAB_SIZE / HK_HUGE_DENSE_OF * HK_HUGE_DENSE;
}

/*
 * The time that a huge page takes depends on the machine: the kernel may have to move
 * memory, and the host of a virtual machine may have to find the memory first. A single
 * costly page is ignored, because the thread may have been preempted.
 */
static bool judge(uint64_t ns)
{
	unsigned pause = atomic_load_explicit(&grown.next_pause, memory_order_relaxed), next = 0;

	if (ns >= HK_HUGE_COSTLY_NS) {
		atomic_store_explicit(&grown.pause, pause, memory_order_relaxed);
		next = !pause ? HK_HUGE_PAUSE : pause < HK_HUGE_PAUSE_MOST ? pause * 2 : HK_HUGE_PAUSE_MOST;
	}
	atomic_store_explicit(&grown.next_pause, next, memory_order_relaxed);
	return !next;
}

bool hk_thp_touch(char *at)
{
	uint64_t before = hk_os_clock();

	*(volatile char *)at = 0;
	return judge(hk_os_clock() - before);
}

bool hk_thp_advise(void *start, size_t size, char *first)
{
	if (!hk_os_huge(start, size))
		return false;
	hk_thp_touch(first);
	return true;
}

/* The page that is touched in each part keeps the kernel from a huge page. */
bool hk_thp_advise_64k(void *start, size_t size, char *fresh)
{
	char *at, *end = (char *)start + size;

	if (!hk_os_has_64k())
		return false;
	for (at = fresh; at < end; at += HK_SUPERSLAB_SIZE)
		*(volatile char *)at = 0;
	return hk_os_64k(start, size);
}

bool hk_thp_admit(void)
{
	unsigned left = atomic_load_explicit(&grown.pause, memory_order_relaxed);

	if (left)
		atomic_store_explicit(&grown.pause, left - 1, memory_order_relaxed);
	return left == 0;
}

static bool grows(void)
{
	size_t count = atomic_load_explicit(&hk_pool_counters.superslabs, memory_order_relaxed);
	size_t parents = atomic_load_explicit(&grown.before_fork, memory_order_relaxed);
	uint64_t then = atomic_load_explicit(&grown.last_at, memory_order_relaxed);
	size_t from = hk_settings.mem_learn ? HK_HUGE_FROM_LEARNING : HK_HUGE_FROM;

	return count >= parents + from && !hk_elapsed(hk_os_now(), then, HK_HUGE_SOON_MS) &&
	       !hk_pool_scarce();
}

/* A huge page or, if these are expensive or do not exist, pages of 64 KiB. False: small pages. */
static bool request(void *memory, bool warmed)
{
	bool huge = hk_os_huge_mode() != HK_HUGE_NEVER;

	if (!warmed) {
		if (!grows())
			return false;
		huge = huge && hk_thp_admit();
		if (!(huge || hk_os_has_64k()) || !is_dense())
			return false;
	}
	return huge ? hk_thp_advise(memory, HK_SUPERSLAB_SIZE, memory) :
		      hk_thp_advise_64k(memory, HK_SUPERSLAB_SIZE, memory);
}

static void note_grown(struct hk_superslab *s)
{
	hk_newest_add(&grown.superslabs, (uintptr_t)s);
	atomic_store_explicit(&grown.last_at, hk_os_now(), memory_order_relaxed);
}

static void count_huge(size_t superslabs)
{
	atomic_fetch_add_explicit(&hk_thp_superslabs, superslabs, memory_order_relaxed);
}

void hk_thp_start(struct hk_superslab *s, void *memory, bool fresh, bool advised, bool populate)
{
	bool huge = advised || (fresh && request(memory, populate));
	struct hk_shared_meta *m = s->shared_meta;

	/* In mode "always" the kernel would use huge pages whether the SuperSlab is dense or not. */
	if (!huge && hk_os_huge_mode() == HK_HUGE_ALWAYS)
		hk_os_small(memory, HK_SUPERSLAB_SIZE);
	count_huge(huge);
	atomic_store_explicit(&m->pages, huge ? HK_PAGES_HUGE : HK_PAGES_SMALL, memory_order_relaxed);
	atomic_store_explicit(&m->trend, 0, memory_order_relaxed);
	if (fresh)
		note_grown(s);
}

void hk_thp_end(struct hk_superslab *s)
{
	if (atomic_exchange_explicit(&s->shared_meta->pages, HK_PAGES_SMALL, memory_order_relaxed) ==
	    HK_PAGES_HUGE)
		count_huge((size_t)-1);
}

void hk_thp_break(struct hk_superslab *s)
{
	uint8_t huge = HK_PAGES_HUGE;

	if (!atomic_compare_exchange_strong_explicit(&s->shared_meta->pages, &huge, HK_PAGES_BROKEN,
			memory_order_relaxed, memory_order_relaxed))
		return;
	count_huge((size_t)-1);
	hk_os_small((void *)s->base, HK_SUPERSLAB_SIZE);
}

/* Slots in use become dirty when they are freed, so only free ones matter here. */
void hk_thp_released(struct hk_superslab *s)
{
	uint8_t broken = HK_PAGES_BROKEN;

	atomic_compare_exchange_strong_explicit(&s->shared_meta->pages, &broken, HK_PAGES_SMALL,
			memory_order_relaxed, memory_order_relaxed);
}

/* A smaller number hardly matters, and in most children this would be the only write to its page. */
void hk_thp_forked(void)
{
	size_t count = atomic_load_explicit(&hk_pool_counters.superslabs, memory_order_relaxed);

	if (count >= HK_HUGE_FROM_LEARNING)
		atomic_store_explicit(&grown.before_fork, count, memory_order_relaxed);
}

/* A pinned SuperSlab is not unmapped. Otherwise the memory at base could be in use for
 * something else by the time of the system call. */
static bool pin(struct hk_superslab *s)
{
	bool pinned;

	if (!hk_pool_lock())
		return false;
	pinned = hk_superslab_mapped(s);
	atomic_store(&s->shared_meta->pinned, pinned);
	hk_pool_unlock();
	return pinned;
}

/* A release that found it pinned has put it aside: see claim_free in release.c. */
static void unpin(struct hk_superslab *s)
{
	atomic_store(&s->shared_meta->pinned, false);
	if (atomic_load(&s->shared_meta->free) == HK_ALL_SLOTS)
		hk_pool_changed(s);
}

void hk_thp_unpin_all(void)
{
	uint32_t end = hk_superslab_end(), i;

	for (i = 0; i < end; i++)
		if (atomic_load(&hk_superslab_at(i)->shared_meta->pinned))
			unpin(hk_superslab_at(i));
}

/*
 * The advice is given before the state changes, and is withdrawn if another thread changed
 * the state first. A thread that purges a SuperSlab in state HUGE withdraws the advice, so
 * none may follow after that.
 */
bool hk_thp_promote(struct hk_superslab *s, bool *now)
{
	uint8_t was = (uint8_t)hk_superslab_pages(s);
	void *memory;
	bool promoted;

	*now = false;
	if (was == HK_PAGES_HUGE || !pin(s))
		return false;
	memory = (void *)s->base;
	/* Counted before the state changes, because another thread may then subtract it at
	 * once, and the count must not wrap. */
	count_huge(1);
	promoted = hk_os_huge(memory, HK_SUPERSLAB_SIZE) &&
		   atomic_compare_exchange_strong_explicit(&s->shared_meta->pages, &was,
			HK_PAGES_HUGE, memory_order_relaxed, memory_order_relaxed);
	if (promoted) {
		*now = hk_os_collapse(memory, HK_SUPERSLAB_SIZE);
	} else {
		count_huge((size_t)-1);
		hk_os_small(memory, HK_SUPERSLAB_SIZE);
	}
	unpin(s);
	return promoted;
}
