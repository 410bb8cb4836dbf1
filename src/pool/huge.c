/*
 * Huge pages for SuperSlabs that will probably fill up. A new SuperSlab gets one if the heap
 * is large, has grown recently and has filled its earlier SuperSlabs densely. The memory
 * that huge pages waste is bounded by the SuperSlabs that are still filling up.
 */
#include "config/settings.h"
#include "os/os.h"
#include "pool/internal.h"

/* Relaxed: an outdated value only leads to a page of the wrong size. */
static struct {
	_Atomic(struct hk_superslab *) superslab[HK_HUGE_JUDGED];	/* a ring, oldest at next */
	_Atomic unsigned next;
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
	unsigned oldest = atomic_load_explicit(&grown.next, memory_order_relaxed) % HK_HUGE_JUDGED;
	const struct hk_superslab *s = atomic_load_explicit(&grown.superslab[oldest],
							    memory_order_acquire);

	return s && hk_pages_look(s).touched >= HK_SUPERSLAB_SIZE / HK_HUGE_DENSE_OF * HK_HUGE_DENSE;
}

/*
 * The time that a huge page takes depends on the machine: the kernel may have to move
 * memory, and the host of a virtual machine may have to find the memory first. A single
 * costly page is ignored, because the thread may have been preempted.
 */
static void judge(uint64_t ns)
{
	unsigned pause = atomic_load_explicit(&grown.next_pause, memory_order_relaxed), next = 0;

	if (ns >= HK_HUGE_COSTLY_NS) {
		atomic_store_explicit(&grown.pause, pause, memory_order_relaxed);
		next = !pause ? HK_HUGE_PAUSE : pause < HK_HUGE_PAUSE_MOST ? pause * 2 : HK_HUGE_PAUSE_MOST;
	}
	atomic_store_explicit(&grown.next_pause, next, memory_order_relaxed);
}

bool hk_huge_advise(void *start, size_t size, char *first)
{
	uint64_t before;

	if (!hk_os_huge(start, size))
		return false;
	before = hk_os_clock();
	*(volatile char *)first = 0;
	judge(hk_os_clock() - before);
	return true;
}

bool hk_huge_admit(void)
{
	unsigned left = atomic_load_explicit(&grown.pause, memory_order_relaxed);

	if (left)
		atomic_store_explicit(&grown.pause, left - 1, memory_order_relaxed);
	return left == 0;
}

bool hk_huge_choose(void)
{
	size_t count = atomic_load_explicit(&hk_pool_counters.superslabs, memory_order_relaxed);
	size_t parents = atomic_load_explicit(&grown.before_fork, memory_order_relaxed);
	uint64_t then = atomic_load_explicit(&grown.last_at, memory_order_relaxed);
	size_t from = hk_settings.mem_learn ? HK_HUGE_FROM_LEARNING : HK_HUGE_FROM;

	return count >= parents + from && !hk_elapsed(hk_os_now(), then, HK_HUGE_SOON_MS) &&
	       !hk_pool_scarce() && hk_os_huge_mode() != HK_HUGE_NEVER &&
	       hk_huge_admit() && is_dense();
}

void hk_huge_grown(struct hk_superslab *s)
{
	unsigned at = atomic_fetch_add_explicit(&grown.next, 1, memory_order_relaxed) % HK_HUGE_JUDGED;

	atomic_store_explicit(&grown.superslab[at], s, memory_order_release);
	atomic_store_explicit(&grown.last_at, hk_os_now(), memory_order_relaxed);
}

void hk_huge_forked(void)
{
	atomic_store_explicit(&grown.before_fork, atomic_load_explicit(
		&hk_pool_counters.superslabs, memory_order_relaxed), memory_order_relaxed);
}
