#include "stats/snapshot.h"

#include "cache/cache.h"
#include "config/settings.h"
#include "large/large.h"
#include "learn/learn.h"
#include "os/os.h"
#include "pool/pool.h"
#include "range/range.h"
#include "sample/table.h"
#include "slab/meta.h"
#include "slab/pagemap.h"

#include <string.h>

static size_t load(_Atomic size_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* The owner changes room without a lock, so this value is approximate; it is limited to the blocks
 * that the slabs have handed out. */
static size_t length_of(const struct hk_bin *bin)
{
	int32_t length = bin->capacity - *(const volatile int32_t *)&bin->room;

	return length > 0 ? (size_t)length : 0;
}

static void add_cache(struct hk_snapshot *s, const struct hk_cache *cache)
{
	unsigned class;

	for (class = 0; class < HK_CLASSES; class++) {
		const struct hk_bin *bin = &cache->bin[class];
		struct hak_class_stats *c = &s->class[class];

		c->cached += length_of(bin) + cache->spilled[class].blocks;
		if (class < HK_TINY_CLASSES)
			c->cached += length_of(&cache->shown[class].bin);
		c->refills += bin->refills;
		c->flushes += bin->flushes;
		c->filled += cache->filled[class];
		c->flushed += cache->flushed[class];
	}
	s->all.threads += cache->front.live && !cache->lost;
	s->all.remote_sent += __atomic_load_n(&cache->remote_sent, __ATOMIC_RELAXED);
	s->all.remote_received += cache->remote_received;
}

static void add_superslab(struct hk_snapshot *s, const struct hk_superslab *superslab)
{
	unsigned slot;

	for (slot = 0; slot < HK_SLOTS; slot++) {
		const struct hk_slab *slab = &superslab->slab[slot];
		struct hak_class_stats *c = &s->class[slab->class];

		if (slab->kind != HK_RUN_SLAB)
			continue;
		c->used += slab->used;
		c->free_blocks += (size_t)slab->blocks - slab->used;
		c->slabs++;
	}
}

static void add_pool(struct hk_snapshot *s)
{
	struct hk_pool_counters *from = &hk_pool_counters;
	unsigned i;

	for (i = 0; i < hk_superslab_end(); i++) {
		struct hk_superslab *superslab = hk_superslab_at(i);

		if (superslab->base)
			add_superslab(s, superslab);
	}
	for (i = 0; i < HK_HINTS; i++) {
		s->all.claim += load(&from->claim[i]);
		s->all.grow += load(&from->grow[i]);
	}
	for (i = 0; i < HK_CLASSES; i++) {
		struct hak_class_stats *c = &s->class[i];

		c->reuse = load(&from->reuse[i]);
		c->claim = load(&from->claim[i]);
		c->grow = load(&from->grow[i]);
		c->slabs_peak = load(&from->slabs_peak[i]);
		c->capacity = (size_t)hk_start_limits[i].capacity;
		c->batch = (size_t)hk_start_limits[i].batch;
		c->grants = load(&hk_learn_counters.grants[i]);
		c->cuts = load(&hk_learn_counters.cuts[i]);
		s->all.reuse += c->reuse;
	}
	s->all.learn_budget = load(&hk_budget_held);
	s->all.learn_windows = load(&hk_learn_counters.windows);
	s->all.superslabs = load(&from->superslabs);
	s->all.superslabs_peak = load(&from->superslabs_peak);
	s->all.superslabs_unmapped = load(&from->unmapped);
	s->all.purged_bytes = load(&from->purged_bytes);
	s->all.hole_bytes = load(&hk_hole_bytes);
	s->all.hole_purged_bytes = load(&hk_hole_purged_bytes);
	s->all.scavenger = load(&hk_scavenger_runs);
	s->all.scavenger_turns = load(&hk_scavenger_turns);
	s->all.superslabs_huge = load(&hk_thp_superslabs);
	s->all.promoted = load(&hk_mem_counters.promoted);
	s->all.demoted = load(&hk_mem_counters.demoted);
	s->all.reverted = load(&hk_mem_counters.reverted);
	s->all.purge_delay = load(&hk_purge_delay);
	s->all.samples = load(&hk_sample_counters.taken);
	s->all.samples_lost = load(&hk_sample_counters.lost);
	s->all.sample_sites = load(&hk_sample_counters.sites);
	s->all.pressure = load(&hk_pressure_releases);
	s->all.samples_guarded = load(&hk_sample_counters.guarded);
	s->all.samples_unguarded = load(&hk_sample_counters.unguarded);
	s->all.waste_estimate = load(&hk_sample_counters.waste);
}

static void add_large(struct hak_stats *s)
{
	struct hk_large_counters *from = &hk_large_counters;

	s->mid_blocks = load(&from->mid_live);
	s->mid_bytes = load(&from->mid_bytes);
	s->large_blocks = load(&from->live);
	s->large_bytes = load(&from->bytes);
	s->kept_blocks = load(&hk_range_counters.free);
	s->kept_bytes = load(&hk_range_counters.bytes);
}

void hk_snapshot_take(struct hk_snapshot *s)
{
	const struct hk_cache *cache;

	memset(s, 0, sizeof *s);
	hk_start();
	s->version = PACKAGE_VERSION;
	/* All figures are 0 if a signal handler has interrupted the heap in this thread, or keeps
	 * another one inside it. */
	if (hk_inside() || atomic_load_explicit(&hk_heap_closed, memory_order_relaxed) ||
	    !hk_lock_everything())
		return;
	for (cache = hk_caches; cache; cache = cache->next_registered)
		add_cache(s, cache);
	add_pool(s);
	add_large(&s->all);
	while (hk_learn_decision(s->decisions, &s->decision[s->decisions]))
		s->decisions++;
	s->all.metadata = load(&hk_meta_bytes) + load(&hk_pagemap_bytes);
	s->all.mapped = load(&hk_os_mapped);
	s->all.mapped_peak = load(&hk_os_mapped_peak);
	hk_unlock_everything();
	s->pid = hk_os_process_id();
	s->history = hk_settings.stats;
	hk_snapshot_add_up(s);
}

struct with {
	hk_snapshot_use *use;
	void *argument;
};

_Static_assert(sizeof(struct hk_snapshot) <= HK_SCRATCH, "a snapshot fits");

static void take_and_use(void *memory, void *argument)
{
	const struct with *with = argument;
	struct hk_snapshot *s = memory;

	hk_snapshot_take(s);
	with->use(s, with->argument);
}

void hk_snapshot_with(hk_snapshot_use *use, void *argument)
{
	struct with with = { use, argument };

	hk_os_with_scratch(take_and_use, &with);
}
