/* Blocks from slabs into a TLS SLL. */
#include "cache/internal.h"

#include "config/settings.h"
#include "debug/ring.h"
#include "os/os.h"
#include "pool/pool.h"

/*
 * A class that takes fresh slabs one after the other fills this one too: its
 * pages come with one call for less than each by a fault of its own. Not where
 * a block is larger than a page, all of which the program may never touch.
 */
static void touch(struct hk_cache *cache, struct hk_slab *slab)
{
	if (!slab->fresh)
		return;
	slab->fresh = false;
	if (cache->fresh[slab->class] < HK_FRESH_SLABS) {
		cache->fresh[slab->class]++;
	} else if (slab->size <= hk_page_size) {
		cache->touch_at = slab->base;
		cache->touch_size = slab->slots * HK_SLOT_SIZE;
		slab->dirty_tail = true;
	}
}

/*
 * A list that saw neither refill nor flush for a while holds blocks for
 * nothing, and each may keep a slab from being empty.
 */
static void sweep(struct hk_cache *cache, uint64_t now, bool owner)
{
	unsigned class, drain = owner ? HK_DRAIN_CHAINS : HK_CHAINS;

	cache->swept_at = now;
	for (class = 0; class < HK_CLASSES; class++) {
		struct hk_bin *bin = &cache->bin[class];
		const struct hk_spilled *spilled = &cache->spilled[class];

		if (cache->swept[class] == bin->refills + bin->flushes + spilled->moves) {
			cache->fresh[class] = 0;
			drain = hk_drain(cache, class, drain);
			if (owner && bin->head != HK_LIST_END) {
				hk_flush(cache, bin, 0);
				hk_bin_shorten(cache, bin);
			}
			hk_bin_release_empty(bin);
		}
		cache->swept[class] = bin->refills + bin->flushes + spilled->moves;
	}
}

void hk_tick(struct hk_cache *cache)
{
	uint64_t now;

	if (++cache->ticks % HK_TICK_CALLS != 0)
		return;
	now = hk_os_now();
	hk_deliver_all(cache);
	if (now - cache->swept_at >= HK_IDLE_MS)
		sweep(cache, now, true);
	cache->tick = true;
}

void hk_sweep_idle(struct hk_cache *cache, uint64_t now)
{
	if (now - cache->swept_at >= HK_IDLE_MS)
		sweep(cache, now, false);
}

/*
 * Before the heap takes more of the OS than a sixteenth beyond what it had at
 * the last sweep: what idles here may do instead. So the cost of sweeps stays
 * small against that of the new pages.
 */
static void sweep_to_grow(struct hk_cache *cache)
{
	size_t touched = hk_pool_touched();

	cache->sweep_slots = touched + touched / HK_GROW_SHARE + HK_GROW_SLOTS;
	cache->grew = true;
	sweep(cache, hk_os_now(), true);
}

/* An adopted slab may turn out full: its blocks are still in use. */
static struct hk_slab *available(struct hk_cache *cache, struct hk_bin *bin)
{
	unsigned class = (unsigned)(bin - cache->bin);

	if (!bin->avail.first)
		hk_drain_some(cache);
	while (!bin->avail.first) {
		bool fresh = hk_pool_touched() < cache->sweep_slots;
		struct hk_slab *slab = hk_pool_acquire(class, cache, fresh);

		if (!slab && !fresh) {
			sweep_to_grow(cache);
			slab = hk_pool_acquire(class, cache, true);
		}
		if (!slab)
			return NULL;
		hk_own_slab(cache, slab);
		touch(cache, slab);
	}
	return hk_slab_listed(bin->avail.first);
}

void hk_add_slab(struct hk_cache *cache, unsigned class, const struct hk_run *run)
{
	struct hk_slab *slab = hk_pool_slab(run, class, cache);

	hk_own_slab(cache, slab);
	touch(cache, slab);
}

/*
 * The batch doubles from a small start: a program with few blocks of a class
 * has few of them lying idle.
 */
void *hk_refill(struct hk_cache *cache, unsigned class, bool *zero)
{
	struct hk_bin *bin = &cache->bin[class];
	struct hk_block *chain;
	struct hk_slab *slab;
	unsigned carved;
	int32_t got;

	if (cache->inbox || atomic_load_explicit(&cache->mailbox, memory_order_relaxed))
		hk_receive(cache, cache, bin);
	hk_tick(cache);
	if (bin->head == HK_LIST_END && !hk_unspill(cache, bin)) {
		slab = available(cache, bin);
		if (!slab)
			return NULL;
		carved = slab->carved;
		got = (int32_t)hk_slab_take(slab, (unsigned)bin->batch, &chain);
		/* Carved only if there was no other: the first is a new one. */
		if (zero)
			*zero = slab->zero && slab->carved != carved;
		hk_sparse_wanted(cache, slab);
		hk_slab_exhausts(cache, slab);
		bin->head = chain;
		bin->room -= got;
		bin->refills++;
		if (cache->used_chains)
			cache->spilled[class].debt -= cache->spilled[class].debt > 0;
		cache->window_left -= got;
		if (hk_settings.stats)
			cache->filled[class] += (size_t)got;
		hk_event(HK_EVENT_REFILL, slab->size, chain, (size_t)got);
		bin->batch = bin->batch * 2 < bin->batch_max ? bin->batch * 2 : bin->batch_max;
	}
	return hk_bin_take(bin);
}

