/*
 * The secret of the process is a random number that masks what the library writes into free
 * blocks. It is in a page of its own, which becomes read-only once the heap has started, so
 * that no overflow can change it. The page also stores other random numbers.
 */
#ifndef HK_OS_SECRET_H
#define HK_OS_SECRET_H

#include "os/platform.h"

#include <stdatomic.h>

struct hk_secret_page {
	_Atomic uint64_t number;	/* 0 before the heap has started, odd after */
	uint64_t seal[2];		/* harden/seal.h */
	uint64_t place;			/* location of metadata: os/apart.c */
} HK_ALIGNED(HK_PAGE_MOST);		/* one page, so that only this is made read-only */
extern struct hk_secret_page hk_secret_page HK_HIDDEN;

HK_INLINE uint64_t hk_secret(void)
{
	return atomic_load_explicit(&hk_secret_page.number, memory_order_relaxed);
}

/* start derives the numbers from 16 random bytes or, if random is NULL, from other sources.
 * seal makes the page read-only, with no lock held; start must not be called after it. */
void hk_secret_start(const void *random);
void hk_secret_seal(void);

#endif
