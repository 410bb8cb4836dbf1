/*
 * Huge or small pages (transparent huge pages): which a new SuperSlab gets, and the change
 * from one to the other.
 */
#ifndef HK_POOL_THP_H
#define HK_POOL_THP_H

#include "pool/superslab.h"

/* SuperSlabs that are HK_PAGES_HUGE; relaxed. */
extern _Atomic size_t hk_thp_superslabs;

/*
 * Requests huge pages for a range, touches the one that contains `first` and measures how
 * long that takes. False: the kernel has refused.
 */
bool hk_thp_advise(void *start, size_t size, char *first);

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
