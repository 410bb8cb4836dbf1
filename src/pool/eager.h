/*
 * Release as the program frees: for a program that asked for memory to be released
 * while it is idle (HAKMEM_SCAVENGER) and has no scavenger thread, because it has no
 * threads of its own, is too young, or is in a sandbox. Nothing runs while it is
 * idle, so what may wait at any time is small: a share of the heap, which grows when
 * memory was wanted again soon after it was released.
 */
#ifndef HK_POOL_EAGER_H
#define HK_POOL_EAGER_H

#include "config/policy.h"
#include "os/platform.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

/* In force now; relaxed. Set by learn/. */
extern _Atomic bool hk_eager;

HK_INLINE bool hk_is_eager(void)
{
	return atomic_load_explicit(&hk_eager, memory_order_relaxed);
}

/* So many eighths of the bytes that may wait. */
size_t hk_eager_bytes(unsigned eighths);

/* Bytes of pages that the process released so far, in whatever mode. */
size_t hk_eager_released(void);

/* No released memory was wanted again recently: a single free page is worth a purge. */
bool hk_eager_thorough(void);

/* Learns from the last period; for one thread at a time, the holder of the pool
 * lock. */
void hk_eager_learn(uint64_t now);

#endif
