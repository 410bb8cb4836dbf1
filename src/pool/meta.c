#include "pool/meta.h"

#include "os/os.h"
#include "pool/internal.h"

enum { REGION = 256 * 1024 };

/* All under the lock; the directory is also read without (acquire). */
static struct {
	struct hk_lock lock;
	char *next, *end;
	struct hk_superslab *spare;
} meta = { .lock = HK_LOCK_INITIALIZER(HK_RANK_META) };

size_t hk_meta_bytes;
_Atomic(struct hk_superslab **) hk_directory[HK_DIRECTORY_CHUNKS];
_Atomic uint32_t hk_directory_end;

void hk_meta_lock(void)
{
	hk_lock(&meta.lock);
}

void hk_meta_unlock(void)
{
	hk_unlock(&meta.lock);
}

static void *alloc_locked(size_t size)
{
	void *p;

	size = (size + 63) & ~(size_t)63;
	if ((size_t)(meta.end - meta.next) < size) {
		size_t region = size > REGION ? size : REGION;

		region = (region + hk_page_size - 1) & -hk_page_size;
		p = hk_os_map(region, hk_page_size);
		if (!p)
			return NULL;
		meta.next = p;
		meta.end = meta.next + region;
		hk_meta_bytes += region;
	}
	p = meta.next;
	meta.next += size;
	return p;
}

void *hk_meta_alloc(size_t size)
{
	void *p;

	hk_meta_lock();
	p = alloc_locked(size);
	hk_meta_unlock();
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
		place = alloc_locked(HK_DIRECTORY_CHUNK * sizeof *place);
		if (!place)
			return NULL;
		atomic_store_explicit(&hk_directory[chunk], place, memory_order_release);
	}
	s = alloc_locked(sizeof *s);
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

struct hk_superslab *hk_meta_superslab(void)
{
	struct hk_superslab *s;

	hk_meta_lock();
	s = meta.spare;
	if (s)
		meta.spare = s->next_spare;
	else
		s = new_superslab();
	hk_meta_unlock();
	return s;
}

void hk_meta_spare(struct hk_superslab *s)
{
	hk_meta_lock();
	s->next_spare = meta.spare;
	meta.spare = s;
	hk_meta_unlock();
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
