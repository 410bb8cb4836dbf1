/* The verbs behind every public name; policy stays in the layers below. */
#ifndef HK_API_ALLOC_H
#define HK_API_ALLOC_H

#include "cache/cache.h"
#include "slab/pagemap.h"

#include <errno.h>

HK_INLINE void *hk_malloc(size_t size)
{
	if (hk_likely(size <= HK_TINY_MAX)) {
		struct hk_bin *bin = hk_bin_for(hk_tls, size);
		struct hk_block *block = bin->head;

		if (hk_likely(block != NULL))
			return hk_bin_pop(bin, block);
	}
	return hk_malloc_slow(size, hk_caller());
}

/* Is p a live block of this thread's? The checks in this order of cost; all three
 * always on. False also where only a slow path can tell. */
HK_INLINE bool hk_owned(const struct hk_slab *slab, const struct hk_block *p)
{
	return hk_likely(atomic_load_explicit(&slab->owner, memory_order_relaxed) == hk_tls) &&
	       hk_likely(hk_slab_valid_hot(slab, p)) && hk_likely(p->mark != HK_FREED);
}

HK_INLINE void hk_free(void *p, enum hk_call call)
{
	struct hk_slab *slab = hk_slab_guess(p);
	struct hk_block *block = p;

	if (hk_owned(slab, block)) {
		struct hk_bin *bin =
			atomic_load_explicit(&slab->bin, memory_order_relaxed);

		if (hk_unlikely(!hk_bin_push(bin, block)))
			hk_free_overflow(bin, hk_caller());
		return;
	}
	hk_free_slow(p, call, hk_caller());
}

void *hk_calloc(size_t count, size_t size);
void *hk_realloc(void *p, size_t size);
void *hk_reallocarray(void *p, size_t count, size_t size);
size_t hk_usable_size(const void *p, enum hk_call call);

/* NULL and errno: EINVAL for an alignment that is no power of two, ENOMEM. */
void *hk_memalign(size_t align, size_t size);

#endif
