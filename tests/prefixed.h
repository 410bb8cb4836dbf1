/*
 * In a prefixed build the tests call the hak_ functions: malloc is still that of libc or of a
 * sanitizer. Included after the headers, which declare libc's functions.
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
