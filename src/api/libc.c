/* The functions of libc, and the same functions with hak_ names. */
#include "api/alloc.h"

#include "os/os.h"

#include <hakmem/hakmem.h>

#define FREE_ARGS_IGNORED(x) ((void)(x))

HK_API void *hak_malloc(size_t size) { return hk_malloc(size); }
HK_API void hak_free(void *p) { hk_free(p, HK_CALL_FREE); }
HK_API void *hak_calloc(size_t count, size_t size) { return hk_calloc(count, size); }
HK_API void *hak_realloc(void *p, size_t size) { return hk_realloc(p, size); }

HK_API void *hak_reallocarray(void *p, size_t count, size_t size)
{
	return hk_reallocarray(p, count, size);
}

/* Like glibc's, it accepts any alignment. Above the largest power of two, power is 0: EINVAL. */
HK_API void *hak_memalign(size_t align, size_t size)
{
	size_t power = 1;

	while (power && power < align)
		power *= 2;
	return hk_memalign(power, size);
}

HK_API void *hak_aligned_alloc(size_t align, size_t size) { return hk_memalign(align, size); }

/* Like glibc's, it sets errno to ENOMEM, but not to EINVAL. */
HK_API int hak_posix_memalign(void **out, size_t align, size_t size)
{
	void *p;

	if (align % sizeof(void *) || !hk_is_power_of_two(align))
		return EINVAL;
	p = hk_memalign(align, size);
	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

HK_API void *hak_valloc(size_t size) { return hk_memalign(hk_page_size, size); }

HK_API void *hak_pvalloc(size_t size)
{
	if (size > PTRDIFF_MAX) {
		errno = ENOMEM;
		return NULL;
	}
	return hk_memalign(hk_page_size, hk_whole_pages(size));
}

HK_API size_t hak_malloc_usable_size(const void *p) { return hk_usable_size(p, HK_CALL_USABLE); }

/* The size and alignment that the caller passes are used only for checks. */
static HK_NOINLINE void release(void *p, const struct hk_release *how)
{
	if (hk_hardened())
		hk_harden_release(p, how);
	else
		hk_free_slow(p, how->call, how->caller);
}

HK_API void hak_free_sized(void *p, size_t size)
{
	if (!hk_give(hk_tls, p))
		release(p, &(const struct hk_release){ .call = HK_CALL_FREE_SIZED, .sized = true, .size = size,
						       .caller = hk_caller() });
}

HK_API void hak_free_aligned_sized(void *p, size_t align, size_t size)
{
	if (!hk_give(hk_tls, p))
		release(p, &(const struct hk_release){ .call = HK_CALL_FREE_ALIGNED_SIZED, .sized = true,
						       .size = size, .aligned = true, .align = align,
						       .caller = hk_caller() });
}

HK_API int hak_malloc_trim(size_t pad)
{
	FREE_ARGS_IGNORED(pad);
	hk_harden_trim();
	return hk_cache_trim() != 0;
}

HK_API void hak_thread_idle(void)
{
	hk_harden_trim();
	hk_thread_idle();
}

#ifndef HK_PREFIXED
HK_ALIAS(hak_malloc) void *malloc(size_t);
HK_ALIAS(hak_free) void free(void *);
HK_ALIAS(hak_free) void cfree(void *);
HK_ALIAS(hak_calloc) void *calloc(size_t, size_t);
HK_ALIAS(hak_realloc) void *realloc(void *, size_t);
HK_ALIAS(hak_reallocarray) void *reallocarray(void *, size_t, size_t);
HK_ALIAS(hak_memalign) void *memalign(size_t, size_t);
HK_ALIAS(hak_aligned_alloc) void *aligned_alloc(size_t, size_t);
HK_ALIAS(hak_posix_memalign) int posix_memalign(void **, size_t, size_t);
HK_ALIAS(hak_valloc) void *valloc(size_t);
HK_ALIAS(hak_pvalloc) void *pvalloc(size_t);
HK_ALIAS(hak_malloc_usable_size) size_t malloc_usable_size(void *);
HK_ALIAS(hak_free_sized) void free_sized(void *, size_t);
HK_ALIAS(hak_free_aligned_sized) void free_aligned_sized(void *, size_t, size_t);
HK_ALIAS(hak_malloc_trim) int malloc_trim(size_t);

/* glibc's internal names, which some programs call or replace. */
HK_ALIAS(hak_malloc) void *__libc_malloc(size_t);
HK_ALIAS(hak_free) void __libc_free(void *);
HK_ALIAS(hak_free) void __libc_cfree(void *);
HK_ALIAS(hak_calloc) void *__libc_calloc(size_t, size_t);
HK_ALIAS(hak_realloc) void *__libc_realloc(void *, size_t);
HK_ALIAS(hak_memalign) void *__libc_memalign(size_t, size_t);
HK_ALIAS(hak_valloc) void *__libc_valloc(size_t);
HK_ALIAS(hak_pvalloc) void *__libc_pvalloc(size_t);
HK_ALIAS(hak_posix_memalign) int __posix_memalign(void **, size_t, size_t);
#endif
