#include "sample/fence.h"

#include "large/large.h"
#include "os/os.h"
#include "os/secret.h"
#include "sample/random.h"
#include "sample/sample.h"
#include "slab/classes.h"
#include "slab/meta.h"

#include <string.h>

struct hk_fences hk_fences;

static _Atomic uint32_t frees;		/* relaxed */

/* The bytes of a place: a guard page and the pages for a block. */
static size_t stride(void)
{
	return hk_whole_pages(HK_SLAB_MAX) + hk_page_size;
}

/* The number of places: few if the address space of the program is limited. */
static size_t places(void)
{
	size_t allowed = hk_os_address_limit() / HK_FENCE_SPACE_SHARE / stride();

	return allowed < HK_FENCES ? allowed : HK_FENCES;
}

void hk_fence_make(void)
{
	static _Atomic bool begun;
	size_t count = places(), bytes = count * sizeof(struct hk_fence), size = count * stride() + hk_page_size;
	void *start;

	if (!count || atomic_exchange(&begun, true))
		return;
	hk_fences.fence = hk_os_map_apart(bytes);
	start = hk_fences.fence ? hk_os_reserve(size, hk_page_size) : NULL;
	if (hk_fences.fence)
		atomic_fetch_add_explicit(&hk_meta_bytes, hk_whole_pages(bytes), memory_order_relaxed);
	hk_fences.count = count;
	hk_fences.size = size;
	atomic_store_explicit(&hk_fences.start, (uintptr_t)start, memory_order_release);
}

/* Of the pages of a place. */
static uintptr_t pages_start(const struct hk_fence *fence)
{
	return atomic_load_explicit(&hk_fences.start, memory_order_relaxed) + hk_page_size +
	       (size_t)(fence - hk_fences.fence) * stride();
}

static uintptr_t pages_end(const struct hk_fence *fence)
{
	return pages_start(fence) + stride() - hk_page_size;
}

/* Of the pages of a block. A block of 0 bytes has a page as well. */
static uintptr_t first_page(const struct hk_fence *fence)
{
	return fence->start & -hk_page_size;
}

static size_t page_bytes(const struct hk_fence *fence)
{
	return hk_whole_pages(fence->start + (fence->size ? fence->size : 1)) - first_page(fence);
}

/* The generator may lose a step: only its numbers matter. */
static bool by_chance(unsigned share)
{
	static _Atomic uint64_t state;
	uint64_t number = atomic_load_explicit(&state, memory_order_relaxed) ^ hk_secret(), random;

	random = hk_random_next(&number);
	atomic_store_explicit(&state, number ^ hk_secret(), memory_order_relaxed);
	return random % share == 0;
}

/* The alignment of a block of this size in a slab, which memalign relies on. */
static size_t natural_alignment(size_t size)
{
	size_t align = size & -size;

	return align < HK_GRAIN ? HK_GRAIN : align;
}

/* False: an alignment above a page leaves no room in this place. */
static bool put_block(struct hk_fence *fence, size_t size)
{
	size_t align = natural_alignment(size), whole = ((size ? size : 1) + HK_GRAIN - 1) & -(size_t)HK_GRAIN;
	size_t unit = align > hk_page_size ? align : hk_page_size;
	uintptr_t first = (pages_end(fence) - hk_whole_pages(whole)) & -unit;

	if (first < pages_start(fence))
		return false;
	fence->size = size;
	fence->start = first;
	if (!by_chance(HK_FENCE_START_SHARE))
		fence->start += hk_whole_pages(whole) - whole;
	return true;
}

static bool rested(const struct hk_fence *fence)
{
	return atomic_load_explicit(&frees, memory_order_relaxed) - fence->turn >= hk_fences.count / HK_FENCE_RESTING_SHARE;
}

static bool claim(struct hk_fence *fence, uint8_t *state)
{
	*state = atomic_load_explicit(&fence->state, memory_order_acquire);
	return (*state == HK_FENCE_UNUSED || (*state == HK_FENCE_FREED && rested(fence))) &&
	       atomic_compare_exchange_strong(&fence->state, state, HK_FENCE_TAKEN);
}

static void restore(struct hk_fence *fence, uint8_t state)
{
	atomic_store_explicit(&fence->state, state, memory_order_release);
}

/* Opens the pages of a place for a block. False: there is no room, or the kernel refuses. The
 * former block of the place is forgotten only if there is a new one. */
static bool settle_in(struct hk_fence *fence, size_t size)
{
	struct hk_fence before = { .start = fence->start, .size = fence->size };

	if (put_block(fence, size) && hk_os_open_reserved((void *)first_page(fence), page_bytes(fence)))
		return true;
	fence->start = before.start;
	fence->size = before.size;
	return false;
}

static struct hk_fence *find_place(size_t size)
{
	static _Atomic uint32_t next;
	uint8_t state;
	unsigned i;

	for (i = 0; i < HK_FENCE_LOOKS; i++) {
		struct hk_fence *fence = &hk_fences.fence[atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % hk_fences.count];

		if (!claim(fence, &state))
			continue;
		if (settle_in(fence, size))
			return fence;
		restore(fence, state);
	}
	return NULL;
}

/*
 * The pattern: the secret, as bytes at addresses that are multiples of 8. No byte is 0, because
 * strings that are one byte too long write that.
 */
static uint64_t pattern(void)
{
	return hk_secret() | 0x0101010101010101u;
}

static unsigned char pattern_at(uintptr_t at)
{
	uint64_t word = pattern();
	unsigned char bytes[sizeof word];

	memcpy(bytes, &word, sizeof word);
	return bytes[at % sizeof word];
}

static void fill(uintptr_t from, uintptr_t to)
{
	uint64_t word = pattern();

	for (; from < to && from % sizeof word; from++)
		*(unsigned char *)from = pattern_at(from);
	for (; from < to; from += sizeof word)
		memcpy((void *)from, &word, sizeof word);
}

/* The first byte that does not have the pattern, or to. */
static uintptr_t find_damage(uintptr_t from, uintptr_t to)
{
	uint64_t word = pattern();

	for (; from < to && from % sizeof word; from++)
		if (*(unsigned char *)from != pattern_at(from))
			return from;
	for (; from < to && !memcmp((void *)from, &word, sizeof word); from += sizeof word)
		;
	while (from < to && *(unsigned char *)from == pattern_at(from))
		from++;
	return from;
}

struct hk_fence *hk_fence_take(size_t size)
{
	_Atomic size_t *live = &hk_sample_counters.guarded;
	struct hk_fence *fence = NULL;

	if (atomic_fetch_add_explicit(live, 1, memory_order_relaxed) < hk_fences.count / HK_FENCE_LIVE_SHARE)
		fence = find_place(size);
	if (!fence) {
		atomic_fetch_sub_explicit(live, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&hk_sample_counters.unguarded, 1, memory_order_relaxed);
		return NULL;
	}
	if (fence->dirty)
		memset((void *)first_page(fence), 0, page_bytes(fence));
	fill(first_page(fence), fence->start);
	fill(fence->start + size, first_page(fence) + page_bytes(fence));
	return fence;
}

void hk_fence_begin(struct hk_fence *fence, uint32_t sample)
{
	fence->sample = sample;
	fence->site = sample ? hk_sample_site(sample) : 0;
	fence->depth = 0;
	atomic_fetch_add_explicit(&hk_large_counters.mid_live, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&hk_large_counters.mid_bytes, fence->size, memory_order_relaxed);
	atomic_store_explicit(&fence->state, HK_FENCE_LIVE, memory_order_release);
}

static uint8_t state_of(struct hk_fence *fence)
{
	return atomic_load_explicit(&fence->state, memory_order_acquire);
}

static bool has_block(struct hk_fence *fence)
{
	return state_of(fence) >= HK_FENCE_LIVE;
}

bool hk_fence_live(struct hk_fence *fence)
{
	return state_of(fence) == HK_FENCE_LIVE;
}

struct hk_fence *hk_fence_find(const void *p)
{
	size_t i = ((uintptr_t)p - atomic_load_explicit(&hk_fences.start, memory_order_relaxed)) / stride();
	struct hk_fence *fence = i < hk_fences.count ? &hk_fences.fence[i] : NULL;

	return fence && has_block(fence) && fence->start == (uintptr_t)p ? fence : NULL;
}

/* 0: the address is inside the block. */
static size_t distance(const struct hk_fence *fence, uintptr_t address)
{
	if (address < fence->start)
		return fence->start - address;
	return address - fence->start < fence->size ? 0 : address - fence->start - fence->size + 1;
}

/* The guard page before a place belongs to this place and to the previous one. */
struct hk_fence *hk_fence_near(uintptr_t address)
{
	size_t i = (address - atomic_load_explicit(&hk_fences.start, memory_order_relaxed)) / stride(), j;
	struct hk_fence *nearest = NULL;

	for (j = i ? i - 1 : 0; j <= i && j < hk_fences.count; j++) {
		struct hk_fence *fence = &hk_fences.fence[j];

		if (has_block(fence) && (!nearest || distance(fence, address) < distance(nearest, address)))
			nearest = fence;
	}
	return nearest;
}

bool hk_fence_retire(struct hk_fence *fence, const void *caller)
{
	uint8_t live = HK_FENCE_LIVE;

	if (!atomic_compare_exchange_strong(&fence->state, &live, HK_FENCE_FREEING))
		return false;
	fence->depth = hk_os_stack(fence->freed, HK_FENCE_DEPTH, caller);
	return true;
}

bool hk_fence_intact(const struct hk_fence *fence, uintptr_t *at)
{
	uintptr_t end = first_page(fence) + page_bytes(fence);

	*at = find_damage(fence->start + fence->size, end);
	if (*at != end)
		return false;
	*at = find_damage(first_page(fence), fence->start);
	return *at == fence->start;
}

void hk_fence_end(struct hk_fence *fence)
{
	bool clean = false;
	bool closed;

	hk_sample_drop(fence->sample);
	atomic_fetch_sub_explicit(&hk_large_counters.mid_live, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&hk_large_counters.mid_bytes, fence->size, memory_order_relaxed);
	closed = hk_os_close_reserved((void *)first_page(fence), page_bytes(fence), &clean);
	fence->dirty |= !clean;
	fence->turn = atomic_fetch_add_explicit(&frees, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&hk_sample_counters.guarded, 1, memory_order_relaxed);
	atomic_store_explicit(&fence->state, closed ? HK_FENCE_FREED : HK_FENCE_LOST, memory_order_release);
}
