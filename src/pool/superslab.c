#include "pool/superslab.h"

#include "pool/internal.h"
#include "slab/meta.h"

#include <string.h>

_Atomic(struct hk_superslab **) hk_directory[HK_DIRECTORY_CHUNKS] HK_BEHIND;
_Atomic uint32_t hk_directory_end;

/* Unused descriptors. Any thread pushes; popping requires the pool lock. */
static struct hk_stack spare;

/* The pool's part is first, so that the end, whose slabs are used last, has pages of its
 * own. */
struct descriptor {
	struct hk_shared_meta shared;
	struct hk_superslab superslab;
};

static struct hk_superslab **new_chunk(uint32_t chunk)
{
	struct hk_superslab **place;

	if (chunk >= HK_DIRECTORY_CHUNKS)
		return NULL;
	place = atomic_load_explicit(&hk_directory[chunk], memory_order_relaxed);
	if (place)
		return place;
	place = hk_meta_alloc(HK_DIRECTORY_CHUNK * sizeof *place);
	if (place)
		atomic_store_explicit(&hk_directory[chunk], place, memory_order_release);
	return place;
}

static struct hk_superslab *create(void)
{
	uint32_t index = atomic_load_explicit(&hk_directory_end, memory_order_relaxed);
	struct hk_superslab **place = new_chunk(index / HK_DIRECTORY_CHUNK), *s;
	struct descriptor *d = place ? hk_meta_alloc_packed(sizeof *d) : NULL;
	unsigned i;

	if (!d)
		return NULL;
	s = &d->superslab;
	s->index = index;
	s->shared_meta = &d->shared;
	d->shared.home = s;
	for (i = 0; i < HK_SLOTS; i++)
		s->first[i] = (uint8_t)i;
	place[index % HK_DIRECTORY_CHUNK] = s;
	atomic_store_explicit(&hk_directory_end, index + 1, memory_order_release);
	return s;
}

struct hk_superslab *hk_superslab_new(void)
{
	struct hk_stack_link *link;
	struct hk_superslab *s;

	if (!hk_lock(&hk_pool.lock))
		return NULL;
	link = hk_stack_pop(&spare);
	s = link ? hk_holder(link, struct hk_superslab, spare) : create();
	hk_unlock(&hk_pool.lock);
	return s;
}

void hk_superslab_delete(struct hk_superslab *s)
{
	hk_stack_push(&spare, &s->spare);
}

uint32_t hk_superslab_end(void)
{
	return atomic_load_explicit(&hk_directory_end, memory_order_acquire);
}

struct hk_superslab *hk_superslab_at(uint32_t index)
{
	struct hk_superslab **chunk = atomic_load_explicit(
		&hk_directory[index / HK_DIRECTORY_CHUNK], memory_order_acquire);

	return chunk[index % HK_DIRECTORY_CHUNK];
}

void hk_slots_unmark(struct hk_superslab *home, uintptr_t base, unsigned first, unsigned slots)
{
	uint64_t clean = atomic_load_explicit(&home->shared_meta->clean, memory_order_relaxed);

	for (; slots; first++, slots--) {
		if (home->marks[first] && !(clean >> first & 1))
			memset((void *)(base + first * HK_SLOT_SIZE), 0, HK_SLOT_SIZE);
		home->marks[first] = 0;
	}
}
