/*
 * Clears and copies blocks of the program with libc's functions, which are the fastest on the
 * machine. Another library may wrap them, and a wrapper that calls calloc or realloc would never
 * end. So the functions of bytes.c are used until a constructor has found that the names lead to
 * libc. glibc's calloc does not call such a wrapper either.
 */
#define HK_LIBC_BYTES
#include "os/os.h"

#include <string.h>

#if !HK_OWN_BYTES
#define hk_memset memset
#define hk_memmove memmove
#endif

static bool is_libc = !HK_OWN_BYTES;

__attribute__((constructor)) static void start(void)
{
	hk_os_code_start();
	is_libc = hk_os_in_libc((const void *)(uintptr_t)memset) && hk_os_in_libc((const void *)(uintptr_t)memcpy);
}

typedef uint64_t word __attribute__((aligned(1), may_alias));
typedef char vector __attribute__((vector_size(16), aligned(1), may_alias));
enum { WORD = sizeof(word), VECTOR = sizeof(vector), SMALL = 4 * VECTOR };

/* From one word to four vectors, by stores that may overlap. Most blocks are this small. */
HK_INLINE void clear_small(char *p, size_t size)
{
	char *end = p + size;

	if (size < VECTOR) {
		*(word *)(void *)p = 0;
		*(word *)(void *)(end - WORD) = 0;
		return;
	}
	if (size > 2 * VECTOR) {
		*(vector *)(void *)(p + VECTOR) = (vector){ 0 };
		*(vector *)(void *)(end - 2 * VECTOR) = (vector){ 0 };
	}
	*(vector *)(void *)p = (vector){ 0 };
	*(vector *)(void *)(end - VECTOR) = (vector){ 0 };
}

void hk_block_clear(void *p, size_t size)
{
	if (size - WORD <= SMALL - WORD)
		clear_small(p, size);
	else if (hk_likely(is_libc))
		memset(p, 0, size);
	else
		hk_memset(p, 0, size);
}

void hk_block_copy(void *to, const void *from, size_t size)
{
	if (hk_likely(is_libc))
		memcpy(to, from, size);
	else
		hk_memmove(to, from, size);
}
