/*
 * The sampler of HAKMEM_SAMPLE. Each allocated byte is a sample with the same probability, one
 * in `mean`, independently of the others: the distances between samples are exponentially
 * distributed, and each cache has countdowns of its own. A block is sampled if it contains at
 * least one of these bytes. The probability for a block of s bytes is
 *
 *	p = 1 - exp(-s / mean)
 *
 * and a sampled block stands for 1 / p blocks. So sums of the weights s / p are unbiased for
 * every size and for every order of calls.
 *
 * The sampler can be turned on and off in a running process. While it is on, the hot path of
 * malloc finds only blocks that were counted in advance (cache/shown.c), so that the block to be
 * sampled is allocated in the slow path. A sampled block is never in a slab, and so free finds it
 * in a slow path, without a test in the hot path (cache/slow.c). Its size is that of the block
 * that the program would have got otherwise.
 *
 * Nothing here but the start takes a lock, allocates or changes errno: these functions may be
 * called in signal handlers, in the child of a fork, and at the start and the end of a thread.
 */
#ifndef HK_SAMPLE_SAMPLE_H
#define HK_SAMPLE_SAMPLE_H

#include "os/platform.h"
#include "sample/table.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The mean distance of samples in bytes; 0: the sampler is off. Relaxed. */
extern _Atomic size_t hk_sample_mean HK_HIDDEN;

/*
 * A countdown of a cache. All relaxed: threads without a cache of their own share one, and may lose
 * a count.
 *	left	bytes until the next sample
 *	random	the state of its generator of random numbers
 */
struct hk_sampler {
	_Atomic int64_t left;
	_Atomic uint64_t random;
	_Atomic bool started;		/* false: `left` must be chosen */
};

/* The countdown has ended. False: it had not started, or this thread takes a sample now. */
bool hk_sample_reached(struct hk_sampler *s, size_t size);

HK_INLINE bool hk_sampling(void)
{
	return atomic_load_explicit(&hk_sample_mean, memory_order_relaxed) != 0;
}

HK_INLINE int64_t hk_sample_left(const struct hk_sampler *s)
{
	return atomic_load_explicit(&s->left, memory_order_relaxed);
}

HK_INLINE int64_t hk_sample_count(struct hk_sampler *s, size_t size)
{
	int64_t left = hk_sample_left(s) - (int64_t)size;

	atomic_store_explicit(&s->left, left, memory_order_relaxed);
	return left;
}

/* Counts an allocation of this size; true: it is to be sampled. */
HK_INLINE bool hk_sample_due(struct hk_sampler *s, size_t size)
{
	return hk_unlikely(hk_sampling()) && hk_unlikely(hk_sample_count(s, size) < 0) &&
	       hk_sample_reached(s, size);
}

/* Returns bytes to the countdown that were counted but not allocated. */
HK_INLINE void hk_sample_return(struct hk_sampler *s, size_t size)
{
	if (atomic_load_explicit(&s->started, memory_order_relaxed))
		atomic_store_explicit(&s->left, hk_sample_left(s) + (int64_t)size, memory_order_relaxed);
}

/* Is there a sample, or was there one? */
HK_INLINE bool hk_samples_exist(void)
{
	return atomic_load_explicit(&hk_sample_counters.taken, memory_order_relaxed) != 0;
}

/* Records a sampled block; returns the number of the sample, or 0 if there is no room. size: with
 * which it was counted; spare: the bytes of the block that were not requested; caller: the return
 * address in the program. */
uint32_t hk_sample_take(const void *p, size_t size, size_t spare, const void *caller);
/* The site of a sample in use, its index + 1. */
uint32_t hk_sample_site(uint32_t sample);
/* Counts a sample that was due and is not recorded. */
void hk_sample_lose(void);
/* The block was freed. 0 is ignored. */
void hk_sample_drop(uint32_t sample);

/* Starts the sampler if the settings ask for it; at the start of the process, no lock held. */
void hk_sample_start(void);

/* Appends the call sites that hold the most bytes now, if the sampler was on. */
struct hk_file;
void hk_sample_put_top(struct hk_file *file);
/* Turns the sampler on with this mean distance, or off if it is 0. No lock held, one call at a
 * time. False: there is no memory for the table. True: the caller must call hk_lists_lead()
 * next, for the lists of all caches. Samples stay recorded until their blocks are freed. */
bool hk_sample_set(size_t mean);
/* The sampler must choose its next sample again. */
HK_INLINE void hk_sample_restart(struct hk_sampler *s)
{
	atomic_store_explicit(&s->started, false, memory_order_relaxed);
	atomic_store_explicit(&s->left, 0, memory_order_relaxed);
}

/* Writes the heap profile: 0, or -1 if the sampler was never on or writing fails, which is
 * reported. path: NULL for that of HAKMEM_SAMPLE_DUMP. */
int hk_sample_dump(const char *path);

#endif
