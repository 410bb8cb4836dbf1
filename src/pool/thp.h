/*
 * Huge or small pages (transparent huge pages): which a new SuperSlab gets, and the change
 * from one to the other.
 */
#ifndef HK_POOL_THP_H
#define HK_POOL_THP_H

#include "config/policy.h"
#include "pool/superslab.h"

/* A ring of the newest items of a kind of memory, each described by a word that is not 0. The
 * oldest is at `next`. Any thread may add one. */
struct hk_newest {
	_Atomic uintptr_t word[HK_NEWEST];
	_Atomic unsigned next;
};

HK_INLINE void hk_newest_add(struct hk_newest *newest, uintptr_t word)
{
	unsigned at = atomic_fetch_add_explicit(&newest->next, 1, memory_order_relaxed) % HK_NEWEST;

	atomic_store_explicit(&newest->word[at], word, memory_order_release);
}

/* The oldest of them, or 0. */
HK_INLINE uintptr_t hk_newest_oldest(struct hk_newest *newest)
{
	unsigned oldest = atomic_load_explicit(&newest->next, memory_order_relaxed) % HK_NEWEST;

	return atomic_load_explicit(&newest->word[oldest], memory_order_acquire);
}

/* SuperSlabs that are HK_PAGES_HUGE: pages larger than small ones were requested. Relaxed. */
extern _Atomic size_t hk_thp_superslabs;

/*
 * Requests huge pages for a range, touches the one that contains `first` and measures how
 * long that takes. False: the kernel has refused.
 */
bool hk_thp_advise(void *start, size_t size, char *first);

/* Requests pages of 64 KiB for a range that has no pages from `fresh` on, which begins a granule,
 * and touches a page in each granule from there on. False: the kernel has no such pages. */
bool hk_thp_advise_64k(void *start, size_t size, char *fresh);

/* Touches a huge page of a range with advice, which clears the byte. False: it took too
 * long. */
bool hk_thp_touch(char *at);

/* Counts one request for a huge page; false: a pause is in force because huge pages took
 * too long. */
bool hk_thp_admit(void);

/* Requests huge pages for a SuperSlab with small ones; false: it is not possible, or it is
 * no longer mapped. *now is false if the kernel makes the huge page later. */
bool hk_thp_promote(struct hk_superslab *s, bool *now);

/* Requests small pages for a SuperSlab before part of it is released, because otherwise the
 * kernel would make huge pages again and fill the holes. */
void hk_thp_break(struct hk_superslab *s);

/* In the child of a fork: only SuperSlabs that the child adds get huge pages; and the thread
 * that was promoting one does not exist there. */
void hk_thp_forked(void);
void hk_thp_unpin_all(void);

#endif
