#include "slab/meta.h"

#include "config/policy.h"
#include "os/os.h"
#include "slab/stack.h"

enum { PAGE = 4096, LINE = 64 };

/*
 * Protected by the lock, except that regions are pushed and left is read without it.
 *	regions		mapped regions that are not in use yet, which start with their
 *			link; it is cleared before use
 */
static struct {
	struct hk_lock lock;
	char *next;
	_Atomic size_t left;		/* bytes that are free from next on */
	struct hk_stack regions;
} meta = { .lock = HK_LOCK_INITIALIZER(HK_RANK_META) };

_Atomic size_t hk_meta_bytes;

struct hk_lock *hk_meta_lock(void)
{
	return &meta.lock;
}

static size_t left(void)
{
	return atomic_load_explicit(&meta.left, memory_order_relaxed);
}

bool hk_meta_fill(void)
{
	struct hk_stack_link *fresh;

	if (!hk_stack_empty(&meta.regions) || left() >= HK_META_LOW)
		return true;
	fresh = hk_os_map_apart(HK_META_REGION);
	if (!fresh)
		return false;
	atomic_fetch_add_explicit(&hk_meta_bytes, HK_META_REGION, memory_order_relaxed);
	hk_stack_push(&meta.regions, fresh);
	return true;
}

/* The unused rest of the previous region is wasted. */
static bool next_region(void)
{
	struct hk_stack_link *region = hk_stack_pop(&meta.regions);

	if (!region)
		return false;
	region->below = NULL;
	meta.next = (char *)region;
	atomic_store_explicit(&meta.left, HK_META_REGION, memory_order_relaxed);
	return true;
}

static void *alloc_locked(size_t size, size_t alignment)
{
	size_t gap = -(uintptr_t)meta.next % alignment;
	void *p;

	size = (size + LINE - 1) & ~(size_t)(LINE - 1);
	hk_assert(size + PAGE <= HK_META_LOW);
	if (left() < gap + size) {
		if (!next_region())
			return NULL;
		gap = 0;
	}
	p = meta.next + gap;
	meta.next += gap + size;
	atomic_store_explicit(&meta.left, left() - gap - size, memory_order_relaxed);
	return p;
}

static void *alloc(size_t size, size_t alignment)
{
	void *p;

	if (!hk_lock(&meta.lock))
		return NULL;
	p = alloc_locked(size, alignment);
	hk_unlock(&meta.lock);
	return p;
}

void *hk_meta_alloc(size_t size)
{
	/* So the rarely used end of a large object shares no page with another object. */
	return alloc(size, size > PAGE ? PAGE : LINE);
}

void *hk_meta_alloc_packed(size_t size)
{
	return alloc(size, LINE);
}
