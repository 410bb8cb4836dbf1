/* The operations behind all public names; the lower layers decide how they are done. */
#ifndef HK_API_ALLOC_H
#define HK_API_ALLOC_H

#include "cache/cache.h"
#include "harden/harden.h"
#include "slab/pagemap.h"

#include <errno.h>

HK_INLINE bool hk_is_power_of_two(size_t n)
{
	return n && !(n & (n - 1));
}

/* Takes a block from a list of the cache, or else from the slow path. The argument is a
 * pointer to the cache pointer, so that the compiler can load that as late as possible. */
HK_INLINE void *hk_take(struct hk_cache *const *cache, size_t size,
			void *(*slow)(size_t size, const void *caller))
{
	if (hk_likely(size <= HK_TINY_MAX)) {
		struct hk_bin *bin = hk_bin_for(*cache, size);
		struct hk_block *block = bin->head;
		uint64_t mark;

		HK_IN_RESULT(block);
		mark = hk_mark(block, (*cache)->front.secret);
		if (hk_likely(block->mark == mark))
			return hk_bin_pop(bin, block, mark);
	}
	return slow(size, hk_caller());
}

HK_INLINE void *hk_malloc(size_t size)
{
	return hk_take(&hk_tls, size, hk_harden_malloc);
}

/* Is p a live block of this thread, to which the cache belongs? All three checks are always
 * on, in the order of their cost. It may also be false for a live block: then a slow path
 * decides. */
HK_INLINE bool hk_owned(const struct hk_cache *cache, const struct hk_slab *slab, const struct hk_block *p)
{
	uint64_t mark = hk_mark(p, cache->front.secret);

	return hk_likely(HK_FOLDED_LOAD(*(struct hk_cache *const *)&slab->owner) == cache) &&
	       hk_likely(hk_slab_valid_hot(slab, p)) && hk_likely(p->mark != mark);
}

/* False: a slow path must decide. */
HK_INLINE bool hk_give(const struct hk_cache *cache, void *p)
{
	struct hk_slab *slab = hk_slab_guess(p);
	struct hk_bin *bin;

	if (!hk_owned(cache, slab, p))
		return false;
	bin = atomic_load_explicit(&slab->bin, memory_order_relaxed);
	if (hk_unlikely(!hk_bin_push(bin, p, hk_mark(p, cache->front.secret))))
		hk_free_overflow(bin, hk_caller());
	return true;
}

HK_INLINE void hk_free(void *p, enum hk_call call)
{
	if (!hk_give(hk_tls, p))
		hk_harden_free(p, call, hk_caller());
}

/* report.c: the number of a setting, or HK_SET_COUNT and EINVAL. Reads the settings first, if
 * necessary. */
unsigned hk_find_setting(const char *name);

void *hk_calloc(size_t count, size_t size);
void *hk_realloc(void *p, size_t size);
void *hk_reallocarray(void *p, size_t count, size_t size);
size_t hk_usable_size(const void *p, enum hk_call call);

/* On failure NULL and errno: EINVAL for an alignment that is not a power of two, or ENOMEM. */
void *hk_memalign(size_t align, size_t size);

#endif
