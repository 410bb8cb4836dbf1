/* Declarations shared by the files of cache/, from the bottom to the top: a file calls only
 * those listed before it. The exception is that thread.c and fork.c call each other. */
#ifndef HK_CACHE_INTERNAL_H
#define HK_CACHE_INTERNAL_H

#include "cache/cache.h"
#include "debug/ring.h"
#include "slab/pagemap.h"

/*
 * enter.c
 */

/* The registry lock protects hk_caches, the caches without a thread, and the start of the
 * process; the orphan lock protects the lists of hk_orphan. */
extern struct hk_lock hk_registry_lock HK_HIDDEN;
extern struct hk_lock hk_orphan_lock HK_HIDDEN;

/* The caches that have a thread, linked by among_live; registry lock. */
extern struct hk_list hk_live_caches;

/* The cache of a link among_live, or NULL. */
HK_INLINE struct hk_cache *hk_live_cache(struct hk_link *link)
{
	return link ? hk_holder(link, struct hk_cache, among_live) : NULL;
}

/* Enters and locks a cache, which may be another thread's; false: not possible now. */
bool hk_enter_cache(struct hk_cache *cache);
/* Enters this thread's cache if it has one, otherwise the shared one; NULL: not possible
 * now. */
struct hk_cache *hk_enter_own(void);

/* Leaves the caches that this thread is in, because a SIGABRT handler may allocate or
 * fork. */
void hk_leave_to_abort(void);

/* The cache of this thread, inside or not; NULL: none. */
struct hk_cache *hk_own_cache(void);

/* Registry lock held. hk_spare_cache returns a cache without a thread, or NULL. hk_enlist
 * and hk_unlist_live add a cache to those with a thread and remove it; fresh: it is new. */
struct hk_cache *hk_spare_cache(void);
void hk_enlist(struct hk_cache *cache, bool fresh);
void hk_unlist_live(struct hk_cache *cache);
/* No lock held: the cache has no thread any more. */
void hk_retire(struct hk_cache *cache);

/*
 * abort.c, check.c
 */

/* Aborts the program: p was found in a list of free blocks, but is not one. */
_Noreturn void hk_bad_link(const void *p);
/* The slab of a block that was found in a list of free blocks. Aborts the program if the
 * block is in no slab or has no mark. */
struct hk_slab *hk_slab_of_freed(const struct hk_block *block);

/*
 * growth.c; lock held.
 */

/* The lists of this cache are about to hold more bytes. False: they must not. */
bool hk_growth_take(struct hk_cache *cache, size_t bytes);
/* They hold less again. */
void hk_growth_give(struct hk_cache *cache, size_t bytes);
/* Should this cache keep no empty slab, because all lists hold much or it is emptying them? */
bool hk_keeps_no_slab(const struct hk_cache *cache);

/* Counts an overflow of a list. True: the thread only frees, and must empty the list. */
bool hk_count_overflow(struct hk_cache *cache);
void hk_stop_emptying(struct hk_cache *cache);

/* For a thread that allocates again. */
HK_INLINE void hk_end_overflows(struct hk_cache *cache)
{
	cache->overflows = 0;
	if (hk_unlikely(cache->emptying))
		hk_stop_emptying(cache);
}

/*
 * bin.c; lock held.
 */

/* Takes the first block of a list, or NULL. Aborts the program if it is not a free block. */
void *hk_bin_take(struct hk_bin *bin);

/* Lists a slab that the cache now owns; moves it between the lists when its last block is
 * taken, or when it has blocks again. */
void hk_own_slab(struct hk_cache *cache, struct hk_slab *slab);
void hk_slab_exhausts(struct hk_cache *cache, struct hk_slab *slab);
void hk_slab_moves(struct hk_cache *cache, struct hk_slab *slab);

/* Returns the empty slabs of a class to the pool. */
void hk_bin_release_empty(struct hk_bin *bin);

HK_INLINE void hk_sparse_tell(void)
{
	if (!atomic_load_explicit(&hk_sparse_waits, memory_order_relaxed))
		atomic_store_explicit(&hk_sparse_waits, true, memory_order_relaxed);
}

/* Updates the lists of sparse slabs after blocks were put into an owned slab, or were
 * taken from it. */
void hk_sparse_freed(struct hk_cache *cache, struct hk_slab *slab, unsigned blocks);
void hk_sparse_wanted(struct hk_cache *cache, struct hk_slab *slab, unsigned blocks);
/* In eager mode: do sparse slabs hold more free memory than may wait? */
bool hk_sparse_excess(const struct hk_cache *cache);

/* Cuts a list after `keep` blocks; returns the rest. */
struct hk_block *hk_list_cut(struct hk_bin *bin, int32_t keep);
/* Keeps the `keep` hottest blocks and puts the others into their slabs. */
void hk_flush(struct hk_cache *cache, struct hk_bin *bin, int32_t keep);
/* Puts the blocks of a chain into their slabs; returns how many. hk_put_chain counts a flush;
 * the chain of hk_put_all has a block. */
unsigned hk_put_all(struct hk_cache *cache, struct hk_bin *bin, struct hk_block *chain);
int32_t hk_put_chain(struct hk_cache *cache, struct hk_bin *bin, struct hk_block *chain);
/* Puts a freed block into its slab, which this cache owns. Aborts the program if the block
 * is there already. hk_put_back also moves the slab to another list if necessary. */
void hk_put_block(struct hk_slab *slab, void *block);
void hk_put_back(struct hk_cache *cache, struct hk_slab *slab, void *block);

/*
 * refused.c; no lock held.
 */

HK_INLINE size_t hk_limit_refused(void)
{
	return atomic_load_explicit(&hk_os_refused, memory_order_relaxed);
}

/* The callback was called, and must not be called again before enough memory is freed, which
 * hk_limit_look checks. */
extern _Atomic bool hk_limit_told;
void hk_limit_look(void);

/* A request for so many bytes failed, even after free memory was released. refused: the number
 * at its start. True: the limit was the reason, and the callback was called. */
bool hk_limit_tell(size_t refused, size_t size);
/* In the child of a fork. */
void hk_limit_forked(void);

/*
 * limits.c
 */

/* Computes hk_start_limits from the settings, and hk_tiny_class. */
void hk_limits_find(void);
/* The classes of sizes up to HK_TINY_MAX, by the number of grains. */
extern uint8_t hk_tiny_class[HK_TINY_MAX / HK_GRAIN + 1] HK_HIDDEN;
/* Resets a cache, or only its lists, which are empty, to the start limits. */
void hk_cache_limit(struct hk_cache *cache);
void hk_lists_restart(struct hk_cache *cache);
/* Doubles the capacity. False: the limit of the list or of all lists is reached. */
bool hk_bin_grow(struct hk_cache *cache, struct hk_bin *bin);
/* Lowers the capacity of an empty list to its initial value. */
void hk_bin_shorten(struct hk_cache *cache, struct hk_bin *bin);
/* The same for a thread that only frees. */
void hk_bin_empty(struct hk_cache *cache, struct hk_bin *bin);

/* Counts a refill, for statistics and learning. The batch starts small and doubles, so that a
 * program which uses few blocks of a class has few idle ones. */
HK_INLINE void hk_count_refill(struct hk_cache *cache, struct hk_bin *bin, int32_t blocks)
{
	bin->refills++;
	cache->window_left -= blocks;
	bin->batch = bin->batch * 2 < bin->batch_max ? bin->batch * 2 : bin->batch_max;
}

/*
 * shown.c: the lists of malloc while the sampler is on
 */

/* The owner, no lock held: would hk_show find few blocks, although no sample is near? */
bool hk_shows_few(struct hk_cache *cache, unsigned class);
/* The owner, no lock held: counts blocks of the class and moves them to the list of malloc. False:
 * the list of free is empty, or the next block is to be sampled. */
bool hk_show(struct hk_cache *cache, unsigned class);
/* The owner, lock held: moves the blocks that malloc did not take back to the list of free, which
 * may then exceed its capacity. */
void hk_hide(struct hk_cache *cache, unsigned class);
/* Empties these lists: the slabs of the cache are given up, or were lost in a fork. */
void hk_shown_forget(struct hk_cache *cache);
/* Called before the hot path of the cache is led to these lists. */
void hk_shown_start(struct hk_cache *cache);

/*
 * spill.c; lock held. Only the owner calls the first two.
 */

/* Sets aside or flushes a list, except for hk_list_keep blocks. */
void hk_spill(struct hk_cache *cache, struct hk_bin *bin);
/* Refills an empty list with the chain that was set aside last. False: there is none. */
bool hk_unspill(struct hk_cache *cache, struct hk_bin *bin);
/* Put chains into their slabs. hk_drain puts back at most `chains` of the class, and
 * returns how many more were allowed. */
unsigned hk_drain(struct hk_cache *cache, unsigned class, unsigned chains);
void hk_drain_all(struct hk_cache *cache);
void hk_drain_some(struct hk_cache *cache);

/*
 * remote.c
 */

/*
 * The thread that receives a chain has a cache miss at each block, because another
 * processor used it last, and learns the address of the next block only after the miss. So
 * a block that has room in the same cache line also stores the address of the block that
 * comes HK_AHEAD later (jump pointers: Roth & Sohi, ISCA 1999). That address is a hint: it
 * is prefetched and never dereferenced.
 */
HK_INLINE struct hk_block **hk_hint(struct hk_block *block, const struct hk_slab *slab)
{
	struct hk_block **place = (struct hk_block **)(block + 1);

	return slab->size >= 2 * sizeof *block && (uintptr_t)place % 64 ? place : NULL;
}

HK_INLINE uintptr_t hk_batch_key(const struct hk_cache *owner, const struct hk_slab *slab)
{
	return owner ? (uintptr_t)owner : (uintptr_t)slab;
}

HK_INLINE struct hk_batch *hk_batch_for(struct hk_cache *cache, uintptr_t key)
{
	struct hk_batch *batch = &cache->batch[(uint32_t)(key / 64) * 0x9e3779b1u >> (32 - HK_BATCH_BITS)];

	/* Without this, compilers compute the address again for each field. */
	__asm__("" : "+r"(batch));
	return batch;
}

/* The batch has room. */
HK_INLINE void hk_batch_add(struct hk_batch *batch, const struct hk_slab *slab, struct hk_block *block)
{
	struct hk_block **last = &batch->last[batch->count % HK_AHEAD], **hint = hk_hint(block, slab);
	int32_t size = (int32_t)slab->size, least = HK_BATCH_BYTES / HK_BATCH_BLOCKS;
	uint64_t mark = hk_mark(block, hk_secret());

	block->mark = mark;
	block->link = (uintptr_t)batch->head ^ (uintptr_t)mark;
	batch->head = block;
	if (hint)
		*hint = *last;
	*last = block;
	batch->count++;
	batch->bytes += (unsigned)size;
	batch->room -= size > least ? size : least;
}

/* May this thread free p without the lock, as a valid block of a slab of another owner? */
HK_INLINE bool hk_is_remote(const struct hk_cache *cache, const struct hk_cache *owner,
			    const struct hk_slab *slab, const void *p)
{
	return hk_likely(hk_has_lists(cache)) && owner != cache &&
	       (uintptr_t)p - slab->base < slab->slots * HK_SLOT_SIZE && hk_slab_valid_hot(slab, p) &&
	       !hk_marked(p) && !hk_trace_on();
}

/*
 * Frees p without the lock if it is a valid block of another thread, for which there is a
 * batch with room. Returns the batch, which must be sent if it has no room left, or NULL:
 * nothing was done.
 */
HK_INLINE struct hk_batch *hk_remote_append(struct hk_cache *cache, void *p)
{
	struct hk_slab *slab = hk_slab_guess(p);
	struct hk_cache *owner = atomic_load_explicit(&slab->owner, memory_order_relaxed);
	uintptr_t key = hk_batch_key(owner, slab);
	struct hk_batch *batch = hk_batch_for(cache, key);

	if (!hk_is_remote(cache, owner, slab, p) || batch->key != key || batch->room <= 0)
		return NULL;
	hk_batch_add(batch, slab, p);
	return batch;
}

/* The same if there is no such batch: starts one, unless a slab has to be adopted first. */
struct hk_batch *hk_remote_begin(struct hk_cache *cache, void *p);
/* Sends a batch if its owner lives; no lock held. */
bool hk_remote_send(struct hk_cache *cache, struct hk_batch *batch);
/* Lock held: frees any valid block of another thread. */
void hk_remote_free(struct hk_cache *cache, struct hk_slab *slab, void *block);
void hk_deliver_all(struct hk_cache *cache);
/* A hint if the lock is not held. */
bool hk_has_mail(const struct hk_cache *cache);
/* Empties the mailbox and the inbox. by: the cache of the calling thread if it is not the
 * owner, otherwise the same cache. Both are locked. */
void hk_receive(struct hk_cache *cache, struct hk_cache *by);
/* The owner, which needs blocks in the list: stops once that has a batch. */
void hk_receive_wanted(struct hk_cache *cache, struct hk_bin *bin);
void hk_mailbox_close(struct hk_cache *cache);

/*
 * sparse.c
 */

/* Lock held. Begins to purge the next slab that is due; purge->pages is 0 if slabs were
 * examined and none is worth a purge. False: no slab is due. */
bool hk_sparse_begin(struct hk_cache *cache, uint64_t now, struct hk_slab_purge *purge);
/* Makes every slab due that has a free page. */
void hk_sparse_all(struct hk_cache *cache);
/* No lock held. Completes the purge; returns the bytes that were released. */
size_t hk_sparse_purge(struct hk_slab_purge *purge);

/*
 * refill.c; lock held.
 */

/* Refills an empty list from a slab. False: no slab has a block. If fresh is false, only
 * memory that was in use before is considered. If zero is not NULL, *zero tells whether all
 * blocks read as zero, except for their mark and link. */
bool hk_refill(struct hk_cache *cache, struct hk_bin *bin, bool fresh, bool *zero);
/* Adds a new run to a class as a slab. */
void hk_add_slab(struct hk_cache *cache, unsigned class, const struct hk_run *run);

/*
 * reclaim.c
 */

/* Lock held: climbs the rungs of this cache and adds the reason to cache->due, for
 * hk_reclaim_rest. */
void hk_reclaim_held(struct hk_cache *cache, enum hk_reclaim_reason reason);
/* No lock held: climbs the other rungs for these reasons, a bit for each. */
void hk_reclaim_rest(unsigned reasons);

/* The size of the heap, in slots, from which on the mailboxes of other threads are emptied
 * again; relaxed. */
extern _Atomic size_t hk_mail_slots;

struct hk_range;
size_t hk_unmap_ranges(struct hk_range *ranges);
/* Lock held: gives up all slabs of a cache, whose lists are empty. */
void hk_abandon_slabs(struct hk_cache *cache);

/*
 * fork.c. hk_fork_unseen is for a child that ran no fork handlers.
 */
void hk_fork_watch(void);
void hk_fork_unseen(void);
/* Caches of the parent's threads that this child has not adopted yet; relaxed. */
extern _Atomic unsigned hk_lost_caches;

/* cache_walk.c; called by the owner with the lock held: aborts the program if an invariant
 * of the class's bin does not hold. */
void hk_cache_walk(const struct hk_cache *cache, unsigned class);

#endif
