/*
 * Memory for metadata: mapped in small regions, allocated once, never unmapped. It is
 * separate from user memory, between guard pages (os/apart.c), so that an overflow
 * there does not reach it. It stays readable for the life of the process, so that
 * free() may read it.
 */
#ifndef HK_POOL_META_H
#define HK_POOL_META_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

struct hk_superslab;

/* Zeroed, aligned to a cache line, and to a page if larger; at most 60 KiB. Called under a cache lock or the
 * registry's. NULL: there is no region with so much left; hk_meta_fill may bring
 * one. */
void *hk_meta_alloc(size_t size);

/* Maps a region if the last one is nearly used up, with no lock held. False: it
 * was needed and the kernel refused. */
bool hk_meta_fill(void);

/* A descriptor of a SuperSlab; NULL as above. */
struct hk_superslab *hk_meta_superslab(void);

/* A descriptor that is not in use; lock-free. */
void hk_meta_spare(struct hk_superslab *s);

/* Bytes mapped so far (relaxed). */
extern _Atomic size_t hk_meta_bytes;

#endif
