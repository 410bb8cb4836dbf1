/*
 * The fallback allocator, for threads that cannot use the heap now. All functions are
 * lock-free and async-signal-safe. See fallback.c.
 */
#ifndef HK_CACHE_FALLBACK_H
#define HK_CACHE_FALLBACK_H

#include <stdbool.h>
#include <stddef.h>

/* align: a power of two. The content is undefined. NULL: out of memory. */
void *hk_fallback_alloc(size_t size, size_t align);

/* For a block that was allocated from a size class whose blocks have this alignment: if it
 * came from the fallback allocator and is not aligned, replaces it. NULL and ENOMEM: out of
 * memory. */
void *hk_fallback_aligned(void *p, size_t size, size_t align);

/* Usable bytes, 0 if p is not a live block of this allocator. */
size_t hk_fallback_size(const void *p);

/* False: p is not a live block of this allocator. */
bool hk_fallback_free(void *p);

/* For the child of a fork. */
void hk_fallback_forked(void);

#endif
