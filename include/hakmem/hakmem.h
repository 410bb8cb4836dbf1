/*
 * HAKMEM: a malloc for Linux.
 *
 * The functions of malloc(3) under names of their own, for programs that want
 * this allocator whichever one malloc() belongs to. Unless said otherwise,
 * every function may be called by any thread at any time, from the first
 * constructor to the last destructor and in the child of a fork, but not from
 * a signal handler. Blocks start at multiples of 16 bytes. Unless the library
 * was configured with --enable-prefixed, it provides malloc() too, and a block
 * of hak_malloc() may be passed to free() and a block of malloc() to
 * hak_free().
 *
 * If a pointer that is not the start of a live block is freed, the program is
 * aborted: one line on standard error, then abort().
 */
#ifndef HAKMEM_HAKMEM_H
#define HAKMEM_HAKMEM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Allocates at least size bytes; size 0 yields a unique block. NULL and ENOMEM
 * if there is no memory or size exceeds PTRDIFF_MAX. */
void *hak_malloc(size_t size);

/* Allocates count * size bytes, all zero; NULL and ENOMEM also on overflow. */
void *hak_calloc(size_t count, size_t size);

/* Resizes a block, and moves it if necessary. NULL and ENOMEM, also if
 * count * size overflows: the block is unchanged. If block is NULL, the same as
 * hak_malloc(size); if size is 0, frees the block and returns NULL. A moved
 * block is aligned to 16 bytes only. */
void *hak_realloc(void *block, size_t size);
void *hak_reallocarray(void *block, size_t count, size_t size);

/* NULL is ignored; errno is preserved. size and align are the values that were
 * requested; the library does not rely on them. */
void hak_free(void *block);
void hak_free_sized(void *block, size_t size);
void hak_free_aligned_sized(void *block, size_t align, size_t size);

/* Allocates at least size bytes at a multiple of align, a power of two.
 * NULL and EINVAL: align is not a power of two; NULL and ENOMEM: align does not
 * fit into the address space, or there is no memory. hak_memalign rounds other
 * alignments up to a power of two, as glibc does. */
void *hak_aligned_alloc(size_t align, size_t size);
void *hak_memalign(size_t align, size_t size);
/* Returns 0, EINVAL (align is not a power of two, or not a multiple of
 * sizeof(void *)) or ENOMEM, to which it also sets errno. Changes *out only on
 * success. */
int hak_posix_memalign(void **out, size_t align, size_t size);
void *hak_valloc(size_t size);		/* aligned to a page of the system */
void *hak_pvalloc(size_t size);		/* and rounded up to whole pages */

/* The number of usable bytes in a live block, at least those requested; 0 for
 * NULL. */
size_t hak_malloc_usable_size(const void *block);

/* Releases free memory of the process to the system, including that in the
 * cache of this thread. Returns 1 if any memory was released, otherwise 0. pad,
 * the number of bytes that glibc would keep, is ignored. */
int hak_malloc_trim(size_t pad);

/* For a thread that is about to wait for long: makes the free blocks and empty
 * slabs that it keeps available to all threads. Its next calls are slower.
 * Preserves errno. */
void hak_thread_idle(void);

/* The version, "1.0.0" or later; a constant string. May be called from a
 * signal handler. */
const char *hak_version(void);

/*
 * The settings in force; hakmem(7) describes them. They are read once, at the
 * start. Some of them can change afterwards: see hak_set.
 *
 * hak_setting_name returns the name of the setting with this index, counted
 * from 0, for example "HAKMEM_PROFILE"; NULL after the last one. A constant
 * string. May be called from a signal handler.
 *
 * hak_setting returns the value of the setting with this name, which may be an
 * older spelling. The value is written as in the environment, in printable
 * ASCII. As snprintf(3) does, it returns the length and stores at most size - 1
 * bytes and a NUL in value, which may be NULL if size is 0. -1 and EINVAL: no
 * such setting.
 *
 * hak_setting_source returns the source of that value: "default", "profile",
 * "environment" or "change", a constant string. NULL and EINVAL: no such setting.
 */
const char *hak_setting_name(unsigned index);
int hak_setting(const char *name, char *value, size_t size);
const char *hak_setting_source(const char *name);

/*
 * Settings of the running process. hakmem(7) tells which ones can change; the
 * command hakmem set changes them too.
 *
 * hak_set changes a setting to a value as in the environment. 0, or -1 and
 * errno: EINVAL, there is no such setting, or the value is bad; EPERM, the
 * setting cannot change in this process; ENOMEM; EBUSY, another thread has been
 * changing settings, or has been in fork, for a second or longer, or the call
 * was made in a signal handler that interrupted the allocator, or in a fork
 * handler of a program with threads. Any thread may call it.
 *
 * hak_setting_changed returns 1 if the setting was changed since the start, by
 * hak_set or by another process, otherwise 0. -1 and EINVAL: no such setting.
 */
int hak_set(const char *name, const char *value);
int hak_setting_changed(const char *name);

/*
 * The limit of the heap: the bytes that it may map from the system for blocks
 * (HAKMEM_LIMIT). If an allocation needs more, free memory of the heap is
 * released; if that does not suffice, the allocation fails with ENOMEM.
 * Metadata is counted, but is never refused.
 *
 * hak_set_limit changes the limit, from 1 byte up, or removes it, if bytes is
 * 0; returns the former limit, or 0. If more is mapped already, nothing is
 * released by this call, and allocations fail until less is mapped. May be
 * called at any time by any thread, but not from a signal handler.
 *
 * hak_set_limit_callback sets the function that is called when an allocation of
 * size bytes is about to fail because of the limit; NULL for none. It runs in
 * the thread of that allocation, with no lock of the library held, and may free
 * memory; the allocation is then tried a last time. It is called once, and again
 * only after a 16th of the memory in use was freed, or the limit or the callback
 * was changed.
 *
 * The callback must return. It may allocate, free and change the limit;
 * allocations in it fail without calling it. The thread may hold any lock with
 * which the program or libc allocates, for example that of a stream or of
 * dlopen(3): the callback must not wait for such a lock, so it must not use
 * stdio or start threads. Variables that it changes must be volatile or atomic,
 * because compilers assume that malloc() does not change them. If a signal
 * handler of the program allocates, the callback may run in it, except if the
 * handler interrupted the allocator.
 */
size_t hak_set_limit(size_t bytes);
void hak_set_limit_callback(void (*callback)(size_t size));

/*
 * Statistics. The first six figures, and those whose names end in bytes, are in
 * bytes; the others are counts. The figures of the present state are taken at
 * the same moment:
 *
 *	mapped = in_use + cached + free_bytes + metadata
 *	in_use = slab_bytes + mid_bytes + large_bytes
 *
 * Figures "so far" are counted since the start of the process, in the child of
 * a fork since the start of its parent, and wrap after SIZE_MAX. A block counts
 * with its usable size. A block that another thread freed counts as in use
 * until its owner has received it.
 * Memory that a thread is mapping, unmapping or passing from one use to another
 * counts as free.
 */
struct hak_stats {
	size_t mapped;		/* from the system, including metadata */
	size_t in_use;		/* blocks that the program holds */
	size_t cached;		/* free blocks in the lists of threads */
	size_t free_bytes;	/* the rest: free, kept or lost to rounding */
	size_t metadata;
	size_t mapped_peak;	/* the largest value of mapped so far */

	size_t slab_blocks, slab_bytes;		/* in use, up to 32 KiB */
	size_t mid_blocks, mid_bytes;		/* in use, up to 1 MiB */
	size_t large_blocks, large_bytes;	/* in use: Large and Huge */
	size_t kept_blocks, kept_bytes;		/* free ranges kept for reuse */

	size_t superslabs;			/* of 2 MiB, mapped now */
	size_t superslabs_peak;			/* largest number at one time */
	size_t superslabs_mapped;		/* so far */
	size_t superslabs_unmapped;
	size_t purged_bytes;	/* released from inside SuperSlabs so far */

	/* Requests that each stage of the Shared Pool served so far: 1 reuse,
	 * 2 claim, 3 grow. Stages 2 and 3 serve Mid blocks too. */
	size_t reuse, claim, grow;

	size_t threads;		/* that have a cache now */
	size_t remote_sent;	/* blocks of other threads freed so far */
	size_t remote_received;	/* of these, received by their owners */
	size_t learn_windows;	/* after which a thread adapted its lists */
	size_t learn_budget;	/* bytes, now: capacities of these threads */

	size_t hole_bytes;	/* of free_bytes: in released pages of slabs */
	size_t hole_purged_bytes;	/* released from inside slabs in use so far */
	size_t scavenger;	/* 1 while the thread of HAKMEM_SCAVENGER exists */
	size_t scavenger_turns;	/* searches for memory to release so far */

	size_t superslabs_huge;	/* with huge pages now: requested, or mode always */
	size_t promoted;	/* by MEM learning to huge pages so far */
	size_t demoted;		/* to small pages because they became sparse */
	size_t reverted;	/* to small pages because huge ones wasted memory */
	size_t purge_delay;	/* ms that free memory waits for reuse */

	size_t samples;		/* of HAKMEM_SAMPLE so far */
	size_t samples_lost;	/* for which there was no room */
	size_t sample_sites;	/* pairs of a call stack and a size, now */
	size_t samples_guarded;	/* sampled blocks between guard pages, now */
	size_t samples_unguarded;	/* sampled blocks without guard pages, so far */

	/* releases of free memory because processes waited for memory, so far */
	size_t pressure;
	/* bytes of in_use that were not requested, now: an estimate from the samples,
	 * so 0 without HAKMEM_SAMPLE */
	size_t waste_estimate;
};

/*
 * The figures of one size class. Its slabs contain used + cached + free_blocks
 * blocks. slab_bytes above is the sum of used * size over all classes, and
 * cached above is the sum of cached * size. The figures from filled to
 * slabs_peak are only counted with HAKMEM_STATS=1 and are otherwise 0. If lists
 * are adapted (HAKMEM_ALLOC_LEARN=1), capacity and batch are averages of what
 * the threads have learned, weighted towards the latest.
 */
struct hak_class_stats {
	size_t size;		/* bytes in a block */
	size_t group;		/* 3 for C3 */
	size_t used;		/* blocks that the program holds */
	size_t cached;		/* blocks in the lists of threads */
	size_t free_blocks;	/* blocks in slabs */
	size_t slabs;		/* now, including idle ones */
	size_t refills;		/* of the lists of threads so far */
	size_t flushes;
	size_t reuse, claim, grow;	/* slabs acquired by each stage so far */
	size_t filled;		/* blocks moved from slabs into lists */
	size_t flushed;		/* blocks put into owned slabs */
	size_t slabs_peak;	/* largest number of slabs at one time */
	size_t capacity, batch;	/* of a list of a new thread, in blocks */
	size_t grants, cuts;	/* windows that raised and lowered a capacity */
};

/*
 * Fill in the statistics. size is the size of the structure, so that a program
 * and a library of different versions are compatible: new members are only
 * added at the end, and members that the library does not know become 0.
 *
 * hak_stats_get returns the size of the structure in the library.
 *
 * hak_class_stats_get fills in an array of up to count structures, starting with
 * the smallest class, and returns the number of classes. If count is 0, classes
 * may be NULL. Two calls do not see the same moment.
 *
 * Neither function fails, allocates or changes errno. Both block the slow paths
 * of all threads while they visit the descriptors of the heap.
 */
size_t hak_stats_get(struct hak_stats *stats, size_t size);
size_t hak_class_stats_get(struct hak_class_stats *classes, size_t size, size_t count);

/*
 * Writes the same statistics, all of one moment, as a JSON object. Its members
 * have the names above, after "schema": 1; the array "classes" contains the
 * classes that were used. write is called in this thread for one piece of text
 * at a time, which is not terminated by a NUL, and with no lock held. It may
 * allocate, throw an exception or call longjmp(3). The function itself does not
 * allocate.
 */
void hak_stats_json(void (*write)(void *argument, const char *text, size_t length),
		    void *argument);

/* Writes the present statistics to the file of HAKMEM_STATS_DUMP, which is
 * replaced. Returns 0, or -1 if the variable is not set or the file cannot be
 * written; the latter is reported on standard error. Preserves errno. */
int hak_stats_dump(void);

/* Writes what was learned so far, as settings for later runs, to the file of
 * HAKMEM_LEARN_SAVE, which is replaced. Returns and fails as hak_stats_dump
 * does. */
int hak_learn_save(void);

/*
 * Writes the heap profile of HAKMEM_SAMPLE to this file, which is replaced: the
 * call stacks of the sampled blocks, in the text format of gperftools. If path
 * is NULL, the file is that of HAKMEM_SAMPLE_DUMP. Returns 0, or -1 if
 * HAKMEM_SAMPLE is 0, if there is no path, or if the file cannot be written; in
 * the last case, a message is written to standard error. Preserves errno.
 */
int hak_profile_dump(const char *path);

#ifdef __cplusplus
}
#endif
#endif
