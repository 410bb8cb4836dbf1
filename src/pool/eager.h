/*
 * Eager mode: memory is released while the program frees. It is for a program that has set
 * HAKMEM_SCAVENGER, so that memory is released while it is idle, but has no scavenger
 * thread, because it has no threads of its own, was started just now, or is in a sandbox.
 * Nothing can be released while such a program is idle, so only a small share of the heap
 * may wait for another use. The share grows if memory is needed again soon after it was
 * released.
 */
#ifndef HK_POOL_EAGER_H
#define HK_POOL_EAGER_H

#include "config/policy.h"
#include "os/platform.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* Is the mode in force? Relaxed; set by learn/. */
extern _Atomic bool hk_eager;

HK_INLINE bool hk_is_eager(void)
{
	return atomic_load_explicit(&hk_eager, memory_order_relaxed);
}

/* The given number of eighths of the bytes that may wait. */
size_t hk_eager_bytes(unsigned eighths);

/* Bytes of pages that the process has released so far, in any mode. */
size_t hk_eager_released(void);

/* True if no released memory was needed again recently: then even a single free page is
 * worth a purge. */
bool hk_eager_thorough(void);

/* Learns from the last period; the caller holds the pool lock. */
void hk_eager_learn(uint64_t now);

#endif
