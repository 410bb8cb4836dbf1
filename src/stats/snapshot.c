#include "stats/snapshot.h"

#include "cache/cache.h"
#include "large/large.h"
#include "pool/meta.h"

#include <string.h>

static size_t load(_Atomic size_t *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_cache(struct hk_snapshot *s, const struct hk_cache *cache)
{
	unsigned class;

	for (class = 0; class < HK_CLASSES; class++) {
		const struct hk_bin *bin = &cache->bin[class];
		/* The owner changes room without a lock: a glance is enough,
		 * and what it says is kept within what the slabs gave out. */
		int32_t cached = bin->capacity - *(const volatile int32_t *)&bin->room;

		s->class[class].cached += cached > 0 ? (size_t)cached : 0;
		s->class[class].refills += bin->refills;
		s->class[class].flushes += bin->flushes;
	}
	s->threads += cache->live;
	s->remote_sent += cache->remote_sent;
	s->remote_received += cache->remote_received;
}

static void add_superslab(struct hk_snapshot *s, struct hk_superslab *superslab)
{
	unsigned slot;

	for (slot = 0; slot < HK_SLOTS; slot++) {
		const struct hk_slab *slab = &superslab->slab[slot];

		if (slab->kind != HK_RUN_SLAB)
			continue;
		s->class[slab->class].used += slab->used;
		s->class[slab->class].slabs++;
	}
}

static void add_pool(struct hk_snapshot *s)
{
	struct hk_pool_counters *c = &hk_pool_counters;
	unsigned i;

	for (i = 0; i < hk_pool_directory_end(); i++) {
		struct hk_superslab *superslab = hk_pool_superslab(i);

		if (superslab->base)
			add_superslab(s, superslab);
	}
	for (i = 0; i < HK_CLASSES; i++) {
		s->class[i].reuse = load(&c->reuse[i]);
		s->class[i].claim = load(&c->claim[i]);
		s->class[i].grow = load(&c->grow[i]);
	}
	s->superslabs = load(&c->superslabs);
	s->superslabs_peak = load(&c->superslabs_peak);
	s->superslabs_mapped = load(&c->mapped);
	s->superslabs_unmapped = load(&c->unmapped);
	s->purged_bytes = load(&c->purged_bytes);
}

static void add_up(struct hk_snapshot *s)
{
	unsigned class;

	for (class = 0; class < HK_CLASSES; class++) {
		struct hk_class_figures *f = &s->class[class];
		size_t size = hk_class_size(class);

		if (f->cached > f->used)
			f->cached = f->used;
		f->used -= f->cached;
		s->in_use += f->used * size;
		s->cached += f->cached * size;
	}
	s->free_bytes = s->superslabs * HK_SUPERSLAB_SIZE - s->in_use - s->cached - s->mid_bytes;
	s->mapped = s->superslabs * HK_SUPERSLAB_SIZE + s->large_bytes + s->kept_bytes +
		    s->metadata;
}

void hk_snapshot_take(struct hk_snapshot *s)
{
	const struct hk_cache *cache;

	memset(s, 0, sizeof *s);
	hk_leave(hk_enter());
	hk_lock_everything();
	for (cache = hk_registered_caches(); cache; cache = cache->next_registered)
		add_cache(s, cache);
	add_pool(s);
	s->mid_blocks = load(&hk_large_counters.mid_live);
	s->mid_bytes = load(&hk_large_counters.mid_bytes);
	s->large_blocks = hk_large_counters.live;
	s->large_bytes = hk_large_counters.bytes;
	s->kept_blocks = hk_large_counters.cached;
	s->kept_bytes = hk_large_counters.cached_bytes;
	s->metadata = hk_meta_bytes();
	hk_unlock_everything();
	add_up(s);
}
