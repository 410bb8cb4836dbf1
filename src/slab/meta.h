/*
 * Memory for metadata: mapped in small regions, never freed or unmapped. It is separate from
 * user memory and surrounded by guard pages (os/apart.c), so that a buffer overflow in the
 * program does not reach it. It stays readable for the life of the process, because free()
 * reads descriptors before it knows whether they are in use.
 */
#ifndef HK_SLAB_META_H
#define HK_SLAB_META_H

#include "os/lock.h"

#include <stdbool.h>
#include <stddef.h>

/* Allocates at most 60 KiB, zeroed and aligned to a cache line, or to a page if it is larger
 * than a page. The caller holds a cache lock or the registry lock. NULL: the mapped regions
 * have too little left; hk_meta_fill maps another one. */
void *hk_meta_alloc(size_t size);

/* The same, never aligned to a page, for objects of which there are many. */
void *hk_meta_alloc_packed(size_t size);

/* Maps a region if the last one is nearly used up; no lock held. False: a region is needed
 * and the kernel has refused. */
bool hk_meta_fill(void);

/* Bytes mapped so far (relaxed). */
extern _Atomic size_t hk_meta_bytes;

struct hk_lock *hk_meta_lock(void);	/* for fork */

#endif
