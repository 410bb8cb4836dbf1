/*
 * Purges of sparse slabs, which turn free pages into holes. A slab that became sparse waits
 * for one to two periods. If a refill uses it meanwhile, the program needs its free blocks,
 * and the wait starts again. After the wait the slab is purged, a few slabs at a time, so
 * that the work is proportional to the memory that is released.
 */
#include "cache/internal.h"

#include "config/settings.h"
#include "debug/ring.h"
#include "os/os.h"
#include "pool/eager.h"
#include "pool/pool.h"
#include "range/decay.h"

/*
 * Every free into a slab with holes takes a slow path until they are in use again. So a slab
 * is purged only if much of it is free, or less if the settings prefer memory to speed.
 */
static size_t least(const struct hk_slab *slab)
{
	bool memory_first = hk_settings.mem_learn || !hk_settings.superslab_reuse;

	if (hk_is_eager() && hk_eager_thorough())
		return 1;

	return slab->slots * HK_SLOT_SIZE / (memory_first ? HK_HOLES_SHARE_MEMORY : HK_HOLES_SHARE);
}

/* After a slab had no free page, more frees are needed before it can have one. So its pages
 * are examined again only after a part of its used blocks was freed (HK_LOOK_OF). False: not
 * yet. */
static bool note_look(struct hk_slab *slab)
{
	if (slab->looked_at && slab->used * (unsigned)HK_LOOK_OF > slab->looked_at * (unsigned)HK_LOOK_USED)
		return false;
	slab->looked_at = slab->used;
	return true;
}

bool hk_sparse_begin(struct hk_cache *cache, uint64_t now, struct hk_slab_purge *purge)
{
	struct hk_slab *slab;
	unsigned n;

	if (!cache->sparse_due.first && (hk_elapsed(now, cache->sparse_since, hk_decay_period()) || hk_sparse_excess(cache))) {
		hk_list_move(&cache->sparse_due, &cache->sparse_old);
		hk_list_move(&cache->sparse_old, &cache->sparse_new);
		cache->sparse_since = now;
		cache->sparse_listed = 0;
		cache->sparse_bytes = 0;
		cache->sparse_least = 0;
	}
	purge->pages = 0;
	for (n = 0; n < HK_SPARSE_LOOKS && cache->sparse_due.first; n++) {
		slab = hk_holder(cache->sparse_due.first, struct hk_slab, sparse);
		hk_list_remove(&slab->sparse);
		if (!cache->sparse_least && !note_look(slab))
			continue;
		if (!hk_slab_purge_begin(slab, cache->sparse_least ? cache->sparse_least : least(slab),
					 purge))
			continue;
		hk_slab_exhausts(cache, slab);
		return true;
	}
	return n != 0;
}

void hk_sparse_all(struct hk_cache *cache)
{
	struct hk_slab *slab;
	unsigned class;

	for (class = 0; class < HK_CLASSES; class++)
		for (slab = hk_slab_listed(cache->bin[class].avail.first); slab; slab = hk_slab_after(slab)) {
			hk_list_remove(&slab->sparse);
			hk_list_push(&cache->sparse_due, &slab->sparse);
		}
	cache->sparse_least = 1;
}

static size_t end(struct hk_slab_purge *p)
{
	struct hk_slab *slab = p->slab;
	size_t bytes = hk_slab_purge_end(p);

	if (bytes)
		hk_event(HK_EVENT_PURGE, slab->size, (void *)slab->base, bytes);
	if (hk_walk_on())
		hk_slab_walk(slab);
	return bytes;
}

static bool end_adopted(struct hk_slab_purge *p, size_t *bytes)
{
	if (!hk_pool_adopt(p->slab, &hk_orphan))
		return false;
	*bytes = end(p);
	if (p->slab->used == 0)
		hk_pool_return(p->slab);
	else
		hk_pool_abandon(p->slab);
	return true;
}

/* The owner may have ended during the purge, and another thread may own the slab now. */
static bool try_end(struct hk_slab_purge *p, size_t *bytes)
{
	struct hk_cache *owner = atomic_load(&p->slab->owner);
	bool done;

	if (!hk_enter_cache(owner ? owner : &hk_orphan))
		return false;
	if (!owner) {
		done = end_adopted(p, bytes);
		hk_leave(&hk_orphan);
		return done;
	}
	done = atomic_load(&p->slab->owner) == owner;
	if (done) {
		*bytes = end(p);
		/* It has no block if all purged pages lie after the last carved one. */
		if (!hk_slab_exhausted(p->slab) && (p->slab->listed_full || p->slab->used == 0))
			hk_slab_moves(owner, p->slab);
	}
	hk_leave(owner);
	return done;
}

size_t hk_sparse_purge(struct hk_slab_purge *p)
{
	size_t bytes = 0;
	unsigned n;

	if (!p->pages)
		return 0;
	/* Otherwise the kernel would make huge pages again and fill the holes. */
	hk_thp_break(p->slab->home);
	hk_slab_purge_pages(p);
	for (n = 0; n < HK_PURGE_TRIES && !try_end(p, &bytes); n++)
		;
	return bytes;
}
