/*
 * Memory for metadata: mapped in small regions, never freed or unmapped. It is separate from
 * user memory and surrounded by guard pages (os/apart.c), so that a buffer overflow in the
 * program does not reach it. It stays readable for the life of the process, because free()
 * reads descriptors before it knows whether they are in use.
 */
#ifndef HK_SLAB_META_H
#define HK_SLAB_META_H

#include "os/lock.h"

#include <stdint.h>

struct hk_superslab;

/* Allocates at most 60 KiB, zeroed and aligned to a cache line, or to a page if it is larger
 * than a page. The caller holds a cache lock or the registry lock. NULL: the mapped regions
 * have too little left; hk_meta_fill maps another one. */
void *hk_meta_alloc(size_t size);

/* Maps a region if the last one is nearly used up; no lock held. False: a region is needed
 * and the kernel has refused. */
bool hk_meta_fill(void);

/* Allocates the descriptor of a SuperSlab; NULL as for hk_meta_alloc. */
struct hk_superslab *hk_meta_superslab(void);

/* Makes a descriptor available for reuse; lock-free. */
void hk_meta_spare(struct hk_superslab *s);

/* The SuperSlab with this index; valid indices are 0 to hk_pool_directory_end() - 1. It may
 * have no memory at the moment. */
struct hk_superslab *hk_pool_superslab(uint32_t index);
uint32_t hk_pool_directory_end(void);

/* The directory, in chunks that are allocated when they are needed and never freed. Changed
 * under the meta lock, read without it (acquire). */
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
