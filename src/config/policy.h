/*
 * Policy: every figure that decides how much memory the library uses and how long
 * it waits. Each has its unit, its reason and, if it was compared with others, the
 * measurement. A figure without a measurement is a choice that no benchmark has
 * compared with another. What only the layout of the heap depends on (the size of a
 * slot, the bits of a table) is in the header that describes that layout.
 *
 * The figures of src/os are not here: os includes no other folder. They say how
 * long a lock or a system call is tried again.
 *
 * tests/policy.sh fails if a figure appears elsewhere, or here without a use.
 */
#ifndef HK_CONFIG_POLICY_H
#define HK_CONFIG_POLICY_H

/* Time, ms. */
enum {
	/* Free memory waits as long before it is released, unless HAKMEM_MEM_LEARN_DELAY
	 * says otherwise: a program that works in rounds of up to half a second takes
	 * the same memory again in each. */
	HK_DELAY_MS = 500,
	/* A list without a refill or flush for so long is put into its slabs. The same
	 * time, because its blocks keep slabs from becoming empty. */
	HK_IDLE_MS = 500,
};

/* Lists of a thread. */
enum {
	/* Blocks. In a list of more, the cut of a flush is found by a long walk, and a
	 * refill is short beside it: so a sixteenth stays instead of half. */
	HK_LIST_LONG = 64,
	HK_LIST_KEEP_SHORT = 2,
	HK_LIST_KEEP_LONG = 16,
	/* A list starts with an eighth of its limit, and a list of less than 16 blocks
	 * with two; it doubles when it overflows. So a short thread holds little. */
	HK_LIST_START_SHARE = 8,
	HK_LIST_SMALL = 16,
	HK_LIST_SMALL_START = 2,
	/* All lists together grow by so many bytes and a 32nd of the heap. 200 threads that
	 * each used 6 MB and wait keep 494 MB instead of 761; a program of up to 16 threads
	 * does not reach it. */
	HK_LISTS_BYTES = 32 << 20,
	HK_LISTS_SHARE = 32,
	/* The first refill, in blocks; doubles with each one. */
	HK_BATCH_START = 4,
	/* Groups whose limits no setting names: bytes in a list and in a refill, within
	 * these numbers of blocks. */
	HK_LIST_BYTES = 128 * 1024,
	HK_LIST_LEAST = 2,
	HK_LIST_MOST = 512,
	HK_REFILL_BYTES = 32 * 1024,
	HK_REFILL_MOST = 64,
	/* Bytes that a carve opens: one page, so that memory which the program does not
	 * need yet is not touched. */
	HK_CARVE_BYTES = 4096,
};

/* Slow paths of a thread that do something now and then. */
enum {
	/* One tick in so many refills and flushes: it reads the clock, 20 ns. */
	HK_TICK_CALLS = 16,
	/* Growth: lists are swept, and mailboxes of others emptied, once for each 16th
	 * that the heap grows by, and four slots. So the cost of sweeps is small against
	 * that of the new pages. */
	HK_GROW_SHARE = 16,
	HK_GROW_SLOTS = 4,
	/* Slabs in clean memory that a class takes in a row before the pages of the next
	 * one come with one system call: what comes too early is then a small part. */
	HK_FRESH_SLABS = 16,
	/* SuperSlabs that one call releases: a program with long lists calls seldom. */
	HK_RELEASE_SUPERSLABS = 8,
};

/* Chains set aside when a list overflows (cache/spill.c). */
enum {
	/* Chains that a thread can hold. */
	HK_CHAINS = 512,
	/* Threads together: three quarters of the memory of the slabs. */
	HK_SPILL_PARTS = 3, HK_SPILL_OF = 4,
	/* Blocks that are worth a chain, and the capacity that says that lists may be
	 * long. */
	HK_SPILL_LEAST = 32,
	HK_SPILL_CAPACITY = 64,
	/* A chain that is set aside costs one unit, one that returns pays two, a refill
	 * from slabs pays 1/256. With a debt of 16 units a class sets nothing aside, so
	 * that a program whose chains do not return tries again once in 256 refills. */
	HK_SPILL_UNIT = 256,
	HK_SPILL_DEBT = 16 * HK_SPILL_UNIT,
	/* Chains that one sweep puts back: 1 ms of cache misses. */
	HK_DRAIN_CHAINS = 32,
	/* Slots' worth of blocks that a class which needs a slab puts back first. */
	HK_DRAIN_SLOTS = 2,
};

/* Blocks freed by other threads (cache/remote.c). */
enum {
	/* Batches of a thread, by owner. */
	HK_BATCH_BITS = 4,
	HK_BATCHES = 1 << HK_BATCH_BITS,
	/* A batch is sent at so many blocks or bytes. */
	HK_BATCH_BLOCKS = 64,
	HK_BATCH_BYTES = 16 * 1024,
	/* Blocks between a block and the one whose address it holds: as many cache misses
	 * at a time. Measured with `make bench`: pass takes 0.38 of the time, pass-many
	 * 0.49. */
	HK_AHEAD = 8,
};

/* Sparse slabs, whose free pages are released (cache/sparse.c). */
enum {
	/* A slab is sparse with at least a quarter free. */
	HK_SPARSE_USED = 3, HK_SPARSE_OF = 4,
	/* Its free pages are released if they are half of it, or a quarter if settings
	 * prefer memory: each free into a slab with holes is a slow path. */
	HK_HOLES_SHARE = 2,
	HK_HOLES_SHARE_MEMORY = 4,
	/* A slab that had no free page is looked at again when a quarter of its blocks
	 * was freed. */
	HK_LOOK_USED = 3, HK_LOOK_OF = 4,
	/* Slabs that a tick of the owner purges: a system call each. */
	HK_SPARSE_TICK = 16,
	/* Slabs looked at in one hold of the lock. */
	HK_SPARSE_LOOKS = 64,
	/* Times that the end of a purge is tried, 10 ms each, if a fork holds the lock. */
	HK_PURGE_TRIES = 100,
	/* Bytes in sparse slabs, or sent to other threads, that are worth a wake-up of the
	 * scavenger. */
	HK_SPARSE_WAITING = 2 << 20,
};

/* Memory that is scarce: of the limit of the control group, a quarter is left. Other
 * processes of the group are not seen. */
enum { HK_SCARCE_LEFT = 4 };

/* Release as the program frees (pool/eager.h). */
enum {
	/* What may wait: 4 MiB or a 40th of the heap. Half of what hakmem(7) promises,
	 * because lists hold blocks in free pages too. */
	HK_EAGER_LEAST = 4 << 20,
	HK_EAGER_SHARE = 40,
	/* That is divided into eighths among those who keep free memory. */
	HK_EAGER_PARTS = 8,
	HK_EAGER_POOL = 2, HK_EAGER_SPARSE = 2, HK_EAGER_STAGE1 = 1, HK_EAGER_LARGE = 3,
	/* Doublings of it for a program that wants memory again: then as much as waits
	 * without this mode. */
	HK_EAGER_PATIENCE = 5,
	/* ms: memory wanted in the period after that of its release was released too
	 * early. */
	HK_EAGER_PERIOD_MS = 500,
	/* So many times what may wait, released and wanted within one period: the next
	 * doubling at once. redis-server that writes long replies has 60,000 page faults
	 * instead of 220,000. */
	HK_EAGER_OFTEN = 2,
	/* Bytes released in a period that say something. */
	HK_EAGER_WORTH = 4 << 20,
};

/* Release and demand of one period, compared in the next (pool/eager.c and
 * learn/pages.c): more than half was wanted again, less than an eighth was. Between
 * the two nothing changes. */
enum { HK_WANTED_SHARE = 2, HK_UNWANTED_SHARE = 8 };

/* Slots of the Shared Pool (pool/). */
enum {
	/* SuperSlabs freed into last, which are tried for slots that hold pages. With four,
	 * calloc took 19.4 MB instead of 17.8. */
	HK_CLAIM_LAST_FREED = 8,
	/* Slots: what may wait, in SuperSlabs, whatever the size of the heap, and beyond it
	 * half of the heap; if memory is scarce, a sixteenth of the heap only. */
	HK_POOL_WAITING_LEAST = 16,
	HK_POOL_WAITING_SHARE = 2,
	HK_POOL_SCARCE_SHARE = 16,
	/* Without HAKMEM_SUPERSLAB_REUSE a SuperSlab is released at once if half of it is free
	 * and holds pages, so that a last survivor does not keep the rest. Halves bound the
	 * number of calls. */
	HK_POOL_AT_ONCE_SHARE = 2,
	/* Empty slabs that a class keeps for itself, in slots, because it will need them soon;
	 * of all classes together one in 32 of the slots that hold pages. */
	HK_REUSE_SLOTS = 4,
	HK_REUSE_SHARE = 32,
};

/* Free ranges of whole SuperSlabs (range/range.c, large/large.c). */
enum {
	/* Bytes that may wait whatever is in use, and beyond it a half of what Large and
	 * Huge blocks have; if memory is scarce, a sixteenth of that only. */
	HK_RANGE_WAITING_LEAST = 64 << 20,
	HK_RANGE_WAITING_SHARE = 2,
	HK_RANGE_SCARCE_SHARE = 16,
	/* Bytes: a larger range is kept only once one as large was wanted again. At 8 MiB,
	 * python-json 202 -> 176 MB and `large` unchanged; at 2 MiB, `large` takes 11 %
	 * more faults. */
	HK_RANGE_KEPT_ALWAYS = 8 << 20,
	/* Ranges that one call releases. */
	HK_RANGE_RELEASES = 8,
	/* Bytes: realloc releases no less from the end of a block, because a system call
	 * costs more than so little memory is worth. */
	HK_LARGE_SHRINK = 64 << 10,
	/* Guards of ranges that were used before (large/guard.c): one per ms, and so many in
	 * a row. Setting one takes one to six microseconds, up to 40 times a malloc. */
	HK_GUARD_PACE_MS = 1,
	HK_GUARD_BURST = 64,
};

/* Huge pages for SuperSlabs that will fill (pool/huge.c). */
enum {
	/* SuperSlabs of a heap that is worth it; fewer if MEM learning undoes what does
	 * not pay. */
	HK_HUGE_FROM = 16,
	HK_HUGE_FROM_LEARNING = 4,
	/* ms between two SuperSlabs of a heap that grows fast. */
	HK_HUGE_SOON_MS = 1000,
	/* The third newest is judged: those after it are still filling up. */
	HK_HUGE_JUDGED = 3,
	/* Dense: seven eighths touched. */
	HK_HUGE_DENSE = 7, HK_HUGE_DENSE_OF = 8,
	/* ns: a huge page that takes longer costs as much as small pages do, 2 us for
	 * each 4 KiB. */
	HK_HUGE_COSTLY_NS = 1000000,
	/* SuperSlabs without one after the second costly one; doubles up to the most. */
	HK_HUGE_PAUSE = 2,
	HK_HUGE_PAUSE_MOST = 64,
};

/* Metadata. */
enum {
	/* Bytes mapped at a time, and the most that one request needs. */
	HK_META_REGION = 256 * 1024,
	HK_META_LOW = 64 * 1024,
	/* Bytes that the fallback allocator maps at a time. */
	HK_FALLBACK_CHUNK = 64 * 1024,
};

/* ALLOC learning, the step (learn/adapt.c). */
enum {
	/* Halvings of the pace of a limit that turns back, at most; and moves in one
	 * direction that undo one. */
	HK_ADAPT_DAMPED = 4,
	HK_ADAPT_STEADY = 4,
	/* Refills and flushes after which one window is believed. */
	HK_ADAPT_CERTAIN = 16,
	/* A window without any of them is believed by a quarter. */
	HK_ADAPT_IDLE_BELIEF = 4,
	/* Fewer round trips than 1/32 of a window are noise. */
	HK_ADAPT_NOISE = 32,
	/* Windows without refill and flush before idle blocks count; and after which the
	 * capacity that once made round trips is forgotten. */
	HK_ADAPT_PATIENCE = 4,
	HK_ADAPT_MEMORY = 64,
	/* Blocks, and a quarter of the list, that are idle. */
	HK_ADAPT_LEAST_CAPACITY = 2,
	HK_ADAPT_IDLE_SHARE = 4,
	/* The largest batch: blocks, bytes, and of the list. */
	HK_ADAPT_BATCH_BLOCKS = 128,
	HK_ADAPT_BATCH_BYTES = 64 * 1024,
	HK_ADAPT_BATCH_SHARE = 4,
	/* Classes under half of the highest pressure do not grow, under a quarter pay. */
	HK_ADAPT_GROW_SHARE = 2,
	HK_ADAPT_PAY_SHARE = 4,
	/* Blocks in a list, as in an override. */
	HK_LEARN_CAPACITY_MOST = 4096,
};

/* ALLOC learning, the windows (learn/windows.c). */
enum {
	/* Lists grow if moving blocks costs something: so many take 2 us of each ms. */
	HK_LEARN_BUSY_PER_MS = 200,
	/* Lists in use grow to an eighth of the mapped memory, or 1 MiB. */
	HK_LEARN_HEAP_SHARE = 8,
	HK_LEARN_GROWN_BYTES = 1 << 20,
	/* Bytes in the lists of one thread and of all. */
	HK_LEARN_THREAD_BYTES = 8 << 20,
	HK_LEARN_PROCESS_BYTES = 64 << 20,
	/* Decisions kept for reports. */
	HK_DECISIONS = 64,
	/* A saved profile prewarms a quarter of the SuperSlabs, 16 at most. */
	HK_SAVE_PREWARM_SHARE = 4,
	HK_SAVE_PREWARM_MOST = 16,
};

/* MEM learning (learn/pages.c). */
enum {
	/* ms after a promotion until it is judged. */
	HK_MEM_TRIAL_MS = 2000,
	/* ms after a fork without promotions: parent and child share pages, and each huge
	 * one is a copy. */
	HK_MEM_FORK_MS = 10000,
	/* Of the time, one part in so many is spent on promotions and on looks. */
	HK_MEM_COST_SHARE = 50,
	HK_MEM_LOOK_SHARE = 200,
	/* ms without promotions if the kernel had no huge page. */
	HK_MEM_PAUSE_MS = 1000,
	/* Bytes that a promotion touched without need, worth undoing. */
	HK_MEM_EXTRA_LEAST = 64 << 10,
	/* The purge delay: ms of a period, and bytes released in one that say something. */
	HK_MEM_PERIOD_MS = 1000,
	HK_MEM_RELEASED_LEAST = 1 << 20,
	/* Of the increase of the threshold, so much is lost in a period: half of it in
	 * 45 s. */
	HK_MEM_DECAY = 64,
};

/* The scavenger (learn/scavenger.c). */
enum {
	/* ms of a turn: half of the purge delay, within these. */
	HK_SCAVENGER_TURN_MOST = 250,
	HK_SCAVENGER_TURN_LEAST = 50,
	/* ms of a process without the thread: constructors, and programs that end at
	 * once. */
	HK_SCAVENGER_FIRST_MS = 100,
	/* ms of turns that released nothing, after which it sleeps without a timeout; at
	 * half of that the slabs of ended threads are looked at. */
	HK_SCAVENGER_CALM_MS = 2000,
	/* ms that its end is awaited, which takes less unless the machine was stopped. */
	HK_SCAVENGER_END_MS = 5000,
	HK_SCAVENGER_SLEEP_MS = 10,
	HK_SCAVENGER_SPINS = 1000,
};

/* HAKMEM_HARDEN. */
enum {
	/* The quarantine of a thread, in blocks and bytes: with guard pages, and below. */
	HK_QUEUE_BLOCKS = 512,
	HK_QUEUE_BYTES = 128 * 1024,
	HK_QUEUE_FEW_BLOCKS = 256,
	HK_QUEUE_FEW_BYTES = 64 * 1024,
	/* A new block is swapped with one of so many. Measured: python3 took 1.1 times as
	 * long with all of the newer half. */
	HK_QUEUE_NEAR = 32,
	/* Blocks ahead of the oldest that are fetched. */
	HK_QUEUE_AHEAD = 4,
	/* Blocks above the slabs: while they wait, they have no memory. One of more than
	 * a quarter of the bytes does not wait. */
	HK_QUEUE_WIDE_BLOCKS = 16,
	HK_QUEUE_WIDE_BYTES = 32 << 20,
	HK_QUEUE_WIDE_SHARE = 4,
	/* Guards: a process may have 65530 mappings, and each takes two. */
	HK_GUARDS = 8192,
	/* Addresses for blocks of no size, and those looked at for a free one. */
	HK_EMPTY_PLACES = 1 << 16,
	HK_EMPTY_LOOKS = 64,
};

/* Debug levels. */
enum {
	/* Events in the ring, and lines printed of one list. */
	HK_RING_EVENTS = 1 << 16,
	HK_RING_SHOWN = 64,
	/* Slabs of a class that one walk checks. */
	HK_WALKED_SLABS = 16,
};

#endif
