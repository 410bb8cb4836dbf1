/*
 * Memory for metadata: mapped in small regions, allocated once, never unmapped. It is
 * separate from user memory, between guard pages (os/apart.c), so that an overflow
 * there does not reach it. It stays readable for the life of the process, so that
 * free() may read it.
 */
#ifndef HK_SLAB_META_H
#define HK_SLAB_META_H

#include "os/lock.h"

#include <stdint.h>

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

/* Every SuperSlab that has memory, for walkers; index from 0 up. NULL: this
 * index has none; hk_pool_directory_end bounds the index. */
struct hk_superslab *hk_pool_superslab(uint32_t index);
uint32_t hk_pool_directory_end(void);

/* The directory itself, in chunks that come when they are needed and stay.
 * Changed under the meta lock, read without it (acquire). */
enum {
	HK_DIRECTORY_CHUNK = 512,	/* SuperSlabs in one: 1 GiB of heap */
	HK_DIRECTORY_CHUNKS = sizeof(void *) == 4 ? 4 : 64 * 1024,
};
extern _Atomic(struct hk_superslab **) hk_directory[HK_DIRECTORY_CHUNKS];
extern _Atomic uint32_t hk_directory_end;

/* Bytes mapped so far (relaxed). */
extern _Atomic size_t hk_meta_bytes;

struct hk_lock *hk_meta_lock(void);	/* for fork */

#endif
