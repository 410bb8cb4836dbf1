/*
 * In a prefixed build the tests mean the hak_ names: malloc stays libc's, or a
 * sanitizer's. After the headers, whose declarations are of the others.
 */
#include "os/glibc.h"
#include <stdlib.h>

#include <hakmem/hakmem.h>

#define malloc hak_malloc
#define calloc hak_calloc
#define realloc hak_realloc
#define reallocarray hak_reallocarray
#define free hak_free
#define aligned_alloc hak_aligned_alloc
#define posix_memalign hak_posix_memalign
#define memalign hak_memalign
#define valloc hak_valloc
#define pvalloc hak_pvalloc
#define malloc_usable_size hak_malloc_usable_size
#define malloc_trim hak_malloc_trim
