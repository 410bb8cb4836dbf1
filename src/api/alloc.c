#include "api/alloc.h"

#include "cache/fallback.h"
#include "debug/ring.h"
#include "large/large.h"
#include "learn/learn.h"
#include "os/os.h"
#include "sample/fence.h"
#include "stats/page.h"
#include "stats/snapshot.h"

/* A program that links the archive for its malloc gets the statistics page too, and the code
 * that writes files at exit. */
static const void *const keep __attribute__((used)) = &hakmem_stats_page;
static int (*const keep_reports[])(void) __attribute__((used)) = { hk_snapshot_dump, hk_learn_save, hk_near_start };

void *hk_calloc(size_t count, size_t size)
{
	size_t total;
	bool zero = false;	/* carving touches all pages of a Tiny block anyway */
	void *p;

	if (__builtin_mul_overflow(count, size, &total)) {
		errno = ENOMEM;
		return NULL;
	}
	p = total <= HK_TINY_MAX ? hk_malloc(total) : hk_harden_calloc(total, &zero, hk_caller());
	if (p && !zero)
		hk_block_clear(p, total);
	return p;
}

/* The slab that contains the live block p; NULL: p is a larger block, outside of slabs. */
static struct hk_slab *live_slab(const void *p, enum hk_call call)
{
	struct hk_slab *slab = hk_slab_of(p, call);

	if (slab && hk_is_free(slab, p))
		hk_already_free(call, p, slab);
	return slab;
}

/* Not inline, like resize() below, so that the fast path needs no stack frame. */
static HK_NOINLINE size_t usable_size_slow(const void *p, enum hk_call call)
{
	const struct hk_slab *slab;
	size_t size;

	if (!p)
		return 0;
	if (hk_hardened())
		return hk_harden_usable(p, call);
	slab = live_slab(p, call);
	if (slab)
		return slab->size;
	if (hk_fenced(p))
		return hk_fenced_size(p, call);
	size = hk_large_size(p);
	if (!size)
		size = hk_fallback_size(p);
	if (!size)
		hk_bad_pointer(call, p);
	return size;
}

size_t hk_usable_size(const void *p, enum hk_call call)
{
	const struct hk_slab *slab = hk_slab_guess(p);

	return hk_owned(hk_tls, slab, p) ? slab->size : usable_size_slow(p, call);
}

/* A block is kept if the size fits and at most half of it would be unused. For blocks larger
 * than those of slabs, the unused memory is released. */
static bool stays(size_t size, size_t old)
{
	return size <= old && size >= old / 2;
}

static HK_NOINLINE void *resize(void *p, size_t size)
{
	size_t old, copied;
	bool zero = false;
	void *to;

	if (hk_hardened())
		return hk_harden_realloc(p, size, hk_caller());
	if (!p)
		return hk_malloc(size);
	if (size == 0) {
		hk_free(p, HK_CALL_REALLOC);
		return NULL;
	}
	old = hk_usable_size(p, HK_CALL_REALLOC);
	/* A block between guard pages moves, so that its end stays at a guard. */
	if (hk_fenced(p) ? size == old : stays(size, old)) {
		if (old > HK_SLAB_MAX && hk_large_roomy(p, size))
			hk_resize_slow(p, size, hk_caller());
		return p;
	}
	if (old > HK_SLAB_MAX) {
		to = hk_resize_slow(p, size, hk_caller());
		if (to)
			return to;
	}
	to = size <= HK_SLAB_MAX ? hk_malloc(size) :
				  hk_large_malloc(size, HK_GRAIN, &zero, hk_caller());
	if (!to)
		return size <= old ? p : NULL;
	copied = size < old ? size : old;
	/* Populating the new pages by one call costs less than a page fault for each. */
	if (zero)
		hk_os_populate(to, copied & -hk_page_size);
	hk_block_copy(to, p, copied);
	hk_free(p, HK_CALL_REALLOC);
	return to;
}

void *hk_realloc(void *p, size_t size)
{
	const struct hk_slab *slab = hk_slab_guess(p);

	if (hk_owned(hk_tls, slab, p) && stays(size, slab->size))
		return p;
	return resize(p, size);
}

void *hk_reallocarray(void *p, size_t count, size_t size)
{
	size_t total;

	if (__builtin_mul_overflow(count, size, &total)) {
		errno = ENOMEM;
		return NULL;
	}
	return hk_realloc(p, total);
}

/*
 * Slots are aligned to 32 KiB, so a block whose size is a multiple of align is aligned. The
 * classes divide each doubling by four, or by eight where a class is an eighth above the
 * start, so the class of a multiple of align has such a block size. The class of 1040 bytes is
 * outside these steps, but it serves no multiple of an alignment above 16.
 */
void *hk_memalign(size_t align, size_t size)
{
	bool zero;

	if (!hk_is_power_of_two(align)) {
		errno = EINVAL;
		return NULL;
	}
	if (hk_hardened() && align < HK_IMPOSSIBLE)
		return hk_harden_allocate(size, align, HK_FORM_MALLOC, hk_caller());
	if (size <= HK_SLAB_MAX && align <= HK_SLAB_MAX)
		return hk_fallback_aligned(hk_malloc(size > align ? (size + align - 1) & -align : align),
					   size, align);
	if (align >= HK_IMPOSSIBLE || size > PTRDIFF_MAX) {
		errno = ENOMEM;
		return NULL;
	}
	return hk_large_malloc(size > HK_SLAB_MAX ? size : HK_SLAB_MAX + 1, align, &zero,
			       hk_caller());
}
