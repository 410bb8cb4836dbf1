/*
 * The thread cache: one singly linked free list per size class (the TLS SLL), and the
 * state of its slow path.
 *
 *	malloc --pop--> SLL <--refill-- slabs the thread owns <-- Shared Pool
 *	free  --push--> SLL --flush---> slabs it owns
 *	                    \-spill---> chains set aside -> SLL or slabs
 *	                    \-remote--> batches by owner -> mailbox of the owner
 *
 * The TLS pointer of a new thread points to an empty static cache, in which every size
 * has an empty list and which owns no slab. So the first malloc or free of a thread
 * reaches the slow path through branches that the hot path has anyway.
 *
 * The hot path accesses only bin->head, bin->room and the blocks, and only the owner
 * runs it. Everything else needs the cache lock, which the owner takes for each
 * slow-path step. The lock is rarely contended: fork, trimming and statistics take the
 * locks of all caches so that no slab changes meanwhile. System calls that may take
 * long are made after the lock is released.
 *
 * A thread may be unable to enter its cache, because it is already inside (a signal
 * handler, a wrapped call) or because a fork in another thread takes long. The fallback
 * allocator serves it then (fallback.h).
 *
 * Caches are never freed; a later thread reuses the cache of an ended one.
 */
#ifndef HK_CACHE_CACHE_H
#define HK_CACHE_CACHE_H

#include "config/policy.h"
#include "os/lock.h"
#include "pool/pool.h"
#include "sample/sample.h"
#include "slab/slab.h"

#include <stddef.h>

/*
 * Invariants:
 *	room = capacity - length of the list at head
 *	capacity <= capacity_max, batch <= batch_max: both start small and
 *		double on use, so that a short-lived thread holds little; the
 *		limits themselves start at hk_start_limits and are changed by
 *		learn/
 *	avail lists the owned slabs that have a block to allocate, the fullest
 *		ones in front; full lists the other owned slabs
 */
struct hk_bin {
	struct hk_block *head;		/* hot */
	int32_t room;			/* hot */
	int32_t capacity, capacity_max;
	int32_t batch, batch_max;
	uint32_t refills_seen;		/* refills when it last grew or shrank; see slow.c */
	struct hk_list avail, full;
	size_t refills, flushes;	/* for statistics */
};

/*
 * The list from which malloc takes blocks of a class while the sampler is on; see shown.c. Only
 * head, room and capacity of the bin are used; head is NULL until the sampler is first turned on.
 */
struct hk_shown {
	struct hk_bin bin;
	struct hk_sampler sampler;	/* of the class */
	uint32_t wait;			/* calls until the slabs are asked for blocks again */
};

/* The cold end of a list that overflowed, set aside; see spill.c. */
struct hk_chain {
	struct hk_block *head;
	int32_t count;
	uint16_t next;			/* in chain[]; 0: none */
};

/* The chains that a class has set aside: blocks is the sum of their counts. */
struct hk_spilled {
	uint16_t top;			/* the newest; 0: none */
	uint32_t blocks;
	int32_t debt;			/* see spill.c */
	size_t moves;			/* chains set aside or taken back so far */
};

/*
 * Remotely freed blocks on their way to one owner: a chain, newest in front. If owner is
 * NULL, all blocks are from one slab, which had no owner. A slab may change its owner
 * before the batch arrives; a cache that receives a block of a slab that it does not own
 * forwards the block.
 */
struct hk_batch {
	uintptr_t key;			/* of owner, or of slab if that is NULL: hk_batch_key */
	int32_t room;			/* bytes until it is full; 0: it has no blocks */
	unsigned count, bytes;
	struct hk_block *head, *tail;
	struct hk_cache *owner;
	struct hk_slab *slab;		/* of the first block */
	struct hk_block *last[HK_AHEAD];	/* the last blocks appended, to this or
						 * an earlier batch */
};

/* The TLS pointers of a thread before it entered a cache. */
struct hk_before {
	struct hk_cache *tls, *cxx;
};

/* Not a chain: the mailbox of a cache without a thread. */
#define HK_MAILBOX_CLOSED ((struct hk_block *)16)

/*
 * The fields that the hot paths read before they find a list. A static cache, which has
 * no lists and owns no slabs, consists only of these.
 */
struct hk_front {
	struct hk_block *none;		/* HK_LIST_END: an empty list, for every size of
					 * a static cache, and of any cache if
					 * HAKMEM_HARDEN is set */
	uint64_t secret;		/* hk_secret(); unused in static caches */
	uint16_t bin_offset[HK_TINY_MAX / HK_GRAIN + 1];	/* HK_FOLDED_LOAD; see limits.c */
	_Atomic bool live;		/* changes under the registry lock (relaxed) */
} HK_ALIGNED(HK_CACHE_LINE);

/*
 * The fields that every thread uses come first and fit in a page. The arrays after them
 * stay untouched in a thread that neither sets chains aside nor frees blocks of other
 * threads. So for the cache of an ended thread, fork copies one page table entry.
 */
struct hk_cache {
	struct hk_front front;
	struct hk_bin bin[HK_CLASSES];

	struct hk_lock lock;
	struct hk_before before;
	size_t spilled_bytes;			/* 0: nothing is set aside */
	uint16_t spare_chain, used_chains;	/* used_chains is 0: no chain was ever set aside */
	bool batched;				/* batch[] was used */
	unsigned drained;			/* the class that was drained last */
	unsigned ticks;
	/* See growth.c. overflows: of lists, since the last refill. patience: doublings of
	 * HK_EMPTYING_AFTER. emptying: the thread empties its lists, since emptied_at (ms). */
	uint32_t overflows;
	uint8_t patience;
	bool emptying;
	uint64_t emptied_at;
	uint64_t swept_at;			/* ms */
	uint32_t swept[HK_CLASSES];		/* refills and flushes until then, modulo 2^32 */
	/* Owned slabs that became sparse in this period or in the previous one, and
	 * those that are due for a purge. */
	struct hk_list sparse_new, sparse_old, sparse_due;
	uint64_t sparse_since;			/* start of the period, ms */
	size_t sweep_slots;			/* size of the heap that triggers the next
						 * sweep */
	/* To be done once the lock is released: reclaim, a bit for each reason; examine
	 * SuperSlabs; pre-fault pages with one call. */
	uint16_t due;
	bool look;
	uintptr_t touch_at;
	size_t touch_size;
	uint8_t fresh[HK_CLASSES];		/* fresh slabs in a row, up to HK_FRESH_SLABS */
	unsigned sparse_listed;			/* slots in sparse_new, at most */
	size_t sparse_bytes;			/* freed into sparse slabs in this period and
						 * not taken again */
	size_t sparse_least;			/* bytes worth a purge; 0: as usual */
	size_t sent_bytes;			/* to other threads since hk_sparse_waits
						 * was last set */
	/* Blocks that may still move between lists and slabs before the learning window
	 * ends; INT64_MAX if learning is off. */
	int64_t window_left;
	uint32_t learning;			/* hk_learning when window_left was set */
	struct hk_learner *learner;		/* learn/; NULL until the first window ends */
	struct hk_queue *queue;			/* harden/: its quarantine; NULL: none */
	size_t budget_held;			/* bytes; 0: it has not learned */
	size_t grown;				/* bytes by which its lists have grown */
	size_t remote_sent, remote_received;
	struct hk_sampler sampler;	/* of blocks above Tiny */
	struct hk_block *inbox;		/* taken from the mailbox, not yet processed */

	/* Protected by the registry lock. */
	struct hk_cache *next_registered, *next_spare;
	struct hk_link among_live;		/* in hk_live_caches */
	uintptr_t thread;		/* hk_self() of its thread */
	bool lost;			/* belonged to a thread of the parent; see fork.c */

	/* Chains of remotely freed blocks of this cache's slabs. Any thread pushes
	 * (release), the owner empties it (acquire). */
	_Atomic(struct hk_block *) mailbox HK_ALIGNED(HK_CACHE_LINE);

	/* Only the owner, which needs no lock to append or to send to a live owner. */
	struct hk_batch batch[HK_BATCHES] HK_ALIGNED(HK_CACHE_LINE);
	struct hk_shown shown[HK_TINY_CLASSES];
	struct hk_spilled spilled[HK_CLASSES];
	uint8_t overflowed;			/* the class whose list could last be set aside */
	/* Blocks moved from and to slabs; counted with HAKMEM_STATS=1 only. */
	size_t filled[HK_CLASSES], flushed[HK_CLASSES];
	struct hk_chain chain[HK_CHAINS];	/* [0] is not used */
};

_Static_assert(offsetof(struct hk_cache, batch) <= 4096, "all that every thread uses must fit in a page");
_Static_assert(offsetof(struct hk_cache, spilled) <= UINT16_MAX, "bin_offset leads to each list");

/* The limits of a new thread's lists: from the settings at first, then from learn/. Any
 * thread, relaxed. */
struct hk_limits {
	_Atomic int32_t capacity, batch;
};
extern struct hk_limits hk_start_limits[HK_CLASSES];

/* The sum of budget_held, and the number of caches in which it is not 0; any thread,
 * relaxed. */
extern _Atomic size_t hk_budget_held, hk_budget_holders;
/* With the lock of the cache held, or after its thread has ended. */
void hk_budget_return(struct hk_cache *cache);

/* Called at the end of a slow path once window_left is used up or hk_learning has changed, with
 * the lock held and the lists consistent; set by learn/ before main. */
extern void (*hk_window_end)(struct hk_cache *cache);

/* Incremented (release) when learning is turned on or off, or when a window or the threshold
 * changes. */
extern _Atomic uint32_t hk_learning;

/* Threads of the program that have a cache; an atomic read-modify-write. A background
 * thread calls hk_thread_apart first: it has no cache then, and is not counted. */
unsigned hk_program_threads(void);
void hk_thread_apart(void);

/*
 * Set by learn/ and stats/ before main; called with no lock held.
 *	look		a window has requested it
 *	grew		after a slow path, if the limit of the heap is to be watched
 *	asked		after a slow path, if another process has requested changes
 *	freed		after a slow path of free; caller: the return address. This hook may
 *			change at any time (relaxed)
 *	thread_ends, thread_ended	before and after a thread gives up its cache
 *	forked		in the child of a fork
 */
struct hk_hooks {
	void (*look)(void);
	void (*grew)(void);
	void (*asked)(void);
	void (*_Atomic freed)(const void *caller);
	void (*thread_ends)(struct hk_cache *cache);
	void (*thread_ended)(void);
	void (*forked)(void);
};
extern struct hk_hooks hk_hooks;

/* Many slabs have become sparse recently, or many blocks were sent to other threads. */
extern _Atomic bool hk_sparse_waits;

/* When this process last called fork or was created by it; ms, relaxed. */
extern _Atomic uint64_t hk_forked_at;

extern HK_TLS struct hk_cache *hk_tls HK_HIDDEN;
/* The same for the C++ operators, or an empty cache: see api/cxx.c. */
extern HK_TLS struct hk_cache *hk_tls_cxx HK_HIDDEN;
extern struct hk_front hk_empty_front HK_HIDDEN;	/* before the first slow path */
extern struct hk_front hk_dead_front HK_HIDDEN;		/* after thread teardown */
extern struct hk_front hk_busy_front HK_HIDDEN;		/* inside the heap */
#define HK_EMPTY_CACHE ((struct hk_cache *)&hk_empty_front)
#define HK_DEAD_CACHE ((struct hk_cache *)&hk_dead_front)
#define HK_BUSY_CACHE ((struct hk_cache *)&hk_busy_front)

/* Is this the cache of a thread, not a static one? */
HK_INLINE bool hk_has_lists(const struct hk_cache *cache)
{
	return atomic_load_explicit(&cache->front.live, memory_order_relaxed);
}

HK_INLINE struct hk_bin *hk_bin_for(struct hk_cache *cache, size_t size)
{
	return (void *)((char *)cache +
			HK_FOLDED_LOAD(cache->front.bin_offset[(size + HK_GRAIN - 1) / HK_GRAIN]));
}

/* Prefetches the next block, which may be cold, because the next call reads it. mark:
 * the mark of this block. */
HK_INLINE void *hk_bin_pop(struct hk_bin *bin, struct hk_block *block, uint64_t mark)
{
	struct hk_block *next = (struct hk_block *)(block->link ^ (uintptr_t)mark);

	__builtin_prefetch(next, 1);
	bin->head = next;
	bin->room++;
	block->mark = 0;
	block->link = 0;
	return block;
}

/* False: the list exceeds its capacity and must be flushed. */
HK_INLINE bool hk_bin_push(struct hk_bin *bin, struct hk_block *block, uint64_t mark)
{
	block->mark = mark;
	block->link = (uintptr_t)bin->head ^ (uintptr_t)mark;
	bin->head = block;
	return --bin->room >= 0;
}

/* thread.c. Returns this thread's cache, locked; creates it if necessary. Threads after
 * their teardown share one. NULL: this thread cannot enter now. hk_leave unlocks it. */
struct hk_cache *hk_enter(void);
/* Creates the cache if necessary, and notices a fork that ran no handlers. False: this thread
 * cannot enter now. */
bool hk_get_ready(void);
/* Like hk_enter, to free a block of this slab, or of none if it is NULL. */
struct hk_cache *hk_enter_to_free(const struct hk_slab *slab);
void hk_leave(struct hk_cache *cache);

/* Does this thread still use the shared cache, because it has made few calls? */
bool hk_thread_cold(void);

/* Is this thread inside the heap, interrupted by a signal handler? */
bool hk_inside(void);

/* Between these two calls this thread is inside the heap: its hot paths find empty lists,
 * and it cannot enter again. A thread must be inside before it takes a lock. */
struct hk_before hk_find_nothing(void);
void hk_find_again(struct hk_before before);

/* Reads the settings unless that has been done. */
void hk_start(void);

/* The shared cache, of threads that have none: after their teardown, or if there is no
 * memory for one. hk_orphan_lock protects its lists and is taken before its cache lock. */
extern struct hk_cache hk_orphan HK_HIDDEN;

/* The sampler of this thread for blocks above Tiny. If the thread has no lists, or with
 * HAKMEM_HARDEN, it is for all blocks. */
HK_INLINE struct hk_sampler *hk_sampler(void)
{
	return &(hk_has_lists(hk_tls) ? hk_tls : &hk_orphan)->sampler;
}

/* The sampler of this thread for blocks of this class, without HAKMEM_HARDEN. */
HK_INLINE struct hk_sampler *hk_sampler_of(unsigned class)
{
	return class < HK_TINY_CLASSES && hk_has_lists(hk_tls) ? &hk_tls->shown[class].sampler : hk_sampler();
}

/* True if the cache belongs to one thread only. */
HK_INLINE bool hk_cache_private(const struct hk_cache *cache)
{
	return cache != &hk_orphan;
}

/* fork.c: takes all locks of the allocator, in order, for statistics. The caller is not
 * inside the heap. False, with none taken: a signal handler keeps another thread inside. */
bool hk_lock_everything(void);
void hk_unlock_everything(void);
/* All caches, linked by next_registered. New ones are added at the head (release), under
 * the registry lock; none is removed. */
extern _Atomic(struct hk_cache *) hk_caches;

/*
 * reclaim.c: the ladder, by which free memory is released. Its reasons:
 *	TICK		every so many refills and flushes of a thread
 *	FREED		slots became free, or too many free ranges wait
 *	STARVED		a class needs a slab
 *	GROWTH		the heap is about to use memory that it has not used before
 *	IDLE		the scavenger, for threads that do not call the allocator
 *	QUIET		the same, once nothing could be released for a while
 *	END		the end of a thread, or hak_thread_idle
 *	NO_MEMORY	the system has no more, or the limit is reached
 *	TRIM		malloc_trim
 */
enum hk_reclaim_reason {
#define RECLAIM(reason, ...) HK_FOR_##reason,
#include "cache/ladder.def"
	HK_RECLAIM_REASONS
};

/* No lock held. Returns the bytes that were released, or not 0 if blocks only moved. */
size_t hk_reclaim(enum hk_reclaim_reason reason);
/* slow.c: malloc_trim, which returns bytes, and hak_thread_idle. */
size_t hk_cache_trim(void);
void hk_thread_idle(void);

/* limits.c: called with no lock held after the sampler was turned on or off. If it is on, the
 * hot path of malloc finds the lists of shown.c in each cache; otherwise it finds those that
 * free fills. */
void hk_lists_lead(void);
/* limits.c: how many blocks may move until the first window of the cache ends. */
int64_t hk_first_window(const struct hk_cache *cache);
/* limits.c. The first sets the limits with which new threads start to those of the settings; the
 * second does so for the lists of this cache, lock held. */
void hk_limits_unlearn(void);
void hk_lists_unlearn(struct hk_cache *cache);
/* limits.c; lock held: sets the limits that a list has learned. */
void hk_bin_limit(struct hk_cache *cache, struct hk_bin *bin, int32_t capacity, int32_t batch);

/* How many blocks stay in a list that overflowed; the hottest ones stay. */
HK_INLINE int32_t hk_list_keep(int32_t capacity)
{
	return capacity < HK_LIST_LONG ? capacity / HK_LIST_KEEP_SHORT : capacity / HK_LIST_KEEP_LONG;
}

/* refused.c: the limit of the heap, in bytes; 0 for none. set returns the former one. */
size_t hk_limit_set(size_t bytes);
void hk_limit_start(void);		/* applies HAKMEM_LIMIT */
void hk_limit_callback(void (*call)(size_t));

extern _Atomic unsigned hk_threads;		/* threads that have a cache; relaxed */

/* check.c, abort.c */
enum hk_call { HK_CALL_FREE, HK_CALL_REALLOC, HK_CALL_USABLE, HK_CALL_FREE_SIZED,
	       HK_CALL_FREE_ALIGNED_SIZED };
const char *hk_call_name(enum hk_call call);
/* Writes the line, which is about p, and aborts the program. */
struct hk_line;
_Noreturn void hk_stop(struct hk_line *line, const void *p);
_Noreturn void hk_bad_pointer(enum hk_call call, const void *p);
_Noreturn void hk_already_free(enum hk_call call, const void *p, const struct hk_slab *slab);
/* The slab in which p is a carved block; NULL: p is not in a slab. Aborts the program if p
 * is in a slab but not at the start of a block. */
struct hk_slab *hk_slab_of(const void *p, enum hk_call call);
/* Is the block at p, in this slab, free? */
bool hk_is_free(const struct hk_slab *slab, const void *p);

/* slow.c: the slow paths. malloc sets errno to ENOMEM, free preserves errno. caller: the
 * return address in the program, for the trace. */
#define hk_caller() __builtin_return_address(0)
void *hk_malloc_slow(size_t size, const void *caller);
/* The same, up to HK_SLAB_MAX, after the caller has counted the block for HAKMEM_SAMPLE. */
void *hk_malloc_uncounted(size_t size, const void *caller);
/* As hk_malloc_slow; sets *zero if the block already reads as zero. */
void *hk_calloc_slow(size_t size, bool *zero, const void *caller);
void hk_free_slow(void *p, enum hk_call call, const void *caller);
void hk_free_overflow(struct hk_bin *bin, const void *caller);
/* Resizes a block above HK_SLAB_MAX without copying; the new address or NULL. */
void *hk_resize_slow(void *p, size_t size, const void *caller);
/* Blocks above HK_SLAB_MAX. If zero is not NULL, *zero tells whether the block reads as
 * zero. NULL and ENOMEM if there is no memory. */
void *hk_large_malloc(size_t size, size_t align, bool *zero, const void *caller);
/* A block of this usable size that is not in a slab, for a sample that is due; counted: the size
 * of the block in the sample; requested: by the program. NULL: not possible now. zero: as above. */
void *hk_sampled_malloc(size_t size, size_t counted, size_t requested, bool *zero, const void *caller);
/* fenced.c: the same between guard pages, of this requested size. */
void *hk_fenced_malloc(size_t size, size_t counted, bool *zero, const void *caller);
size_t hk_fenced_size(const void *p, enum hk_call call);
void hk_fenced_free(const void *p, enum hk_call call, const void *caller);
/* Ends the sample of a block that is not in a slab, if it has one: the program frees it. */
void hk_sampled_free(const void *p);

#endif
