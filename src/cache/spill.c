/*
 * When a list overflows, most of it is set aside as one chain. Some programs free many
 * blocks and soon allocate as many again, for example one tree after another or one request
 * after another. They get the whole chain back, which is much cheaper than to put each block
 * into its slab and to take it out again.
 *
 * Chains keep slabs from becoming empty, so the memory of all threads' chains is bounded by a
 * share of the memory of the slabs (HK_SPILL_OF). A chain is put into its slabs when its class
 * has been idle for a while or when another class needs a slab.
 */
#include "cache/internal.h"

#include "config/settings.h"
#include "pool/pool.h"

static size_t most_bytes(void)
{
	/* The count is 0 until the first thread is counted. */
	unsigned threads = atomic_load_explicit(&hk_threads, memory_order_relaxed);

	return threads && !hk_pool_scarce() ? hk_pool_mapped() / HK_SPILL_OF * HK_SPILL_PARTS / threads : 0;
}

/* Not for Mid, not if the settings ask for little memory, and not if learning is on: it
 * counts the refills and flushes that a chain avoids. */
static bool allowed(unsigned class)
{
	return hk_class_size(class) <= HK_TINY_MAX && hk_settings.superslab_reuse && !hk_settings.alloc_learn &&
	       !hk_settings.mem_learn && hk_settings.cache_capacity[hk_class_group(class)] >= HK_SPILL_CAPACITY;
}

/* Are the newest blocks in no order, so that most links lead to another slab? */
static bool is_scattered(const struct hk_bin *bin, int32_t links)
{
	const struct hk_block *block = bin->head;
	int32_t i, away = 0;

	for (i = 0; i < links && hk_marked(block); i++) {
		const struct hk_block *next = hk_next(block);

		away += ((uintptr_t)block ^ (uintptr_t)next) >> HK_SLOT_SHIFT != 0;
		block = next;
	}
	return away > links / HK_SPILL_AWAY_OF * HK_SPILL_AWAY;
}

/*
 * A program that only allocates blocks of one class waits for each block of a scattered chain,
 * because malloc finds the address of the next block in the block itself. If the chains do not
 * fit in the processor's cache, it is faster to put the blocks into their slabs and to take
 * them out in the order of their addresses. If blocks of other classes are allocated in
 * between, they hide the wait.
 */
static bool prefers_slabs(struct hk_cache *cache, unsigned class, int32_t keep)
{
	bool again = cache->overflowed == class;

	cache->overflowed = (uint8_t)class;
	return again && cache->spilled[class].blocks * (size_t)hk_class_size(class) >= HK_SPILL_NEAR &&
	       is_scattered(&cache->bin[class], keep);
}

/* A free index in chain[], or 0. */
static uint16_t place(struct hk_cache *cache)
{
	uint16_t at = cache->spare_chain;

	if (at)
		cache->spare_chain = cache->chain[at].next;
	else if (cache->used_chains < HK_CHAINS - 1)
		at = ++cache->used_chains;
	return at;
}

/*
 * Setting a chain aside does not pay off if the program does not allocate its blocks again:
 * they have left the processor's caches by the time they are put into their slabs, which is
 * expensive then. So each chain that is set aside adds to the debt of its class, and each
 * chain that is used again pays twice as much. A class whose chains are not used soon reaches
 * the limit of its debt (HK_SPILL_DEBT). A refill from slabs pays a little, so that such a
 * class tries again from time to time.
 */
void hk_spill(struct hk_cache *cache, struct hk_bin *bin)
{
	unsigned class = (unsigned)(bin - cache->bin);
	struct hk_spilled *spilled = &cache->spilled[class];
	int32_t keep = hk_list_keep(bin->capacity), count = bin->capacity - bin->room - keep;
	size_t bytes = (size_t)count * hk_class_size(class);
	uint16_t at;

	if (!allowed(class) || !hk_cache_private(cache) || count < HK_SPILL_LEAST || spilled->debt >= HK_SPILL_DEBT ||
	    prefers_slabs(cache, class, keep) || cache->spilled_bytes + bytes > most_bytes() || !(at = place(cache))) {
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

/* Puts back two slots' worth of blocks, from one class after the other, so that the chains
 * of other classes are used up before this class has grown by the same amount. */
void hk_drain_some(struct hk_cache *cache)
{
	size_t before = cache->spilled_bytes;

	while (cache->spilled_bytes && before - cache->spilled_bytes < HK_DRAIN_SLOTS * HK_SLOT_SIZE) {
		cache->drained = (cache->drained + 1) % HK_CLASSES;
		hk_drain(cache, cache->drained, 1);
	}
}
