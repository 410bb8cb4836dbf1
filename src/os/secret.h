/*
 * A number that nobody outside this process knows: what the library writes into free
 * blocks is made with it. It has a page of its own, which is read-only once the heap has
 * started, so no overrun reaches it. Seals (harden/seal.h) have two numbers of their own
 * there.
 */
#ifndef HK_OS_SECRET_H
#define HK_OS_SECRET_H

#include "os/platform.h"

#include <stdatomic.h>

/* 0 before the heap has started, odd from then on. */
union hk_secret_page {
	struct {
		_Atomic uint64_t number;
		uint64_t seal[2];
	};
	char page[HK_PAGE_MOST];
} HK_ALIGNED(HK_PAGE_MOST);
extern union hk_secret_page hk_secret_page HK_HIDDEN;

HK_INLINE uint64_t hk_secret(void)
{
	return atomic_load_explicit(&hk_secret_page.number, memory_order_relaxed);
}

/* Draws the numbers from 16 random bytes or, if that is NULL, others. Once, for seal makes
 * their page read-only, with no lock held. */
void hk_secret_start(const void *random);
void hk_secret_seal(void);

#endif
