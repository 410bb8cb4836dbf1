/*
 * HAKMEM: a malloc for Linux.
 *
 * The verbs of malloc(3) under names of their own, for programs that want
 * this allocator whatever malloc() is. Unless said otherwise every function
 * may be called by any thread at any time, from constructors to the last
 * destructor, but not from a signal handler. Blocks start at multiples of 16
 * bytes. A block of hak_malloc() may go to free() and the other way round
 * when the library also provides malloc(), which is how it is shipped.
 *
 * Freeing what is not the start of a live block stops the program: one line
 * on standard error, then abort().
 */
#ifndef HAKMEM_HAKMEM_H
#define HAKMEM_HAKMEM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* At least size bytes; size 0 gives a block of its own. NULL and ENOMEM when
 * there is no memory or size exceeds PTRDIFF_MAX. */
void *hak_malloc(size_t size);

/* count * size bytes, all zero; an overflow is NULL and ENOMEM. */
void *hak_calloc(size_t count, size_t size);

/* Resizes, moving if it must; NULL and ENOMEM leave the block as it was. A
 * NULL block is hak_malloc(size); size 0 frees and returns NULL. */
void *hak_realloc(void *block, size_t size);
void *hak_reallocarray(void *block, size_t count, size_t size);

/* NULL is ignored; errno is preserved. The sizes are not relied on. */
void hak_free(void *block);
void hak_free_sized(void *block, size_t size);
void hak_free_aligned_sized(void *block, size_t align, size_t size);

/* align: a power of two up to 1 GiB, else NULL and EINVAL. */
void *hak_aligned_alloc(size_t align, size_t size);
void *hak_memalign(size_t align, size_t size);
/* Returns 0, EINVAL (align no power of two or no multiple of sizeof(void *))
 * or ENOMEM; *out changes on success alone, errno never. */
int hak_posix_memalign(void **out, size_t align, size_t size);
void *hak_valloc(size_t size);		/* aligned to a page */
void *hak_pvalloc(size_t size);		/* and rounded up to whole pages */

/* Bytes that may be used in a live block; 0 for NULL. */
size_t hak_malloc_usable_size(const void *block);

/* Gives back to the OS what this thread's cache and the process hold without
 * need. 1 if anything was given back, else 0. pad is ignored. */
int hak_malloc_trim(size_t pad);

/* "1.0.0" or later; constant. */
const char *hak_version(void);

/* The statistics as JSON, a piece at a time: write is called on this thread,
 * with no lock held, and may allocate. Allocates nothing itself. */
void hak_stats_json(void (*write)(void *argument, const char *text, size_t length),
		    void *argument);

/* Writes the statistics to the file of HAKMEM_STATS_DUMP now: 0, or -1 if the
 * variable is not set or the file cannot be written. */
int hak_stats_dump(void);

#ifdef __cplusplus
}
#endif
#endif
