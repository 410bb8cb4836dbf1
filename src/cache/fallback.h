/*
 * The fallback allocator, for threads that cannot use the heap now. All of it is
 * lock-free and safe in signal handlers. See fallback.c.
 */
#ifndef HK_CACHE_FALLBACK_H
#define HK_CACHE_FALLBACK_H

#include <stdbool.h>
#include <stddef.h>

/* align: a power of two. The content is undefined. NULL: out of memory. */
void *hk_fallback_alloc(size_t size, size_t align);

/* A block that was asked of the classes, for their sizes make it aligned: another one
 * if it is this allocator's and is not. NULL and errno: out of memory. */
void *hk_fallback_aligned(void *p, size_t size, size_t align);

/* Usable bytes, 0 if p is not a live block of this allocator. */
size_t hk_fallback_size(const void *p);

/* False: it is not. */
bool hk_fallback_free(void *p);

/* In the child of a fork, whose thread is not in here. */
void hk_fallback_forked(void);

#endif
