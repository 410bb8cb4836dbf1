/*
 * HAKMEM: a malloc for Linux.
 *
 * The verbs of malloc(3) under names of their own, for programs that want
 * this allocator whatever malloc() is. Unless said otherwise every function
 * may be called by any thread at any time, from constructors to the last
 * destructor and in the child of a fork, but not from a signal handler. Blocks start at multiples of 16
 * bytes. A block of hak_malloc() may go to free() and the other way round
 * when the library also provides malloc(), which is how it is shipped.
 *
 * Freeing what is not the start of a live block stops the program: one line
 * on standard error, then abort().
 */
#ifndef HAKMEM_HAKMEM_H
#define HAKMEM_HAKMEM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* At least size bytes; size 0 gives a block of its own. NULL and ENOMEM when
 * there is no memory or size exceeds PTRDIFF_MAX. */
void *hak_malloc(size_t size);

/* count * size bytes, all zero; an overflow is NULL and ENOMEM. */
void *hak_calloc(size_t count, size_t size);

/* Resizes, moving if it must; NULL and ENOMEM leave the block as it was, also
 * where count * size overflows. A NULL block is hak_malloc(size); size 0 frees
 * the block and returns NULL. A moved block is aligned to 16 bytes only. */
void *hak_realloc(void *block, size_t size);
void *hak_reallocarray(void *block, size_t count, size_t size);

/* NULL is ignored; errno is preserved. The sizes and the alignment are those
 * that were asked for; they are not relied on. */
void hak_free(void *block);
void hak_free_sized(void *block, size_t size);
void hak_free_aligned_sized(void *block, size_t align, size_t size);

/* At least size bytes at a multiple of align, any power of two up to 1 GiB.
 * NULL and EINVAL: no power of two; NULL and ENOMEM: more, or no memory.
 * hak_memalign rounds other alignments up to a power of two, as glibc does. */
void *hak_aligned_alloc(size_t align, size_t size);
void *hak_memalign(size_t align, size_t size);
/* Returns 0, EINVAL (align no power of two or no multiple of sizeof(void *))
 * or ENOMEM; *out changes on success alone, errno never. */
int hak_posix_memalign(void **out, size_t align, size_t size);
void *hak_valloc(size_t size);		/* aligned to a page of the system */
void *hak_pvalloc(size_t size);		/* and rounded up to whole pages */

/* Bytes that may be used in a live block, at least those asked for; 0 for
 * NULL. */
size_t hak_malloc_usable_size(const void *block);

/* Gives back to the system what this thread's cache and the process hold
 * without need. 1 if anything was given back, else 0. pad, the bytes that
 * glibc would keep, is ignored. */
int hak_malloc_trim(size_t pad);

/* "1.0.0" or later; a constant string. May be called from a signal handler. */
const char *hak_version(void);

/*
 * The settings in force, as hakmem(7) lists them. They are read once, at
 * start, and never change after that.
 *
 * hak_setting_name: the name of setting number index, counted from 0,
 * "HAKMEM_PROFILE" being one of them; NULL past the last. A constant string.
 * May be called from a signal handler.
 *
 * hak_setting: the value of the setting of this name, or of this older
 * spelling of a name, written as the environment would give it: printable
 * ASCII. Returns its length, as snprintf(3) does: at most size - 1 bytes of
 * it and a NUL are put in value, which may be NULL if size is 0. -1 and
 * EINVAL: no such setting.
 *
 * hak_setting_source: where that value comes from: "default", "profile" or
 * "environment", a constant string. NULL and EINVAL: no such setting.
 */
const char *hak_setting_name(unsigned index);
int hak_setting(const char *name, char *value, size_t size);
const char *hak_setting_source(const char *name);

/*
 * Statistics. Figures that end in bytes, and the first six, are in bytes; the
 * others are counts. Those of the present state hold for one moment:
 *
 *	mapped = in_use + cached + free_bytes + metadata
 *	in_use = slab_bytes + mid_bytes + large_bytes
 *
 * Those of the past are counted since the start of the process, or in the
 * child of a fork since the start of its parent, and wrap beyond SIZE_MAX. A
 * block counts with its usable size; one that another thread freed is in use
 * until its owner has it back.
 */
struct hak_stats {
	size_t mapped;		/* from the system, metadata included */
	size_t in_use;		/* blocks that the program holds */
	size_t cached;		/* free blocks in the lists of threads */
	size_t free_bytes;	/* the rest: free, kept, lost to rounding */
	size_t metadata;
	size_t mapped_peak;	/* the most that mapped ever was */

	size_t slab_blocks, slab_bytes;		/* in use, to 32 KiB */
	size_t mid_blocks, mid_bytes;		/* in use, to 1 MiB */
	size_t large_blocks, large_bytes;	/* in use: Large and Huge */
	size_t kept_blocks, kept_bytes;		/* free ranges kept */

	size_t superslabs;			/* of 2 MiB, mapped now */
	size_t superslabs_peak;			/* at most at once */
	size_t superslabs_mapped;		/* so far */
	size_t superslabs_unmapped;
	size_t purged_bytes;	/* given back from inside SuperSlabs so far */

	/* How often the Shared Pool served by each stage so far: 1 reuse, 2
	 * claim, 3 grow. Stages 2 and 3 serve Mid blocks as well. */
	size_t reuse, claim, grow;

	size_t threads;		/* with a cache now */
	size_t remote_sent;	/* blocks of other threads freed so far */
	size_t remote_received;	/* of these, taken by a mailbox's owner */
	size_t learn_windows;	/* after which a thread adapted its lists */
	size_t learn_budget;	/* bytes, now: capacities of the threads that did */

	size_t hole_bytes;	/* of free_bytes: in holes of slabs, without memory */
	size_t holed_bytes;	/* given back from inside slabs in use, so far */
	size_t scavenger;	/* 1 while the thread of HAKMEM_SCAVENGER exists */
	size_t scavenger_turns;	/* it looked for memory to give back, so far */

	size_t superslabs_huge;	/* of huge pages now: asked for, or mode always */
	size_t promoted;	/* by MEM learning to huge pages, so far */
	size_t demoted;		/* to small ones, for they got sparse */
	size_t reverted;	/* to small ones, for huge ones were in vain */
	size_t purge_delay;	/* ms that free memory waits for another use */
};

/*
 * The figures of one size class. The blocks of its slabs are used + cached +
 * free_blocks; slab_bytes above is the sum of used * size over all classes,
 * cached that of cached * size. Those from filled to slabs_peak are history
 * that is kept with HAKMEM_STATS=1 alone and else 0. Where lists are adapted
 * (HAKMEM_ALLOC_LEARN=1) capacity and batch are what threads learned on
 * average, the latest counting most.
 */
struct hak_class_stats {
	size_t size;		/* bytes in a block */
	size_t group;		/* 3 for C3 */
	size_t used;		/* blocks that the program holds */
	size_t cached;		/* blocks in the lists of threads */
	size_t free_blocks;	/* blocks in slabs */
	size_t slabs;		/* now, idle ones included */
	size_t refills;		/* of threads' lists so far */
	size_t flushes;
	size_t reuse, claim, grow;	/* slabs by stage so far */
	size_t filled;		/* blocks that went from slabs into lists */
	size_t flushed;		/* blocks that came back to owned slabs */
	size_t slabs_peak;	/* slabs at most at once */
	size_t capacity, batch;	/* of a list of a new thread, in blocks */
	size_t grants, cuts;	/* windows that raised, lowered a capacity */
};

/*
 * Fill in the statistics; size is that of the structure, by which a program
 * and a library of different versions understand each other: members are only
 * ever added at the end, and those that the library does not know become 0.
 *
 * hak_stats returns the size of the structure that the library knows.
 *
 * hak_class_stats fills in an array of count structures from the smallest
 * class up, as far as there are classes, and returns their number; with count
 * 0 classes may be NULL. Two calls see two moments.
 *
 * Neither fails, allocates or changes errno. Both stop the slow paths of all
 * threads for as long as it takes to walk the descriptors of the heap.
 */
size_t hak_stats(struct hak_stats *stats, size_t size);
size_t hak_class_stats(struct hak_class_stats *classes, size_t size, size_t count);

/*
 * The same as one JSON object of a single moment, its members named as above,
 * with "schema": 1 first; the array "classes" has those classes that were
 * used. write is called on this thread with a piece at a time, not terminated
 * by a NUL, with no lock held; it may allocate, and may leave by an exception
 * or longjmp(3). Nothing else here allocates.
 */
void hak_stats_json(void (*write)(void *argument, const char *text, size_t length),
		    void *argument);

/* Writes the statistics now to the file of HAKMEM_STATS_DUMP, in place of what
 * it held. 0, or -1 if the variable is not set, or if the file cannot be
 * written, which a line on standard error says. Preserves errno. */
int hak_stats_dump(void);

/* Writes what was learned now to the file of HAKMEM_LEARN_SAVE, as settings to
 * start from, in place of what it held. Returns and fails as hak_stats_dump
 * does. */
int hak_learn_save(void);

#ifdef __cplusplus
}
#endif
#endif
