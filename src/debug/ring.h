/*
 * What HAKMEM_DEBUG_LEVEL turns on. Each level adds to those below it:
 *
 *	1  the ring: recent slow-path events, printed after the abort line
 *	2  the trace: the thread caches stay empty, so that every malloc and
 *	   free is such an event, and the history of the pointer is printed
 *	3  the walkers: slab/slab_walk.c, pool/pool_walk.c, cache/cache_walk.c
 *
 * Debug builds always have the ring and the walkers. At level 0 an event
 * costs its slow path one test of a setting, and the hot path nothing.
 */
#ifndef HK_DEBUG_RING_H
#define HK_DEBUG_RING_H

#include "config/settings.h"
#include "os/platform.h"

#include <stdint.h>

/* What the amount of an event counts; an event with BYTES concerns them all. */
enum hk_amount { HK_AMOUNT_NONE, HK_AMOUNT_BLOCKS, HK_AMOUNT_BYTES };

#define HK_EVENT_LIST(EVENT)						\
	EVENT(MALLOC, "malloc", BYTES)					\
	EVENT(FREE, "free", NONE)					\
	EVENT(RESIZE, "resize in place to", BYTES)			\
	EVENT(REMOTE, "free for its owner", NONE)			\
	EVENT(HOME, "back with its owner", NONE)			\
	EVENT(REFILL, "refill", BLOCKS)					\
	EVENT(FLUSH, "flush", BLOCKS)					\
	EVENT(SEND, "remote batch sent", BLOCKS)			\
	EVENT(RECEIVE, "remote batches received", BLOCKS)		\
	EVENT(REUSE, "stage 1 reuse", BYTES)				\
	EVENT(CLAIM, "stage 2 claim", BYTES)				\
	EVENT(GROW, "stage 3 grow", BYTES)				\
	EVENT(ADOPT, "slab adopted", BYTES)				\
	EVENT(DISOWN, "slab without owner", BYTES)			\
	EVENT(RELEASE, "slots free", BYTES)				\
	EVENT(MAP, "SuperSlab mapped", BYTES)				\
	EVENT(UNMAP, "SuperSlab unmapped", BYTES)			\
	EVENT(PURGE, "SuperSlab purged", BYTES)				\
	EVENT(LARGE_MAP, "Large mapped", BYTES)				\
	EVENT(LARGE_REUSE, "Large reused", BYTES)			\
	EVENT(LARGE_KEEP, "Large kept", BYTES)				\
	EVENT(LARGE_UNMAP, "Large unmapped", BYTES)			\
	EVENT(ATTACH, "thread cache attached", NONE)			\
	EVENT(EXIT, "thread cache retired", NONE)			\
	EVENT(FORK, "fork", NONE)

enum hk_event {
#define HK_EVENT_ID(id, name, amount) HK_EVENT_##id,
	HK_EVENT_LIST(HK_EVENT_ID)
	HK_EVENT_COUNT
};

HK_INLINE bool hk_ring_on(void)
{
	return HK_DEBUG_BUILD || hk_unlikely(hk_settings.debug_level >= 1);
}

HK_INLINE bool hk_trace_on(void)
{
	return hk_unlikely(hk_settings.debug_level >= 2);
}

HK_INLINE bool hk_walk_on(void)
{
	return HK_DEBUG_BUILD || hk_unlikely(hk_settings.debug_level >= 3);
}

/* After the settings were read; may be called again. */
void hk_ring_start(void);

/* size: of a block of the class concerned, or 0. Any thread, any lock held. */
void hk_ring_put(enum hk_event event, size_t size, const void *at, size_t amount,
		 const void *caller);

/* A slow-path event. */
HK_INLINE void hk_event(enum hk_event event, size_t size, const void *at, size_t amount)
{
	if (hk_ring_on())
		hk_ring_put(event, size, at, amount, NULL);
}

/* An event in the life of one block. */
HK_INLINE void hk_trace(enum hk_event event, const void *at, size_t amount, const void *caller)
{
	if (hk_trace_on())
		hk_ring_put(event, 0, at, amount, caller);
}

/* Aborts with this line about a pointer, and what is known of the pointer. */
_Noreturn void hk_trace_abort(struct hk_line *line, const void *p);

/* For walkers: stops the program where an invariant does not hold. */
_Noreturn void hk_broken(const char *invariant, const void *at);
#define hk_invariant(holds, what, at) \
	(hk_likely(holds) ? (void)0 : hk_broken(what, at))

#endif
