/*
 * Lists that ran over, set aside whole. A program that drops many blocks and
 * soon takes as many again, a tree after a tree, a request after a request,
 * gets them back as they are; to put each into its slab and take it out again
 * would cost more than all else.
 *
 * What is set aside keeps slabs from being empty, so there is little of it:
 * the threads together have at most three quarters of the memory of the slabs, and a
 * chain is put back when its class was idle for a while or another class
 * needs a slab.
 */
#include "cache/internal.h"

#include "config/settings.h"
#include "pool/pool.h"

/*
 * A chain that is not wanted again was set aside for nothing, and its blocks
 * are out of the processor's caches by then, which makes it dear to put back.
 * So each chain is a debt until it is wanted, and pays for another one then:
 * classes whose chains come back double what they may set aside, others are
 * soon at an end. A refill from slabs forgives one unit, so that a program that
 * takes again what it dropped gets another try, once in 256 refills.
 */
static size_t most_bytes(void)
{
	size_t heap = atomic_load_explicit(&hk_pool_counters.superslabs, memory_order_relaxed)
		      << HK_SUPERSLAB_SHIFT;

	/* None before the first thread's count. */
	unsigned threads = atomic_load_explicit(&hk_threads, memory_order_relaxed);

	return threads && !hk_pool_scarce() ? heap / HK_SPILL_OF * HK_SPILL_PARTS / threads : 0;
}

/* Not where the settings ask for little, nor where something is learned: from the
 * refills and flushes that this would hide; and not for Mid. */
static bool allowed(unsigned class)
{
	return hk_class_size(class) <= HK_TINY_MAX && hk_settings.superslab_reuse && !hk_settings.alloc_learn &&
	       !hk_settings.mem_learn && hk_settings.cache_capacity[hk_class_group(class)] >= HK_SPILL_CAPACITY;
}

/* A free place for a chain, or 0. */
static uint16_t place(struct hk_cache *cache)
{
	uint16_t at = cache->spare_chain;

	if (at)
		cache->spare_chain = cache->chain[at].next;
	else if (cache->used_chains < HK_CHAINS - 1)
		at = ++cache->used_chains;
	return at;
}

void hk_spill(struct hk_cache *cache, struct hk_bin *bin)
{
	unsigned class = (unsigned)(bin - cache->bin);
	struct hk_spilled *spilled = &cache->spilled[class];
	int32_t keep = hk_list_keep(bin->capacity), count = bin->capacity - bin->room - keep;
	size_t bytes = (size_t)count * hk_class_size(class);
	uint16_t at;

	if (!allowed(class) || !hk_cache_private(cache) || count < HK_SPILL_LEAST || spilled->debt >= HK_SPILL_DEBT ||
	    cache->spilled_bytes + bytes > most_bytes() || !(at = place(cache))) {
		hk_flush(cache, bin, keep);
		return;
	}
	spilled->debt += HK_SPILL_UNIT;
	cache->chain[at] = (struct hk_chain){ hk_list_cut(bin, keep), count, spilled->top };
	bin->room += count;
	cache->spilled_bytes += bytes;
	spilled->top = at;
	spilled->blocks += (uint32_t)count;
	spilled->moves++;
	if (cache->spilled_bytes > HK_SPARSE_WAITING)
		hk_sparse_tell();
}

static struct hk_chain take(struct hk_cache *cache, unsigned class)
{
	struct hk_spilled *spilled = &cache->spilled[class];
	struct hk_chain *chain = &cache->chain[spilled->top], taken = *chain;

	chain->next = cache->spare_chain;
	cache->spare_chain = spilled->top;
	spilled->top = taken.next;
	spilled->blocks -= (uint32_t)taken.count;
	cache->spilled_bytes -= (size_t)taken.count * hk_class_size(class);
	return taken;
}

bool hk_unspill(struct hk_cache *cache, struct hk_bin *bin)
{
	struct hk_spilled *spilled = &cache->spilled[bin - cache->bin];
	struct hk_chain chain;

	while (cache->spilled_bytes && spilled->top) {
		chain = take(cache, (unsigned)(bin - cache->bin));
		/* The capacity may have shrunk since. */
		if (hk_likely(chain.count <= bin->room)) {
			spilled->moves++;
			spilled->debt -= 2 * HK_SPILL_UNIT;
			if (spilled->debt < -HK_SPILL_UNIT * HK_CHAINS)
				spilled->debt = -HK_SPILL_UNIT * HK_CHAINS;
			bin->head = chain.head;
			bin->room -= chain.count;
			return true;
		}
		hk_put_chain(cache, bin, chain.head);
	}
	return false;
}

unsigned hk_drain(struct hk_cache *cache, unsigned class, unsigned chains)
{
	for (; chains && cache->spilled_bytes && cache->spilled[class].top; chains--)
		hk_put_chain(cache, &cache->bin[class], take(cache, class).head);
	return chains;
}

void hk_drain_all(struct hk_cache *cache)
{
	unsigned class;

	for (class = 0; cache->spilled_bytes; class++)
		hk_drain(cache, class, HK_CHAINS);
}

/* Twice a slab, of one class after the other: what others set aside is back
 * before this one has grown by as much. */
void hk_drain_some(struct hk_cache *cache)
{
	size_t before = cache->spilled_bytes;

	while (cache->spilled_bytes && before - cache->spilled_bytes < HK_DRAIN_SLOTS * HK_SLOT_SIZE) {
		cache->drained = (cache->drained + 1) % HK_CLASSES;
		hk_drain(cache, cache->drained, 1);
	}
}
