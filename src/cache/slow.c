/* What the hot path falls into: the slow halves of malloc and free. */
#include "cache/cache.h"
#include "debug/ring.h"
#include "large/large.h"
#include "pool/pool.h"

#include <errno.h>
#include <string.h>

static void freed(const void *caller)
{
	if (hk_unlikely(hk_hooks.freed != NULL))
		hk_hooks.freed(caller);
}

/* class: the one concerned, HK_CLASSES for none. */
static void leave(struct hk_cache *cache, unsigned class)
{
	bool grew;

	if (hk_unlikely(cache->window_left <= 0) && hk_window_end)
		hk_window_end(cache);
	if (hk_walk_on() && class < HK_CLASSES)
		hk_cache_walk(cache, class);
	grew = cache->grew;
	cache->grew = false;
	hk_leave(cache);
	if (hk_unlikely(grew))
		hk_collect_mail();
}

/*
 * When the OS has no more, all that idles within reach goes back for a second
 * try. What other threads' lists hold is out of reach.
 */
static void *refill(struct hk_cache *cache, unsigned class, bool *zero)
{
	void *p = hk_refill(cache, class, zero);

	if (hk_unlikely(!p)) {
		hk_reclaim(cache);
		p = hk_refill(cache, class, zero);
	}
	if (zero && *zero)
		memset(p, 0, sizeof(struct hk_block));
	return p;
}

/* What the program gets, once the cache is left. */
static void *given(void *p, size_t size, const void *caller)
{
	hk_trace(HK_EVENT_MALLOC, p, size, caller);
	if (hk_unlikely(!p))
		errno = ENOMEM;
	return p;
}

void *hk_large_malloc(size_t size, size_t align, bool *zero, const void *caller)
{
	struct hk_cache *cache;
	void *p;

	if (hk_unlikely(size >= HK_IMPOSSIBLE))
		return given(NULL, size, caller);
	cache = hk_enter();
	p = hk_large_take(size, align, zero);
	if (hk_unlikely(!p)) {
		hk_reclaim(cache);
		p = hk_large_take(size, align, zero);
	}
	leave(cache, HK_CLASSES);
	return given(p, size, caller);
}

static void *refill_and_take(unsigned class, size_t size, bool *zero, const void *caller)
{
	struct hk_cache *cache = hk_enter();
	/* The shared cache has lists too, under its lock. */
	struct hk_bin *bin = &cache->bin[class];
	void *p = bin->head ? hk_bin_pop(bin, bin->head) : refill(cache, class, zero);

	leave(cache, class);
	return given(p, size, caller);
}

static void *take(size_t size, bool *zero, const void *caller)
{
	unsigned class;
	struct hk_bin *bin;

	if (size > HK_SLAB_MAX)
		return hk_large_malloc(size, HK_GRAIN, zero, caller);
	/* Groups above C7: their lists are this thread's own as well. */
	class = hk_class_of(size);
	bin = &hk_tls->bin[class];
	return bin->head ? hk_bin_pop(bin, bin->head) : refill_and_take(class, size, zero, caller);
}

void *hk_malloc_slow(size_t size, const void *caller)
{
	return take(size, NULL, caller);
}

void *hk_calloc_slow(size_t size, bool *zero, const void *caller)
{
	*zero = false;
	return take(size, zero, caller);
}

/* Most of a list that ran over goes. The capacity grows first, towards
 * its limit: a list that runs over is one that the program uses. Not where
 * memory is scarce. */
static void overflow(struct hk_cache *cache, struct hk_bin *bin)
{
	int32_t more = bin->capacity_max - bin->capacity;

	if (more > 0 && !hk_pool_scarce()) {
		if (more > bin->capacity)
			more = bin->capacity;
		bin->capacity += more;
		bin->room += more;
	} else {
		hk_spill(cache, bin);
		hk_tick(cache);
	}
}

void hk_free_overflow(struct hk_bin *bin, const void *caller)
{
	struct hk_cache *cache = hk_enter();

	/* What the hot path has just pushed. */
	hk_trace(HK_EVENT_FREE, bin->head, 0, caller);
	overflow(cache, bin);
	leave(cache, (unsigned)(bin - cache->bin));
	freed(caller);
}

static void free_block(struct hk_cache *cache, struct hk_slab *slab, void *p, enum hk_call call)
{
	struct hk_block *block = p;

	if (hk_slab_holed(slab) && hk_slab_bit(slab, hk_slab_index(slab, p)))
		hk_already_free(call, p, slab);
	if (block->mark == HK_FREED && !hk_innocent(cache, slab, p, call))
		return;
	if (atomic_load_explicit(&slab->owner, memory_order_relaxed) != cache)
		hk_remote_free(cache, slab, p);
	else if (!hk_bin_push(slab->bin, block))
		overflow(cache, slab->bin);
}

/* free() of all but a sound block of this thread's own: NULL, blocks of
 * other threads, Mid and above, suspects, and what is no block. */
void hk_free_slow(void *p, enum hk_call call, const void *caller)
{
	struct hk_slab *slab;
	struct hk_cache *cache;
	unsigned class = HK_CLASSES;

	if (!p)
		return;
	if (hk_remote_append(hk_tls, p)) {
		if (hk_unlikely(atomic_load_explicit(&hk_sparse_waits, memory_order_relaxed)))
			freed(caller);
		return;
	}
	hk_trace(HK_EVENT_FREE, p, 0, caller);
	slab = hk_slab_of(p, call);
	cache = hk_enter();
	if (slab) {
		class = slab->class;
		free_block(cache, slab, p, call);
	} else if (!hk_large_free(p)) {
		hk_bad_pointer(call, p);
	}
	leave(cache, class);
	freed(caller);
}
