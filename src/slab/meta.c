#include "slab/meta.h"

#include "config/policy.h"
#include "os/os.h"
#include "slab/slab.h"

enum { PAGE = 4096, LINE = 64 };

/* A mapped region that is not in use yet. The link is cleared before use. */
struct region {
	struct region *next;
};

/*
 * Protected by the lock, with two exceptions. Pushes onto regions and spare do not need it
 * (release); pops do, so only one thread pops at a time and the stacks need no ABA tag. The
 * directory and left are read without it.
 */
static struct {
	struct hk_lock lock;
	char *next;
	_Atomic size_t left;		/* bytes that are free from next on */
	_Atomic(struct region *) regions;
	_Atomic(struct hk_superslab *) spare;
} meta = { .lock = HK_LOCK_INITIALIZER(HK_RANK_META) };

_Atomic size_t hk_meta_bytes;
_Atomic(struct hk_superslab **) hk_directory[HK_DIRECTORY_CHUNKS];
_Atomic uint32_t hk_directory_end;

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
	struct region *fresh, *head = atomic_load_explicit(&meta.regions, memory_order_relaxed);

	if (head || left() >= HK_META_LOW)
		return true;
	fresh = hk_os_map_apart(HK_META_REGION);
	if (!fresh)
		return false;
	atomic_fetch_add_explicit(&hk_meta_bytes, HK_META_REGION, memory_order_relaxed);
	do
		fresh->next = head;
	while (!hk_swapped(atomic_compare_exchange_weak_explicit(&meta.regions, &head, fresh,
			memory_order_release, memory_order_relaxed)));
	return true;
}

/* The unused rest of the previous region is wasted. */
static bool next_region(void)
{
	struct region *head = atomic_load_explicit(&meta.regions, memory_order_acquire);

	do {
		if (!head)
			return false;
	} while (!hk_swapped(atomic_compare_exchange_weak_explicit(&meta.regions, &head, head->next,
			memory_order_acquire, memory_order_acquire)));
	head->next = NULL;
	meta.next = (char *)head;
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

void *hk_meta_alloc(size_t size)
{
	void *p;

	if (!hk_lock(&meta.lock))
		return NULL;
	/* So the rarely used end of a large object shares no page with another object. */
	p = alloc_locked(size, size > PAGE ? PAGE : LINE);
	hk_unlock(&meta.lock);
	return p;
}

static struct hk_superslab *new_superslab(void)
{
	uint32_t index = atomic_load_explicit(&hk_directory_end, memory_order_relaxed);
	uint32_t chunk = index / HK_DIRECTORY_CHUNK;
	struct hk_superslab *s, **place;
	unsigned i;

	if (chunk >= HK_DIRECTORY_CHUNKS)
		return NULL;
	place = atomic_load_explicit(&hk_directory[chunk], memory_order_relaxed);
	if (!place) {
		place = alloc_locked(HK_DIRECTORY_CHUNK * sizeof *place, LINE);
		if (!place)
			return NULL;
		atomic_store_explicit(&hk_directory[chunk], place, memory_order_release);
	}
	s = alloc_locked(sizeof *s, LINE);
	if (!s)
		return NULL;
	s->index = index;
	s->shared_meta = &s->shared;
	for (i = 0; i < HK_SLOTS; i++)
		s->first[i] = (uint8_t)i;
	place[index % HK_DIRECTORY_CHUNK] = s;
	atomic_store_explicit(&hk_directory_end, index + 1, memory_order_release);
	return s;
}

static struct hk_superslab *spare(void)
{
	struct hk_superslab *s = atomic_load_explicit(&meta.spare, memory_order_acquire);

	while (s && !hk_swapped(atomic_compare_exchange_weak_explicit(&meta.spare, &s,
			s->next_spare, memory_order_acquire, memory_order_acquire)))
		;
	return s;
}

struct hk_superslab *hk_meta_superslab(void)
{
	struct hk_superslab *s;

	if (!hk_lock(&meta.lock))
		return NULL;
	s = spare();
	if (!s)
		s = new_superslab();
	hk_unlock(&meta.lock);
	return s;
}

void hk_meta_spare(struct hk_superslab *s)
{
	struct hk_superslab *head = atomic_load_explicit(&meta.spare, memory_order_relaxed);

	do
		s->next_spare = head;
	while (!hk_swapped(atomic_compare_exchange_weak_explicit(&meta.spare, &head, s,
			memory_order_release, memory_order_relaxed)));
}

uint32_t hk_pool_directory_end(void)
{
	return atomic_load_explicit(&hk_directory_end, memory_order_acquire);
}

struct hk_superslab *hk_pool_superslab(uint32_t index)
{
	struct hk_superslab **chunk = atomic_load_explicit(
		&hk_directory[index / HK_DIRECTORY_CHUNK], memory_order_acquire);

	return chunk[index % HK_DIRECTORY_CHUNK];
}
