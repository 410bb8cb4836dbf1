/*
 * All of it is one mapping, of which only the pages in use have memory. The index is a hash
 * table of site numbers, without deletion. A thread reserves an entry of it before it fills the
 * site. A signal handler or another thread that finds the entry reserved takes the next one: it
 * never waits, but may make a second site for the same stack.
 */
#include "sample/table.h"

#include "os/os.h"
#include "slab/classes.h"
#include "slab/meta.h"

#include <string.h>

enum { INDEX = 2 * HK_SAMPLE_SITES };
#define RESERVED UINT32_MAX

_Atomic(struct hk_sample_table *) hk_sample_table;
struct hk_sample_counters hk_sample_counters;

static struct hk_sample_table *table(void)
{
	return atomic_load_explicit(&hk_sample_table, memory_order_acquire);
}

/* Several threads may make a table at the same time; all but one are wasted. */
bool hk_table_make(void)
{
	const struct hk_sample_table made = {
		.magic = HK_SAMPLE_TABLE_MAGIC, .version = HK_SAMPLE_TABLE_VERSION,
		.size = sizeof made, .site_size = sizeof(struct hk_sample_site),
		.sample_size = sizeof(struct hk_sample), .frame_size = sizeof(uintptr_t),
		.sites_most = HK_SAMPLE_SITES, .samples_most = HK_SAMPLE_BLOCKS,
		.frames_most = HK_SAMPLE_FRAMES };
	const size_t sites = HK_SAMPLE_SITES * sizeof(struct hk_sample_site);
	const size_t samples = HK_SAMPLE_BLOCKS * sizeof(struct hk_sample);
	const size_t frames = HK_SAMPLE_FRAMES * sizeof(uintptr_t);
	const size_t whole = HK_PAGE_MOST + sites + samples + frames + INDEX * sizeof(uint32_t);
	struct hk_sample_table *t, *none = NULL;

	if (table())
		return true;
	t = hk_os_map_apart(whole);
	if (!t)
		return false;
	atomic_fetch_add_explicit(&hk_meta_bytes, whole, memory_order_relaxed);
	memcpy(t, &made, sizeof made);
	t->site = (struct hk_sample_site *)((char *)t + HK_PAGE_MOST);
	t->sample = (struct hk_sample *)((char *)t->site + sites);
	t->frame = (uintptr_t *)((char *)t->sample + samples);
	t->index = (_Atomic uint32_t *)((char *)t->frame + frames);
	atomic_compare_exchange_strong(&hk_sample_table, &none, t);
	return true;
}

void hk_table_mean(size_t mean)
{
	struct hk_sample_table *t = table();
	uint64_t before;

	if (!t)
		return;
	atomic_store_explicit(&t->on, mean != 0, memory_order_relaxed);
	if (!mean) {
		atomic_store_explicit(&t->whole, false, memory_order_relaxed);
		return;
	}
	before = atomic_exchange_explicit(&t->mean, mean, memory_order_relaxed);
	if (before != mean && atomic_load_explicit(&t->samples, memory_order_relaxed))
		atomic_store_explicit(&t->mixed, true, memory_order_relaxed);
}

void hk_table_whole(void)
{
	atomic_store_explicit(&table()->whole, true, memory_order_relaxed);
}

/* The sizes up to HK_SLAB_MAX are those of the classes. */
static uint32_t key_of(size_t size)
{
	unsigned top;

	if (size <= HK_SLAB_MAX)
		return hk_class_of(size);
	top = HK_TOP_BIT(size + 1);
	return top * 4 + (unsigned)(size >> (top - 2) & 3) + HK_CLASSES;
}

static uint32_t hash_of(const uintptr_t *frame, uint32_t depth, uint32_t key)
{
	uint64_t x = key;
	uint32_t i;

	for (i = 0; i < depth; i++) {
		x = (x ^ frame[i]) * 0x9e3779b97f4a7c15u;
		x ^= x >> 32;
	}
	return (uint32_t)x;
}

static bool matches(const struct hk_sample_table *t, struct hk_sample_site *site, uint32_t hash,
		    uint32_t key, const uintptr_t *frame, uint32_t depth)
{
	return site->hash == hash && site->key == key && site->depth == depth &&
	       memcmp(t->frame + site->first, frame, depth * sizeof *frame) == 0;
}

/* Takes n consecutive elements of an array. False: there are not so many. */
static bool claim(_Atomic uint32_t *used, uint32_t n, uint32_t most, uint32_t *first)
{
	*first = atomic_load_explicit(used, memory_order_relaxed);
	do
		if (*first + n > most)
			return false;
	while (!atomic_compare_exchange_weak_explicit(used, first, *first + n, memory_order_relaxed,
						      memory_order_relaxed));
	return true;
}

/* NULL: there is no room. */
static struct hk_sample_site *add(struct hk_sample_table *t, const uintptr_t *frame, uint32_t depth,
				  uint32_t hash, uint32_t key)
{
	struct hk_sample_site *site;
	uint32_t first, number;

	if (!claim(&t->frames, depth, HK_SAMPLE_FRAMES, &first) ||
	    !claim(&t->sites, 1, HK_SAMPLE_SITES, &number))
		return NULL;
	memcpy(t->frame + first, frame, depth * sizeof *frame);
	site = &t->site[number];
	site->hash = hash;
	site->first = first;
	site->key = key;
	atomic_store_explicit(&site->depth, depth, memory_order_release);
	atomic_fetch_add_explicit(&hk_sample_counters.sites, 1, memory_order_relaxed);
	return site;
}

struct hk_sample_site *hk_table_site(const uintptr_t *frame, uint32_t depth, size_t size)
{
	struct hk_sample_table *t = table();
	uint32_t key = key_of(size), hash = hash_of(frame, depth, key), i, found;
	struct hk_sample_site *site;

	for (i = 0; i < HK_SAMPLE_LOOKS; i++) {
		_Atomic uint32_t *entry = &t->index[(hash + i) % INDEX];

		found = atomic_load_explicit(entry, memory_order_acquire);
		if (!found && atomic_compare_exchange_strong(entry, &found, RESERVED)) {
			site = add(t, frame, depth, hash, key);
			atomic_store_explicit(entry, site ? (uint32_t)(site - t->site) + 1 : 0,
					      memory_order_release);
			return site;
		}
		if (found != RESERVED && matches(t, &t->site[found - 1], hash, key, frame, depth))
			return &t->site[found - 1];
	}
	return NULL;
}

/*
 * unused is a stack of samples: the number of the first one in the low half, and a count of
 * changes in the high half, so that a thread does not confuse a sample that was taken and freed
 * meanwhile with one that stayed.
 */
uint32_t hk_table_new(void)
{
	struct hk_sample_table *t = table();
	uint64_t head = atomic_load_explicit(&t->unused, memory_order_acquire);
	uint32_t number;

	while ((uint32_t)head) {
		uint64_t next = atomic_load_explicit(&t->sample[(uint32_t)head - 1].next, memory_order_relaxed);

		if (atomic_compare_exchange_weak_explicit(&t->unused, &head,
				((head >> 32) + 1) << 32 | next, memory_order_acquire, memory_order_acquire))
			return (uint32_t)head;
	}
	return claim(&t->samples, 1, HK_SAMPLE_BLOCKS, &number) ? number + 1 : 0;
}

bool hk_table_has_room(void)
{
	struct hk_sample_table *t = table();

	return (uint32_t)atomic_load_explicit(&t->unused, memory_order_relaxed) ||
	       atomic_load_explicit(&t->samples, memory_order_relaxed) < HK_SAMPLE_BLOCKS;
}

void hk_table_free(uint32_t sample)
{
	struct hk_sample_table *t = table();
	uint64_t head = atomic_load_explicit(&t->unused, memory_order_relaxed);

	do
		atomic_store_explicit(&t->sample[sample - 1].next, (uint32_t)head, memory_order_relaxed);
	while (!atomic_compare_exchange_weak_explicit(&t->unused, &head, ((head >> 32) + 1) << 32 | sample,
						      memory_order_release, memory_order_relaxed));
}
