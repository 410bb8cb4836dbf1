/*
 * Policy: every figure that decides how much memory the library uses and how long it waits.
 * Each has its unit and its reason. If alternatives were measured, the result is given; no
 * benchmark has compared the other figures. Figures that only affect the layout of the heap
 * (the size of a slot, the bits of a table) are in the header that describes the layout.
 *
 * The figures of src/os are not here, because os includes no other folder. They decide how
 * often a lock or a system call is tried again.
 *
 * tests/policy.sh fails if a figure appears elsewhere, or is here and not used.
 */
#ifndef HK_CONFIG_POLICY_H
#define HK_CONFIG_POLICY_H

/* Time, ms. */
enum {
	/* The purge delay, unless HAKMEM_MEM_LEARN_DELAY is set: a program that works in
	 * cycles of up to half a second reuses the same memory in each one. */
	HK_DELAY_MS = 500,
	/* The blocks of a list are put into their slabs after this time without a refill or
	 * flush. It equals the purge delay, because the blocks keep slabs from becoming
	 * empty. */
	HK_IDLE_MS = 500,
	/* The longest purge delay while processes of the control group wait for memory: that of
	 * the profiles for little memory. */
	HK_PRESSED_DELAY_MS = 100,
	/* The time for which hak_set waits for another thread that changes settings or is in fork.
	 * Both take milliseconds, unless a large heap is trimmed. */
	HK_CHANGE_WAIT_MS = 1000,
	/* After this time such a thread is taken for one that was ended, or that has jumped out of
	 * a signal handler, and others may change settings again. */
	HK_CHANGE_MOST_MS = 10000,
};

/* Lists of a thread. */
enum {
	/* Blocks. To flush a longer list, many blocks must be walked to find the cut, and a
	 * refill is cheap in comparison: so a sixteenth stays in it instead of half. */
	HK_LIST_LONG = 64,
	HK_LIST_KEEP_SHORT = 2,
	HK_LIST_KEEP_LONG = 16,
	/* The capacity of a list starts at a 32nd of its limit, but at least at two blocks, and
	 * doubles when the list overflows. So a short-lived thread holds little. A list of
	 * blocks above 4 KiB starts without capacity, because one block keeps a slab of 64 KiB
	 * or more. */
	HK_LIST_START_SHARE = 32,
	HK_LIST_SMALL_START = 2,
	/* All lists together grow by at most this number of bytes plus a 32nd of the heap;
	 * then threads keep no empty slab. 200 waiting threads that each used 6 MiB kept
	 * 322 MiB, before threads emptied lists. Without the bound they kept 761 MiB; with
	 * lists that started at an eighth, and without the rules for large blocks and for
	 * empty slabs, 450 MiB (glibc 213). */
	HK_LISTS_BYTES = 32 << 20,
	HK_LISTS_SHARE = 32,
	/* Blocks in the first refill; doubles with each refill. */
	HK_BATCH_START = 4,
	/* For groups without a limit in the settings: bytes in a list and in a refill, within
	 * these numbers of blocks. */
	HK_LIST_BYTES = 128 * 1024,
	HK_LIST_LEAST = 2,
	HK_LIST_MOST = 512,
	HK_REFILL_BYTES = 32 * 1024,
	HK_REFILL_MOST = 64,
	/* Bytes carved at a time: one page, so that memory which the program does not need
	 * yet is not touched. */
	HK_CARVE_BYTES = 4096,
};

/* Threads that only free (cache/growth.c). */
enum {
	/* Overflows of lists in a row, without a refill, after which the thread empties each list
	 * that overflows: then `handover` takes 0.8 of the time and 67 MB instead of 73, because
	 * blocks reach their slabs before they have left the processor's caches. With 64, and
	 * only once all lists hold much, its threads end before that. */
	HK_EMPTYING_AFTER = 16,
	/* With fewer threads, none empties its lists: if a single thread did, 100,000 blocks freed
	 * and allocated again five times would take 179 million instructions instead of 81. */
	HK_EMPTYING_LEAST_THREADS = 4,
	/* If the thread allocates again within HK_IDLE_MS, the overflows needed are doubled twice,
	 * up to 16 doublings in all: a thread that frees 100,000 blocks and allocates as many again takes
	 * its lists back as a whole after a few rounds (cache/spill.c). */
	HK_EMPTYING_STEP = 2,
	HK_EMPTYING_PATIENCE = 16,
	/* With this number of threads, it has no list of blocks of this size or above: the few
	 * blocks of each class that stay would keep a slab each. 200 waiting threads that each
	 * used 6 MB keep 175 MiB instead of 322 (glibc 213). */
	HK_EMPTYING_THREADS = 16,
	HK_EMPTYING_SIZE = 512,
};

/* Threads that make few calls. */
enum {
	/* Calls of a new thread that use the shared cache, except for frees of its blocks. 2,000
	 * threads of two blocks each take 25 MiB instead of 49, and 9 instead of 29 after their
	 * end (glibc 27 and 11). */
	HK_COLD_CALLS = 32,
	/* HK_COLD_CALLS plus one call for each thread with a cache, up to this number: a cache
	 * costs 80 KB and more, one page for each class. `churn` (100 blocks in each of 1,000 threads) takes 79 MB
	 * instead of 149 and 0.67 of the time, with 200 blocks 143 instead of 226 and 0.81, with
	 * 400 blocks 339 instead of 375 and 0.94. With 100 threads of 400 blocks the time is 1.07,
	 * and 1.24 with two more for each thread. */
	HK_COLD_CALLS_MOST = 256,
	/* A call that finds the shared cache locked counts as this number of calls: with many
	 * processors, threads that start at the same time would wait for each other. */
	HK_COLD_CALLS_LOCKED = 4,
};

/* Work that slow paths of a thread do from time to time. */
enum {
	/* Refills and flushes per tick, because a tick reads the clock, which takes 20 ns. */
	HK_TICK_CALLS = 16,
	/* The heap sweeps lists each time it has grown by a 16th plus four slots. So the cost
	 * of sweeps is small compared with that of the new pages. */
	HK_GROW_SHARE = 16,
	HK_GROW_SLOTS = 4,
	/* The mailboxes of other threads are emptied each time the heap has grown by a slot, plus
	 * one for each 16 caches, because each cache is examined: eight page faults take about
	 * 8 us, and a cache up to 0.2 us. Eight times as many slots if no mail was found. At a
	 * 64th of the heap, a producer takes new memory while blocks of the other producers wait
	 * in their mailboxes: pass-many 48 MB instead of 34, in the same CPU time. */
	HK_MAIL_CACHES = 16,
	HK_MAIL_NONE = 8,
	/* Clean slabs that a class takes in a row before all pages of the next one are
	 * pre-faulted with one system call: the pages that are not needed yet are then a
	 * small part of the memory of the class. */
	HK_FRESH_SLABS = 16,
	/* SuperSlabs that one slow path releases, because a program with long lists takes
	 * slow paths rarely. */
	HK_RELEASE_SUPERSLABS = 8,
};

/* Chains set aside when a list overflows (cache/spill.c). */
enum {
	/* Chains that a thread can hold. */
	HK_CHAINS = 512,
	/* All threads together: three quarters of the memory of the slabs. */
	HK_SPILL_PARTS = 3, HK_SPILL_OF = 4,
	/* Fewest blocks in a chain, and the smallest configured capacity of a class that may
	 * set chains aside. */
	HK_SPILL_LEAST = 32,
	HK_SPILL_CAPACITY = 64,
	/* A chain that is set aside costs one unit, a chain that is used again pays two, and a
	 * refill from slabs pays 1/256. A class with a debt of 16 units sets nothing aside, so
	 * a class whose chains are not used tries again once in 256 refills. */
	HK_SPILL_UNIT = 256,
	HK_SPILL_DEBT = 16 * HK_SPILL_UNIT,
	/* If a class has set this number of bytes aside, and five sixths of the newest blocks lead
	 * to another slab, the blocks are put into their slabs, if no other class overflows. */
	HK_SPILL_NEAR = 1 << 20,
	HK_SPILL_AWAY = 5, HK_SPILL_AWAY_OF = 6,
	/* Chains that one sweep puts into slabs: 1 ms of cache misses. */
	HK_DRAIN_CHAINS = 32,
	/* Before a class takes a new slab, it puts this many slots' worth of set-aside blocks
	 * into their slabs. */
	HK_DRAIN_SLOTS = 2,
};

/* Blocks freed by other threads (cache/remote.c). */
enum {
	/* Batches of a thread, one per owner. */
	HK_BATCH_BITS = 4,
	HK_BATCHES = 1 << HK_BATCH_BITS,
	/* A batch with this number of blocks or bytes is sent. */
	HK_BATCH_BLOCKS = 64,
	HK_BATCH_BYTES = 16 * 1024,
	/* Received blocks that are put into their slabs at a time: many, because the work for a
	 * run is then a small part of that for its blocks. */
	HK_RECEIVE_RUN = 1024,
	/* The distance, in blocks, between a block and the one whose address it stores, which
	 * is the number of overlapping cache misses. Measured with `make bench`: pass takes
	 * 0.38 of the time, pass-many 0.49. */
	HK_AHEAD = 8,
};

/* Sparse slabs, whose free pages are released (cache/sparse.c). */
enum {
	/* A slab is sparse if at least a quarter of it is free. */
	HK_SPARSE_USED = 3, HK_SPARSE_OF = 4,
	/* Its free pages are released if they are half of it, or a quarter if the settings
	 * prefer memory to speed: each free into a slab with holes takes a slow path. */
	HK_HOLES_SHARE = 2,
	HK_HOLES_SHARE_MEMORY = 4,
	/* A slab that had no free page is examined again after a quarter of its used blocks
	 * was freed. */
	HK_LOOK_USED = 3, HK_LOOK_OF = 4,
	/* Slabs that one tick of the owner purges; each takes a system call. */
	HK_SPARSE_TICK = 16,
	/* Slabs examined each time the lock is held. */
	HK_SPARSE_LOOKS = 64,
	/* Attempts to complete a purge, 10 ms each, while a fork holds the lock. */
	HK_PURGE_TRIES = 100,
	/* Bytes in sparse slabs, or sent to other threads, for which the scavenger is
	 * woken. */
	HK_SPARSE_WAITING = 2 << 20,
};

/* Memory is scarce if less than a quarter of the limit of the control group is left. Other
 * processes of the group are not counted; under pressure it is scarce too (os/pressure.c). */
enum { HK_SCARCE_LEFT = 4 };

/* When address space is short (large/). */
enum {
	/* Mid blocks are packed once the heap has mapped a 16th of what it may map. Half of what
	 * was mapped before may be unused, so this share is small: in 100 MiB, blocks of 33,000
	 * bytes get 0.92 of glibc's bytes with it, and 0.88 with an eighth. */
	HK_SPACE_PACK_SHARE = 16,
	/* Larger blocks are fitted from an eighth on. This is later, because they are unmapped
	 * when they are freed: malloc and free take 5 us instead of 0.3. */
	HK_SPACE_FIT_SHARE = 8,
	/* With HAKMEM_LIMIT, both start at half of the limit. A server may be near its limit as
	 * long as it runs, and most of its blocks must not become slower because of that. */
	HK_SPACE_LIMIT_SHARE = 2,
	/* A block is fitted if its granules or its share of a SuperSlab would be at least an
	 * eighth larger than the block. */
	HK_SPACE_WASTE_SHARE = 8,
	/* Bytes: smaller blocks are not fitted, because each mapping needs a page of page tables.
	 * The most fitted blocks: a process can have only 65530 mappings. */
	HK_FITTED_LEAST = 128 << 10,
	HK_FITTED_MOST = 16384,
};

/* The callback for HAKMEM_LIMIT is called again after a 16th of the memory in use was freed: a
 * program that stays at the limit is told once. */
enum { HK_LIMIT_AGAIN_SHARE = 16 };

/* HAKMEM_OOM_REPORT. */
enum {
	/* Percent of the limit at which a report is written; at which the figures are stored
	 * from which growth is counted; and below which the heap must fall before the next
	 * reports. That is far below the others, because the heap of a program that runs near
	 * its limit shrinks and grows by 10 % and more. */
	HK_REPORT_FIRST = 90,
	HK_REPORT_SECOND = 95,
	HK_REPORT_BASE = 50,
	HK_REPORT_AGAIN = 40,
	/* The call sites in a report. */
	HK_REPORT_SITES = 10,
};

/* Eager mode (pool/eager.h). */
enum {
	/* The memory that may wait: 4 MiB or a 40th of the heap. This is half of the bound in
	 * hakmem(7), because blocks in lists keep free pages too. */
	HK_EAGER_LEAST = 4 << 20,
	HK_EAGER_SHARE = 40,
	/* It is divided into eighths among the parts that keep free memory. */
	HK_EAGER_PARTS = 8,
	HK_EAGER_POOL = 2, HK_EAGER_SPARSE = 2, HK_EAGER_STAGE1 = 1, HK_EAGER_LARGE = 3,
	/* Doublings for a program that needs released memory again: after these, as much may
	 * wait as without this mode. */
	HK_EAGER_DOUBLINGS = 5,
	/* ms: memory that is needed again in the period after its release was released too
	 * early. */
	HK_EAGER_PERIOD_MS = 500,
	/* The next doubling takes place at once if this multiple of the memory that may wait
	 * was released within one period and much of it was needed again. redis-server with
	 * long replies then has 60,000 page faults instead of 220,000. */
	HK_EAGER_OFTEN = 2,
	/* Bytes released in a period, at least, for the period to count. */
	HK_EAGER_WORTH = 4 << 20,
};

/* The memory released in one period and needed again in the next one (pool/eager.c and
 * learn/pages.c): more than half, or less than an eighth. Between the two nothing
 * changes. */
enum { HK_NEEDED_SHARE = 2, HK_NOT_NEEDED_SHARE = 8 };

/* Slots of the Shared Pool (pool/). */
enum {
	/* SuperSlabs with the most recent frees that are searched for slots that hold pages.
	 * With four, calloc took 19.4 MB instead of 17.8. */
	HK_CLAIM_LAST_FREED = 8,
	/* Free slots that may wait: 16 SuperSlabs plus half of the heap; if memory is scarce,
	 * only a sixteenth of the heap. */
	HK_POOL_WAITING_LEAST = 16,
	HK_POOL_WAITING_SHARE = 2,
	HK_POOL_SCARCE_SHARE = 16,
	/* With HAKMEM_SUPERSLAB_REUSE=0 the free slots of a SuperSlab are released at once if
	 * they are half of it, so that one block in use does not keep the rest. Waiting for
	 * half of it bounds the number of system calls. */
	HK_POOL_AT_ONCE_SHARE = 2,
	/* Slabs that take clean slots although as many dirty ones are free, in runs that are too
	 * short, make as many due once this number is reached: a SuperSlab, because fewer are
	 * not worth a system call. `fragmented` 357 -> 302 MB in the same CPU time. */
	HK_POOL_UNFIT = 64,
	/* Slots in empty slabs that a class keeps because it will probably need them soon. All
	 * classes together keep at most a 32nd of the slots that hold pages. */
	HK_REUSE_SLOTS = 4,
	HK_REUSE_SHARE = 32,
	/* Adjacent empty SuperSlabs that one Large block takes: as many as the longest one
	 * has. SuperSlabs that are examined for that, which takes less time than the page
	 * faults of one granule. */
	HK_GIVE_MOST = 16,
	HK_GIVE_LOOKS = 256,
};

/* Free ranges of whole SuperSlabs (range/range.c, large/large.c). */
enum {
	/* Bytes that may wait, plus three quarters of the bytes of Large and Huge blocks; if
	 * memory is scarce, only a sixteenth of the bytes of these blocks. With half, ranges
	 * that large-random needs soon are released, and those that remain are too short:
	 * 572 MB instead of 515. */
	HK_RANGE_WAITING_LEAST = 64 << 20,
	HK_RANGE_WAITING_PARTS = 3, HK_RANGE_WAITING_OF = 4,
	HK_RANGE_SCARCE_SHARE = 16,
	/* Bytes: a larger range is kept only after one of its size was requested again. At
	 * 8 MiB, python-json 202 -> 176 MB and `large` unchanged; at 2 MiB, `large` has 11 %
	 * more faults. */
	HK_RANGE_KEPT_ALWAYS = 8 << 20,
	/* Ranges that one slow path releases. */
	HK_RANGE_RELEASES = 8,
	/* Fewest bytes that are released at the end of a block, by realloc or when the block takes
	 * the memory of an empty SuperSlab: less is not worth a system call. */
	HK_LARGE_SHRINK = 64 << 10,
	/* Guards of reused ranges (large/guard.c): one per ms, and at most this number in a
	 * row. Setting one takes one to six microseconds, up to 40 times as long as a
	 * malloc. */
	HK_GUARD_PACE_MS = 1,
	HK_GUARD_BURST = 64,
};

/* The third newest SuperSlab, and the third newest Large range, are judged, because newer ones
 * are still being filled (pool/thp.h). */
enum { HK_NEWEST = 3 };

/* Large blocks that the program writes to as a whole (large/dense.c). */
enum {
	/* New ranges that get huge pages after a block was found dense: few, because a program
	 * may fill a block of one kind and leave those of another sparse. */
	HK_DENSE_TRUST = 4,
	/* Pages of a block that are read, 0.3 us each, and how many of them may be zero. */
	HK_DENSE_SAMPLES = 16,
	HK_DENSE_ZERO = 2,
	/* Pages whose read is timed, and the ns that each takes at most if it exists: 50 were
	 * measured, and 470 for one that does not. The clock is read after each piece, so
	 * that few pages are faulted in. */
	HK_DENSE_READS = 64,
	HK_DENSE_PIECES = 4,
	HK_DENSE_READ_NS = 100,
	/* Looks left out after a block that is not dense: none, 1, 2, 4, up to this number. */
	HK_DENSE_SKIP_MOST = 16,
};

/* Huge pages for SuperSlabs that will fill (pool/thp.c). */
enum {
	/* SuperSlabs of the smallest heap that gets huge pages; fewer with MEM learning, which
	 * undoes those that do not pay off. */
	HK_HUGE_FROM = 16,
	HK_HUGE_FROM_LEARNING = 4,
	/* ms between two new SuperSlabs, at most, of a heap that grows fast. */
	HK_HUGE_SOON_MS = 1000,
	/* A SuperSlab is dense if seven eighths are touched. */
	HK_HUGE_DENSE = 7, HK_HUGE_DENSE_OF = 8,
	/* ns: a huge page that takes longer costs as much as small pages, 2 us for each
	 * 4 KiB. */
	HK_HUGE_COSTLY_NS = 1000000,
	/* SuperSlabs without a huge page after the second costly one in a row; doubles each
	 * time, up to the maximum. */
	HK_HUGE_PAUSE = 2,
	HK_HUGE_PAUSE_MOST = 64,
};

/* Metadata. */
enum {
	/* Bytes mapped at a time, and the free bytes below which another region is mapped; no
	 * request needs more. */
	HK_META_REGION = 256 * 1024,
	HK_META_LOW = 64 * 1024,
	/* The least number of bytes that the fallback allocator maps at a time, and the part of its
	 * memory that it maps if that is more: 1 GiB is then 70 chunks instead of 16384, which
	 * matters because a call may look at all of them. */
	HK_FALLBACK_CHUNK = 64 * 1024,
	HK_FALLBACK_SHARE = 8,
};

/* ALLOC learning, the step (learn/adapt.c). */
enum {
	/* Maximum of halvings of the pace of a limit that reverses its direction, and the
	 * number of changes in one direction that undo a halving. */
	HK_ADAPT_DAMPED = 4,
	HK_ADAPT_STEADY = 4,
	/* Refills and flushes with which a window has full weight. */
	HK_ADAPT_CERTAIN = 16,
	/* A window without any of them has a quarter of the weight. */
	HK_ADAPT_IDLE_WEIGHT = 4,
	/* Round trips of less than 1/32 of a window are noise. */
	HK_ADAPT_NOISE = 32,
	/* Windows without a refill or flush after which idle blocks count, and after which the
	 * capacity that last made round trips is forgotten. */
	HK_ADAPT_IDLE_WINDOWS = 4,
	HK_ADAPT_MEMORY = 64,
	/* The smallest capacity in blocks, and the share of idle blocks for which a capacity is
	 * lowered. */
	HK_ADAPT_LEAST_CAPACITY = 2,
	HK_ADAPT_IDLE_SHARE = 4,
	/* The largest batch: in blocks, in bytes, and as a share of the capacity. */
	HK_ADAPT_BATCH_BLOCKS = 128,
	HK_ADAPT_BATCH_BYTES = 64 * 1024,
	HK_ADAPT_BATCH_SHARE = 4,
	/* Classes below half of the highest pressure do not grow; classes below a quarter give
	 * up capacity. */
	HK_ADAPT_GROW_SHARE = 2,
	HK_ADAPT_PAY_SHARE = 4,
	/* Most blocks in a list, as in an override. */
	HK_LEARN_CAPACITY_MOST = 4096,
};

/* ALLOC learning, the windows (learn/windows.c). */
enum {
	/* Lists grow only if moving blocks takes time: this number per ms takes 2 us. */
	HK_LEARN_BUSY_PER_MS = 200,
	/* Lists in use grow up to an eighth of the mapped memory, or 1 MiB. */
	HK_LEARN_HEAP_SHARE = 8,
	HK_LEARN_GROWN_BYTES = 1 << 20,
	/* Most bytes in the lists of one thread and of all threads. */
	HK_LEARN_THREAD_BYTES = 8 << 20,
	HK_LEARN_PROCESS_BYTES = 64 << 20,
	/* Decisions stored for reports. */
	HK_DECISIONS = 64,
	/* A saved profile prewarms a quarter of the SuperSlabs, at most 16. */
	HK_SAVE_PREWARM_SHARE = 4,
	HK_SAVE_PREWARM_MOST = 16,
};

/* MEM learning (learn/pages.c). */
enum {
	/* ms from a promotion until it is judged. */
	HK_MEM_TRIAL_MS = 2000,
	/* ms after a fork without promotions: parent and child share pages, and a promotion
	 * copies them. */
	HK_MEM_FORK_MS = 10000,
	/* The shares of the time that are spent on promotions and on looks: a 50th and a
	 * 200th. */
	HK_MEM_COST_SHARE = 50,
	HK_MEM_LOOK_SHARE = 200,
	/* ms without promotions if the kernel had no huge page. */
	HK_MEM_PAUSE_MS = 1000,
	/* Fewest bytes added by a promotion for which it is undone. */
	HK_MEM_EXTRA_LEAST = 64 << 10,
	/* To learn the purge delay: the ms of a period, and the bytes released in a period, at
	 * least, for the period to count. */
	HK_MEM_PERIOD_MS = 1000,
	HK_MEM_RELEASED_LEAST = 1 << 20,
	/* The increase of the threshold loses a 64th in each period: half of it in 45 s. */
	HK_MEM_DECAY = 64,
};

/* The scavenger (learn/scavenger.c). */
enum {
	/* ms of a turn: half of the purge delay, within these bounds. */
	HK_SCAVENGER_TURN_MOST = 250,
	HK_SCAVENGER_TURN_LEAST = 50,
	/* ms after the start of a process before the scavenger starts, because constructors
	 * run and short-lived programs end in this time. */
	HK_SCAVENGER_FIRST_MS = 100,
	/* ms without any release after which it sleeps without a timeout; after half of this
	 * time the slabs of ended threads are reclaimed too. */
	HK_SCAVENGER_QUIET_MS = 2000,
	/* ms to wait for its end; it takes less unless the machine was suspended. */
	HK_SCAVENGER_END_MS = 5000,
	HK_SCAVENGER_SLEEP_MS = 10,
	HK_SCAVENGER_SPINS = 1000,
};

/* HAKMEM_HARDEN. */
enum {
	/* The quarantine of a thread in blocks and bytes, with and without guard pages. */
	HK_QUEUE_BLOCKS = 512,
	HK_QUEUE_BYTES = 128 * 1024,
	HK_QUEUE_FEW_BLOCKS = 256,
	HK_QUEUE_FEW_BYTES = 64 * 1024,
	/* A new block is swapped with one of the last 32. Measured: python3 took 1.1 times as
	 * long if it was one of all blocks in the newer half. */
	HK_QUEUE_NEAR = 32,
	/* Distance of the prefetch ahead of the oldest block, in blocks. */
	HK_QUEUE_AHEAD = 4,
	/* Mid, Large and Huge blocks in the quarantine; they have no memory there. A block of
	 * more than a quarter of the bytes is not quarantined. */
	HK_QUEUE_WIDE_BLOCKS = 16,
	HK_QUEUE_WIDE_BYTES = 32 << 20,
	HK_QUEUE_WIDE_SHARE = 4,
	/* Guards: a process may have 65530 mappings, and each guard takes two. */
	HK_GUARDS = 8192,
	/* Addresses for blocks of size 0, and how many are examined to find a free one. */
	HK_EMPTY_PLACES = 1 << 16,
	HK_EMPTY_LOOKS = 64,
};

/* HAKMEM_SAMPLE (sample/). */
enum {
	/* Return addresses kept of a stack. */
	HK_SAMPLE_DEPTH = 64,
	/* Pairs of a stack and a size. */
	HK_SAMPLE_SITES = 1 << 14,
	/* Return addresses of all stacks together, and entries of the index that are examined
	 * for a stack. */
	HK_SAMPLE_FRAMES = 32 * HK_SAMPLE_SITES,
	HK_SAMPLE_LOOKS = 64,
	/* Sampled blocks in use: those of a heap of 32 GiB with a distance of 512 KiB. */
	HK_SAMPLE_BLOCKS = 1 << 16,
	/* The most blocks of a class that are counted at a time, and the most bytes: as many as a
	 * refill moves, but little memory, because the program uses each block in turn. */
	HK_SHOWN_MOST = 64,
	HK_SHOWN_BYTES = 16 * 1024,
	/* A list that is up to this many times as long is moved whole. */
	HK_SHOWN_WHOLE = 4,
	/* A list with less than this share of these blocks gets more from the slabs. If the slabs
	 * have none, they are asked again after this number of calls. */
	HK_SHOWN_LEAST_SHARE = 4,
	HK_SHOWN_WAIT = 256,
};

/* HAKMEM_SAMPLE_GUARD (sample/fence.c). */
enum {
	/* Places for one block each, in use or in quarantine: 36 MiB of address space with pages
	 * of 4 KiB, a quarter of it where addresses have 32 bits. A place needs up to two
	 * mappings, of the 65530 that a process may have. */
	HK_FENCES = sizeof(void *) == 8 ? 1024 : 256,
	/* The part of the places that may be in use, and the part that is in quarantine: this
	 * number of blocks is freed before a place is used again. The other places let a search
	 * succeed: with a quarter of all places, 64 looks fail once in 10^8 searches. */
	HK_FENCE_LIVE_SHARE = 2,
	HK_FENCE_RESTING_SHARE = 4,
	HK_FENCE_LOOKS = 64,
	/* The range takes at most this part of a limit on the address space. */
	HK_FENCE_SPACE_SHARE = 16,
	/* One block in this number is at the start of its pages, so that underflows are found;
	 * overflows are more frequent. */
	HK_FENCE_START_SHARE = 4,
	/* Return addresses kept of the stack that freed a block, and shown of any. */
	HK_FENCE_DEPTH = 16,
	/* Bytes that must be left of a signal stack for the lines, and for the unwinder too. With
	 * the frame of the signal, 4.5 KiB were used on x86-64, and 5.9 KiB with the unwinder;
	 * other versions of it may need more. */
	HK_FENCE_STACK_LEAST = 2 << 10,
	HK_FENCE_STACK = 16 << 10,
	/* ms. If nobody reads standard error, the lines of a stack end after this time. A second
	 * thread that faults waits no longer than that. */
	HK_FENCE_REPORT_MS = 2000,
};

/* Debug levels. */
enum {
	/* Events in the ring, and most lines printed of a list. */
	HK_RING_EVENTS = 1 << 16,
	HK_RING_SHOWN = 64,
	/* Slabs in one list of a class that are checked at a time. */
	HK_WALKED_SLABS = 16,
};

#endif
