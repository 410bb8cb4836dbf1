/*
 * Memory for metadata: mapped in small regions, handed out once, never
 * unmapped. It stays apart from user memory so that an overrun there does
 * not reach it, and readable for ever so that free() may look at it.
 */
#ifndef HK_POOL_META_H
#define HK_POOL_META_H

#include <stddef.h>

/* Zeroed, aligned to a cache line. NULL: out of memory. */
void *hk_meta_alloc(size_t size);

/* Bytes mapped so far (meta lock). */
extern size_t hk_meta_bytes;

#endif
