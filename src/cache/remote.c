/*
 * Remote frees: frees of blocks that another thread owns. They are collected in batches by
 * owner, and each batch is sent to the mailbox of the owner with one compare-and-swap. They
 * never enter the lists of the freeing thread (after the message passing of snmalloc,
 * Liétar et al., ISMM 2019).
 *
 * A slab without an owner is adopted while its blocks are put back. When a thread ends, it
 * gives up its slabs and then closes its mailbox. A sender that finds the mailbox closed
 * reads the owner of the slab again. A chain may still reach a cache whose new thread never
 * owned the slab; that thread forwards it.
 */
#include "cache/internal.h"

#include "debug/ring.h"
#include "pool/eager.h"
#include "pool/pool.h"
#include "slab/pagemap.h"

static bool post(struct hk_cache *owner, struct hk_block *head, struct hk_block *tail)
{
	struct hk_block *old = atomic_load_explicit(&owner->mailbox, memory_order_relaxed);

	do {
		if (old == HK_MAILBOX_CLOSED)
			return false;
		hk_set_next(tail, old);
	} while (!hk_swapped(atomic_compare_exchange_weak_explicit(&owner->mailbox, &old, head,
			memory_order_release, memory_order_relaxed)));
	return true;
}

/* Also clears the hint, so that a new block contains no address. */
static void follow_hint(struct hk_block *block, const struct hk_slab *slab)
{
	struct hk_block **hint = hk_hint(block, slab);

	if (hint) {
		__builtin_prefetch(*hint, 1);
		*hint = NULL;
	}
}

static void put_chain(struct hk_cache *cache, struct hk_slab *slab, struct hk_block *block,
		      bool adopted)
{
	struct hk_block *next;

	for (; block; block = next) {
		if (hk_slab_of_freed(block) != slab)
			hk_bad_link(block);
		next = hk_next(block);
		follow_hint(block, slab);
		if (adopted)
			hk_put_block(slab, block);
		else
			hk_put_back(cache, slab, block);
	}
}

static void put_adopted(struct hk_cache *cache, struct hk_slab *slab, struct hk_block *block)
{
	put_chain(cache, slab, block, true);
	if (slab->used == 0)
		hk_pool_return(slab);
	else
		hk_pool_abandon(slab);
}

/* Cache lock held. The chain ends at tail. */
static void deliver(struct hk_cache *cache, struct hk_slab *slab,
		    struct hk_block *head, struct hk_block *tail)
{
	for (;;) {
		struct hk_cache *owner = atomic_load(&slab->owner);

		/* A failed post leaves a wrong link in the tail. */
		hk_set_next(tail, NULL);
		if (owner == cache) {
			put_chain(cache, slab, head, false);
			return;
		}
		if (owner && post(owner, head, tail))
			return;
		if (!owner && hk_pool_adopt(slab, cache)) {
			hk_event(HK_EVENT_ADOPT, slab->size, (void *)slab->base,
				 slab->slots * HK_SLOT_SIZE);
			put_adopted(cache, slab, head);
			return;
		}
		/* The slab no longer exists, so the block had been freed before. */
		if (atomic_load(&slab->kind) != HK_RUN_SLAB)
			hk_already_free(HK_CALL_FREE, head, slab);
	}
}

/* Counts a sent batch; statistics read the count without a lock. */
static void sent(struct hk_cache *cache, struct hk_batch *batch)
{
	__atomic_store_n(&cache->remote_sent, cache->remote_sent + batch->count,
			 __ATOMIC_RELAXED);
	cache->sent_bytes += batch->bytes;
	if (cache->sent_bytes > HK_SPARSE_WAITING) {
		cache->sent_bytes = 0;
		hk_sparse_tell();
	}
	hk_event(HK_EVENT_SEND, batch->slab->size, batch->head, batch->count);
	batch->head = NULL;
	batch->room = 0;
	batch->count = 0;
}

static void deliver_each(struct hk_cache *cache, struct hk_block *block)
{
	struct hk_block *next;

	for (; block; block = next) {
		struct hk_slab *slab = hk_slab_of_freed(block);

		next = hk_next(block);
		deliver(cache, slab, block, block);
	}
}

/* If the owner has ended, the blocks are delivered one by one, because their slabs may
 * have different owners by now. */
static void deliver_batch(struct hk_cache *cache, struct hk_batch *batch)
{
	struct hk_block *head = batch->head;

	if (!head)
		return;
	sent(cache, batch);
	if (!batch->owner) {
		deliver(cache, batch->slab, head, batch->tail);
		return;
	}
	if (batch->owner != cache && post(batch->owner, head, batch->tail))
		return;
	/* A failed post leaves a wrong link in the tail. */
	hk_set_next(batch->tail, NULL);
	deliver_each(cache, head);
}

/* If another thread forks meanwhile, the chain may be lost in the child. */
bool hk_remote_send(struct hk_cache *cache, struct hk_batch *batch)
{
	if (!batch->head)
		return true;
	if (batch->owner && post(batch->owner, batch->head, batch->tail)) {
		sent(cache, batch);
		return true;
	}
	hk_set_next(batch->tail, NULL);
	return false;
}

void hk_deliver_all(struct hk_cache *cache)
{
	unsigned i;

	for (i = 0; cache->batched && i < HK_BATCHES; i++)
		deliver_batch(cache, &cache->batch[i]);
}

static void append(struct hk_cache *cache, struct hk_batch *batch, struct hk_slab *slab,
		   struct hk_cache *owner, struct hk_block *block)
{
	if (!batch->head) {
		cache->batched = true;
		batch->key = hk_batch_key(owner, slab);
		batch->owner = owner;
		batch->slab = slab;
		batch->tail = block;
		batch->bytes = 0;
		batch->room = HK_BATCH_BYTES;
	}
	hk_trace(HK_EVENT_REMOTE, block, 0, NULL);
	hk_batch_add(batch, slab, block);
}

struct hk_batch *hk_remote_begin(struct hk_cache *cache, void *p)
{
	struct hk_slab *slab = hk_slab_guess(p);
	struct hk_cache *owner = atomic_load_explicit(&slab->owner, memory_order_relaxed);
	struct hk_batch *batch;

	if (!hk_is_remote(cache, owner, slab, p))
		return NULL;
	batch = hk_batch_for(cache, hk_batch_key(owner, slab));
	if (!hk_remote_send(cache, batch))
		return NULL;
	append(cache, batch, slab, owner, p);
	return batch;
}

void hk_remote_free(struct hk_cache *cache, struct hk_slab *slab, void *block)
{
	struct hk_cache *owner = atomic_load_explicit(&slab->owner, memory_order_relaxed);
	uintptr_t key = hk_batch_key(owner, slab);
	struct hk_batch *batch = hk_batch_for(cache, key);

	if (batch->key != key || batch->room <= 0)
		deliver_batch(cache, batch);
	append(cache, batch, slab, owner, block);
	if (batch->room <= 0 || !hk_cache_private(cache))
		deliver_batch(cache, batch);
}

static void receive_one(struct hk_cache *cache, struct hk_cache *by, struct hk_slab *slab,
			struct hk_block *block)
{
	if (atomic_load_explicit(&slab->owner, memory_order_relaxed) != cache) {
		deliver(by, slab, block, block);
		return;
	}
	hk_trace(HK_EVENT_HOME, block, 0, NULL);
	follow_hint(block, slab);
	hk_put_back(cache, slab, block);
}

/* Other threads read it without the lock, to see whether there is mail. */
static void set_inbox(struct hk_cache *cache, struct hk_block *block)
{
	__atomic_store_n(&cache->inbox, block, __ATOMIC_RELAXED);
}

bool hk_has_mail(const struct hk_cache *cache)
{
	const struct hk_block *chain = atomic_load_explicit(&cache->mailbox, memory_order_relaxed);

	return __atomic_load_n(&cache->inbox, __ATOMIC_RELAXED) || (chain && chain != HK_MAILBOX_CLOSED);
}

/* The mailbox cannot be closed meanwhile, because that requires the cache lock. */
static bool fetch(struct hk_cache *cache)
{
	if (!hk_has_mail(cache))
		return false;
	if (!cache->inbox)
		set_inbox(cache, atomic_exchange_explicit(&cache->mailbox, NULL, memory_order_acquire));
	return true;
}

/* The list of this cache that the block belongs into, and its slab, or NULL: the block must be
 * examined. A slab that another cache owns has another bin. */
HK_INLINE struct hk_bin *bin_of(struct hk_cache *cache, const struct hk_block *block, struct hk_slab **slab)
{
	struct hk_slab *guess = *slab = hk_slab_guess(block);
	struct hk_bin *bin = atomic_load_explicit(&guess->bin, memory_order_relaxed);
	unsigned index;

	if ((uintptr_t)bin - (uintptr_t)cache->bin >= sizeof cache->bin || !hk_slab_locate(guess, block, &index) ||
	    hk_slab_bit(guess, index) || !hk_marked(block))
		return NULL;
	return bin;
}

/*
 * Takes the blocks at the front of the inbox that belong into this list, at most `most` of
 * them. They stay linked as they are, and the last one is linked to `rest`. Returns how many.
 */
HK_INLINE int32_t take_run(struct hk_cache *cache, const struct hk_bin *bin, int32_t most,
			   struct hk_block *rest)
{
	struct hk_block *block = cache->inbox, *last = NULL;
	struct hk_slab *slab;
	int32_t n;

	for (n = 0; n < most && block && bin_of(cache, block, &slab) == bin; n++) {
		follow_hint(block, slab);
		last = block;
		block = hk_next(block);
	}
	if (!last)
		return 0;
	hk_set_next(last, rest);
	set_inbox(cache, block);
	cache->remote_received += (size_t)n;
	return n;
}

/* Forwards a block whose slab has another owner by now, or puts it into its slab. */
static void receive_any(struct hk_cache *cache, struct hk_cache *by)
{
	struct hk_block *block = cache->inbox;
	struct hk_slab *slab = hk_slab_of_freed(block);

	set_inbox(cache, hk_next(block));
	receive_one(cache, by, slab, block);
	cache->remote_received++;
}

/* Puts blocks of one class into their slabs. If two threads have freed the same block, the
 * chain may be a circle, so a run is bounded: the next one begins at a block that is in its
 * slab already, which is an error. */
static bool puts_run(struct hk_cache *cache)
{
	struct hk_block *chain = cache->inbox;
	struct hk_slab *slab;
	struct hk_bin *bin = hk_trace_on() ? NULL : bin_of(cache, chain, &slab);

	if (!bin)
		return false;
	if (take_run(cache, bin, HK_RECEIVE_RUN, HK_LIST_END) == 1)
		hk_put_back(cache, slab, chain);
	else
		hk_put_all(cache, bin, chain);
	return true;
}

void hk_receive(struct hk_cache *cache, struct hk_cache *by)
{
	size_t before = cache->remote_received;
	const struct hk_block *first = cache->inbox;

	while (fetch(cache))
		if (!puts_run(cache))
			receive_any(cache, by);
	if (cache->remote_received != before)
		hk_event(HK_EVENT_RECEIVE, 0, first, cache->remote_received - before);
}

/* A class of which a thread receives blocks that it does not want now is in use, like one whose
 * list overflows. */
static bool has_room(struct hk_cache *cache, struct hk_bin *bin)
{
	return bin->room > 0 || (bin->capacity < bin->capacity_max && !hk_pool_scarce() && !hk_is_eager() &&
				 hk_bin_grow(cache, bin));
}

/* Puts the blocks at the front of the inbox into their lists, up to one of the list `wanted`, one
 * that has to be examined, or one whose list is full. False: there is none before that. */
static bool receive_into_lists(struct hk_cache *cache, const struct hk_bin *wanted)
{
	struct hk_block *block = cache->inbox, *next;
	struct hk_slab *slab;
	struct hk_bin *bin;
	size_t n;

	for (n = 0; block && (bin = bin_of(cache, block, &slab)) && bin != wanted && has_room(cache, bin); n++) {
		next = hk_next(block);
		follow_hint(block, slab);
		hk_bin_push(bin, block, block->mark);
		block = next;
	}
	if (!n)
		return false;
	set_inbox(cache, block);
	cache->remote_received += n;
	return true;
}

/* Blocks of the list, at most `most`, stay linked as the sender linked them. */
static bool receive_into(struct hk_cache *cache, struct hk_bin *bin, int32_t most)
{
	struct hk_block *chain = cache->inbox;
	int32_t n = take_run(cache, bin, most, bin->head);

	if (!n)
		return false;
	bin->head = chain;
	bin->room -= n;
	return true;
}

/* With the trace, all lists are empty. */
void hk_receive_wanted(struct hk_cache *cache, struct hk_bin *bin)
{
	size_t before = cache->remote_received;
	const struct hk_block *first = cache->inbox;
	bool trace = hk_trace_on();
	int32_t missing;

	while ((missing = bin->batch - (bin->capacity - bin->room)) > 0 && fetch(cache))
		if (trace || !(receive_into_lists(cache, bin) || receive_into(cache, bin, missing) || puts_run(cache)))
			receive_any(cache, cache);
	if (bin->head != HK_LIST_END)
		hk_count_refill(cache, bin, bin->capacity - bin->room);
	if (cache->remote_received != before)
		hk_event(HK_EVENT_RECEIVE, 0, first, cache->remote_received - before);
}

/* The thread ends and its slabs no longer have an owner. Blocks that arrived since the
 * mailbox was emptied are forwarded. */
void hk_mailbox_close(struct hk_cache *cache)
{
	struct hk_block *block = atomic_exchange_explicit(&cache->mailbox,
			HK_MAILBOX_CLOSED, memory_order_acq_rel);

	if (block != HK_MAILBOX_CLOSED)
		deliver_each(cache, block);
}
