/*
 * A thread's cache: one TLS SLL per size class, and what its slow path needs.
 *
 *	malloc --pop--> SLL <--refill-- slabs the thread owns <-- Shared Pool
 *	free  --push--> SLL --flush---> slabs it owns
 *	                    \-spill---> chains, back to the SLL or to the slabs
 *	                    \-remote--> batches by owner -> mailbox of the owner
 *
 * The TLS pointer starts at an empty static cache: every size leads to an empty list
 * and it owns no slab, so malloc and free of a new thread fall into the slow
 * path by the branches that they have anyway.
 *
 * The hot path touches bin->head, bin->room and the blocks, and is entered by
 * the owner alone. All else happens with the cache lock held, which the owner
 * takes for each slow-path step: uncontended, except that fork, trimming and
 * statistics take the locks of all caches to find every slab at rest. System calls
 * that may take long are made after the lock is released.
 *
 * A thread that cannot enter its cache, because it is inside already (a signal
 * handler, a wrapped call) or because a fork of another thread takes long, is
 * served by the fallback allocator (fallback.h).
 *
 * Caches are immortal: a dead thread's is reused by a later thread.
 */
#ifndef HK_CACHE_CACHE_H
#define HK_CACHE_CACHE_H

#include "config/policy.h"
#include "os/lock.h"
#include "pool/pool.h"
#include "slab/slab.h"

#include <stddef.h>

/*
 * Invariants:
 *	room = capacity - length of the list at head
 *	capacity <= capacity_max, batch <= batch_max: both start small and
 *		double on use, so that a short thread holds little; the limits
 *		themselves start from hk_start_limits, and learn/ moves them
 *	avail lists the owned slabs that can give a block, fullest in front;
 *		full the other owned ones
 */
struct hk_bin {
	struct hk_block *head;		/* hot */
	int32_t room;			/* hot */
	int32_t capacity, capacity_max;
	int32_t batch, batch_max;
	struct hk_list avail, full;
	size_t refills, flushes;	/* for statistics */
	size_t refills_seen;		/* when it last grew or was shortened; see slow.c */
};

/* The bottom of a list that ran over, set aside; see spill.c. */
struct hk_chain {
	struct hk_block *head;
	int32_t count;
	uint16_t next;			/* in chain[]; 0: none */
};

/* What a class has set aside: blocks is the sum of the counts from top on. */
struct hk_spilled {
	uint16_t top;			/* the newest; 0: none */
	uint32_t blocks;
	int32_t debt;			/* see spill.c */
	size_t moves;			/* chains that came and went */
};

/*
 * Blocks on their way to one owner: a chain, newest in front. Without owner,
 * they are all of one slab that had none. Slabs change hands meanwhile: who
 * gets a block of a slab that is not its own sends it on.
 */
struct hk_batch {
	struct hk_cache *owner;
	struct hk_slab *slab;		/* of the first block; NULL: never used */
	struct hk_block *head, *tail;
	unsigned count;
	unsigned bytes;
	struct hk_block *last[HK_AHEAD];	/* appended, of this batch or before */
};

/* What the hot paths of the lock's holder looked at before it entered. */
struct hk_before {
	struct hk_cache *tls, *cxx;
};

/* No chain; the mailbox of a cache without a thread. */
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
	uint16_t bin_offset[HK_TINY_MAX / HK_GRAIN + 1];
	_Atomic bool live;		/* changes under the registry lock (relaxed) */
} HK_ALIGNED(HK_CACHE_LINE);

/*
 * What every thread uses comes first and fits in a page; the arrays behind it stay
 * untouched in a thread that neither sets lists aside nor frees other threads' blocks.
 * So a fork copies one page table entry for the cache of a thread that has ended.
 */
struct hk_cache {
	struct hk_front front;
	struct hk_bin bin[HK_CLASSES];

	struct hk_lock lock;
	struct hk_before before;
	size_t spilled_bytes;			/* 0: nothing is set aside */
	uint16_t spare_chain, used_chains;	/* used_chains is 0: none ever was */
	bool batched;				/* batch[] was used */
	unsigned drained;			/* the class, last */
	unsigned ticks;
	uint64_t swept_at;			/* ms */
	size_t swept[HK_CLASSES];		/* refills and flushes by then */
	/* Owned slabs that are sparse: since this period, the one before,
	 * and those to be purged. */
	struct hk_list sparse_new, sparse_old, sparse_due;
	uint64_t sparse_since;			/* ms */
	size_t sweep_slots;			/* of the heap, before growing to which
						 * it sweeps again */
	/* For when the lock is released: rungs of the ladder to climb, a bit for each
	 * reason; SuperSlabs to look at; pages to touch in one call. */
	uint16_t due;
	bool look;
	uintptr_t touch_at;
	size_t touch_size;
	uint8_t fresh[HK_CLASSES];		/* fresh slabs in a row, up to STEADY */
	unsigned sparse_listed;			/* slots, at most, in new */
	size_t sparse_bytes;			/* freed into sparse slabs and not taken
						 * again, since new began */
	size_t sparse_least;			/* bytes worth a purge; 0: as usual */
	size_t sent_bytes;			/* to others, not yet told of */
	/* Blocks to be moved between lists and slabs until the window of
	 * learning ends; INT64_MAX where nothing is learned. */
	int64_t window_left;
	struct hk_learner *learner;		/* learn/, NULL until a window ended */
	struct hk_queue *queue;			/* harden/: its quarantine; NULL: none */
	size_t budget_held;			/* bytes; 0: it has not learned */
	size_t grown;				/* bytes that its lists may hold, above
						 * what they start with */
	size_t remote_sent, remote_received;
	struct hk_block *inbox;		/* taken from the mailbox, not yet put */

	/* Registry lock. */
	struct hk_cache *next_registered, *next_spare;
	struct hk_link among_live;		/* in hk_live_caches */
	bool lost;			/* its thread was the parent's; see fork.c */

	/* Chains of freed blocks of this cache's slabs. Pushed to by any
	 * thread (release), emptied by the owner (acquire). */
	_Atomic(struct hk_block *) mailbox HK_ALIGNED(HK_CACHE_LINE);

	/* Owner; appended to without the lock, and sent to an owner that lives. */
	struct hk_batch batch[HK_BATCHES] HK_ALIGNED(HK_CACHE_LINE);
	struct hk_spilled spilled[HK_CLASSES];
	/* Blocks from and to slabs; written with HAKMEM_STATS=1 only. */
	size_t filled[HK_CLASSES], flushed[HK_CLASSES];
	struct hk_chain chain[HK_CHAINS];	/* [0] is none */
};

_Static_assert(offsetof(struct hk_cache, batch) <= 4096, "all that every thread uses must fit in a page");

/* The limits of a new thread's lists: those of the settings, until learn/
 * knows better. Any thread, relaxed. */
struct hk_limits {
	_Atomic int32_t capacity, batch;
};
extern struct hk_limits hk_start_limits[HK_CLASSES];

/* The sum of budget_held, and in how many caches it is not 0; any thread,
 * relaxed. */
extern _Atomic size_t hk_budget_held, hk_budget_holders;

/* Called where a slow path ends, with the lock held and the lists at rest, once
 * window_left is used up; set by learn/ before main. */
extern void (*hk_window_end)(struct hk_cache *cache);

/* Threads of the program with a cache; an atomic read-modify-write. And what a thread
 * of the library begins with: it has no cache, so that it does not count. */
unsigned hk_program_threads(void);
void hk_thread_apart(void);

/* Set by learn/ before main. Called without a lock: when a window said so; after a
 * slow path of free, with where the program is; before and after the end of a
 * thread's cache; in the child of a fork. */
struct hk_hooks {
	void (*look)(void);
	void (*freed)(const void *caller);
	void (*thread_ends)(struct hk_cache *cache);
	void (*thread_ended)(void);
	void (*forked)(void);
};
extern struct hk_hooks hk_hooks;

/* Many slabs became sparse, or blocks went to other threads, of late. */
extern _Atomic bool hk_sparse_waits;

/* When this process was last forked, or forked itself; ms, relaxed. */
extern _Atomic uint64_t hk_forked_at;

extern HK_TLS struct hk_cache *hk_tls HK_HIDDEN;
/* The same for C++'s operators, or an empty cache: see api/cxx.c. */
extern HK_TLS struct hk_cache *hk_tls_cxx HK_HIDDEN;
extern struct hk_front hk_empty_front HK_HIDDEN;	/* before the first slow path */
extern struct hk_front hk_dead_front HK_HIDDEN;		/* after thread teardown */
extern struct hk_front hk_busy_front HK_HIDDEN;		/* inside the heap */
#define HK_EMPTY_CACHE ((struct hk_cache *)&hk_empty_front)
#define HK_DEAD_CACHE ((struct hk_cache *)&hk_dead_front)
#define HK_BUSY_CACHE ((struct hk_cache *)&hk_busy_front)

/* Is this a thread's own cache, no static one? */
HK_INLINE bool hk_has_lists(const struct hk_cache *cache)
{
	return atomic_load_explicit(&cache->front.live, memory_order_relaxed);
}

HK_INLINE struct hk_bin *hk_bin_for(struct hk_cache *cache, size_t size)
{
	return (void *)((char *)cache +
			cache->front.bin_offset[(size + HK_GRAIN - 1) / HK_GRAIN]);
}

/* Prefetches the next block, which the next call reads and which may be cold, while
 * the program uses this one. mark: that of this block. */
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

/* False: the list is over its capacity, flush it. */
HK_INLINE bool hk_bin_push(struct hk_bin *bin, struct hk_block *block, uint64_t mark)
{
	block->mark = mark;
	block->link = (uintptr_t)bin->head ^ (uintptr_t)mark;
	bin->head = block;
	return --bin->room >= 0;
}

/* thread.c: this thread's cache, made if need be, or the one that threads
 * after their teardown share; locked. NULL: this thread cannot enter now. Leave
 * unlocks. */
struct hk_cache *hk_enter(void);
void hk_leave(struct hk_cache *cache);

/* Is this thread inside the heap, interrupted by a signal handler? */
bool hk_inside(void);

/* From one to the other this thread is inside the heap: its hot paths find nothing,
 * and it cannot enter. Whoever takes a lock is inside before it does. */
struct hk_before hk_find_nothing(void);
void hk_find_again(struct hk_before before);

/* Reads the settings, if nothing did so yet. */
void hk_start(void);

/* The cache of threads that have none: after their teardown, or when there is no memory
 * for one. Its lists are used under its own lock, taken before the cache lock. */
extern struct hk_cache hk_orphan HK_HIDDEN;

/* True if the cache belongs to one thread only. */
HK_INLINE bool hk_cache_private(const struct hk_cache *cache)
{
	return cache != &hk_orphan;
}

/* fork.c: all locks of the allocator, in order, for statistics; not inside. */
void hk_lock_everything(void);
void hk_unlock_everything(void);
/* All, by next_registered: grows at its head alone (release), under the registry lock. */
extern _Atomic(struct hk_cache *) hk_caches;

/*
 * reclaim.c: the ladder, on which memory that waits is released. Its reasons:
 *	TICK		a thread refills and flushes, now and then
 *	FREED		slots became free
 *	STARVED		a class needs a slab
 *	GROWTH		the heap is about to take memory that was not in use
 *	IDLE		the scavenger, for threads that do not call
 *	QUIET		the same, when nothing could be released for a while
 *	END		the end of a thread
 *	NO_MEMORY	the system has no more
 *	TRIM		malloc_trim
 */
enum hk_reclaim_reason {
#define RECLAIM(reason, ...) HK_FOR_##reason,
#include "cache/ladder.def"
	HK_RECLAIM_REASONS
};

/* No lock held. Returns the bytes that were released; if blocks only moved, not 0. */
size_t hk_reclaim(enum hk_reclaim_reason reason);
/* slow.c: the same for the program, bytes. */
size_t hk_cache_trim(void);

/* limits.c; lock held: new limits of a list that learns. */
void hk_bin_limit(struct hk_cache *cache, struct hk_bin *bin, int32_t capacity, int32_t batch);

/* How much of a list that ran over stays, hottest first. */
HK_INLINE int32_t hk_list_keep(int32_t capacity)
{
	return capacity < HK_LIST_LONG ? capacity / HK_LIST_KEEP_SHORT : capacity / HK_LIST_KEEP_LONG;
}

extern _Atomic unsigned hk_threads;		/* with a cache, relaxed */

/* check.c, abort.c */
enum hk_call { HK_CALL_FREE, HK_CALL_REALLOC, HK_CALL_USABLE, HK_CALL_FREE_SIZED,
	       HK_CALL_FREE_ALIGNED_SIZED };
const char *hk_call_name(enum hk_call call);
/* Writes the line, which is about p, and ends the program. */
struct hk_line;
_Noreturn void hk_stop(struct hk_line *line, const void *p);
_Noreturn void hk_bad_pointer(enum hk_call call, const void *p);
_Noreturn void hk_already_free(enum hk_call call, const void *p, const struct hk_slab *slab);
/* The slab of which p is a carved block; NULL: p lies in no slab at all. A
 * pointer into a slab that is no start of a block stops the program. */
struct hk_slab *hk_slab_of(const void *p, enum hk_call call);
/* Is the block at p, in this slab, free? */
bool hk_is_free(const struct hk_slab *slab, const void *p);

/* slow.c: what the hot path calls. errno: malloc sets ENOMEM, free keeps it.
 * caller: where the program is, for the trace; only a slow path looks. */
#define hk_caller() __builtin_return_address(0)
void *hk_malloc_slow(size_t size, const void *caller);
/* The same; *zero gets true if the block reads as zero already. */
void *hk_calloc_slow(size_t size, bool *zero, const void *caller);
void hk_free_slow(void *p, enum hk_call call, const void *caller);
void hk_free_overflow(struct hk_bin *bin, const void *caller);
/* Of blocks above HK_SLAB_MAX, without copying; the new address or NULL. */
void *hk_resize_slow(void *p, size_t size, const void *caller);
/* Above HK_SLAB_MAX; *zero, if asked for, tells whether it reads as zero. NULL and
 * ENOMEM. */
void *hk_large_malloc(size_t size, size_t align, bool *zero, const void *caller);

#endif
