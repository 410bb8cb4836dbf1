/*
 * HAKMEM_SAMPLE_GUARD: sampled blocks between inaccessible pages. A range of address space is
 * divided into places for one block each, with a guard page between them. A random choice puts a
 * block at the end of its pages or at their start. The bytes of its pages that it does not use have
 * a pattern, which is checked when the block is freed. The pages of a freed block are inaccessible
 * until the place is used again: not before a number of other blocks were freed.
 *
 * The usable size is the requested one, so that the first byte after it is outside.
 *
 * Nothing here takes a lock, allocates or changes errno. A place belongs to the thread that has
 * changed its state from UNUSED or FREED to TAKEN, or from LIVE to FREEING.
 */
#ifndef HK_SAMPLE_FENCE_H
#define HK_SAMPLE_FENCE_H

#include "config/policy.h"
#include "os/line.h"
#include "os/platform.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* LOST: the kernel did not make the pages inaccessible, so the place is not used again. */
enum hk_fence_state { HK_FENCE_UNUSED, HK_FENCE_TAKEN, HK_FENCE_LIVE, HK_FENCE_FREEING, HK_FENCE_FREED,
		      HK_FENCE_LOST };

/*
 *	state	acquire and release
 *	dirty	the pages may not read as zero
 *	start	the block
 *	size	requested bytes
 *	site	of the sample, its index + 1, or 0
 *	freed	the stack of the free: depth return addresses
 *	turn	the number of blocks that had been freed before this one
 */
struct hk_fence {
	_Atomic uint8_t state;		/* enum hk_fence_state */
	bool dirty;
	uint32_t sample, site;
	uint32_t depth, turn;
	uintptr_t start;
	size_t size;
	uintptr_t freed[HK_FENCE_DEPTH];
};

/* Constant once it is made; start is 0 before. */
struct hk_fences {
	_Atomic uintptr_t start;
	size_t size, count;
	struct hk_fence *fence;
};
extern struct hk_fences hk_fences HK_HIDDEN;

/* Makes the range, once; no lock held. If the address space has no room, there is none. */
void hk_fence_make(void);

HK_INLINE bool hk_fences_exist(void)
{
	return atomic_load_explicit(&hk_fences.start, memory_order_acquire) != 0;
}

/* Is the address in the range? */
HK_INLINE bool hk_fenced(const void *p)
{
	return hk_fences_exist() &&
	       (uintptr_t)p - atomic_load_explicit(&hk_fences.start, memory_order_relaxed) < hk_fences.size;
}

/* A place for a block of this size, with accessible pages, and the pattern around it; NULL: not
 * now. The block is aligned as malloc and memalign promise, and reads as zero. No lock held. */
struct hk_fence *hk_fence_take(size_t size);
/* The block is about to belong to the program. */
void hk_fence_begin(struct hk_fence *fence, uint32_t sample);

/* The block that starts at p, in use or freed last; NULL: there is none. */
struct hk_fence *hk_fence_find(const void *p);
/* Is the block in use? */
bool hk_fence_live(struct hk_fence *fence);
/* The block that the address is nearest to; NULL: none is near. */
struct hk_fence *hk_fence_near(uintptr_t address);

/* Frees in three steps. retire: false: the block is free already. intact: false: the pattern was
 * overwritten at this address. end: the pages become inaccessible. */
bool hk_fence_retire(struct hk_fence *fence, const void *caller);
bool hk_fence_intact(const struct hk_fence *fence, uintptr_t *at);
void hk_fence_end(struct hk_fence *fence);

/*
 * For messages. where: the address in relation to the block. stacks: appends lines with the
 * stacks of the allocation and of the free; the line that was begun is written first, and the
 * last one is left for the caller to write.
 */
void hk_fence_put_where(struct hk_line *line, const struct hk_fence *fence, uintptr_t address);
void hk_fence_put_stacks(struct hk_line *line, const struct hk_fence *fence);
void hk_fence_put_stack(struct hk_line *line, const char *what, const uintptr_t *frame, uint32_t depth);

/* Reports faults in the range, if the program does not handle SIGSEGV; from a constructor. */
void hk_fence_watch(void);

#endif
