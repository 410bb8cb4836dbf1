/*
 * What HAKMEM_DEBUG_LEVEL enables. Each level adds to those below it:
 *
 *	1  the ring: recent slow-path events, printed after the abort message
 *	2  the trace: the thread caches remain empty, so that every malloc and
 *	   free is a slow-path event, and the history of the pointer is printed
 *	3  the walkers: slab/slab_walk.c, pool/pool_walk.c, cache/cache_walk.c
 *
 * Debug builds always have the ring and the walkers. At level 0 an event costs its slow path
 * one test of a setting; the hot path is unaffected.
 */
#ifndef HK_DEBUG_RING_H
#define HK_DEBUG_RING_H

#include "config/settings.h"
#include "os/platform.h"
#include "os/probe.h"

#include <stdint.h>

/* The unit of an event's amount. An event with BYTES concerns every block in that range. */
enum hk_amount { HK_AMOUNT_NONE, HK_AMOUNT_BLOCKS, HK_AMOUNT_BYTES };

/* Events in the life of one block. */
#define HK_BLOCK_EVENTS(EVENT)						\
	EVENT(MALLOC, "malloc", BYTES)					\
	EVENT(FREE, "free", NONE)					\
	EVENT(RESIZE, "resize in place to", BYTES)			\
	EVENT(REMOTE, "free for its owner", NONE)			\
	EVENT(HOME, "back with its owner", NONE)

/* Events of slow paths, with the names of their probe points. */
#define HK_SLOW_EVENTS(EVENT)						\
	EVENT(REFILL, "refill", BLOCKS, refill)				\
	EVENT(FLUSH, "flush", BLOCKS, flush)				\
	EVENT(SEND, "remote batch sent", BLOCKS, send)			\
	EVENT(RECEIVE, "remote batches received", BLOCKS, receive)	\
	EVENT(REUSE, "stage 1 reuse", BYTES, reuse)			\
	EVENT(CLAIM, "stage 2 claim", BYTES, claim)			\
	EVENT(GROW, "stage 3 grow", BYTES, grow)			\
	EVENT(ADOPT, "slab adopted", BYTES, adopt)			\
	EVENT(DISOWN, "slab without owner", BYTES, disown)		\
	EVENT(RELEASE, "slots free", BYTES, release)			\
	EVENT(MAP, "SuperSlab mapped", BYTES, map)			\
	EVENT(UNMAP, "SuperSlab unmapped", BYTES, unmap)		\
	EVENT(PURGE, "SuperSlab purged", BYTES, purge)			\
	EVENT(LARGE_MAP, "Large mapped", BYTES, large_map)		\
	EVENT(LARGE_REUSE, "Large reused", BYTES, large_reuse)		\
	EVENT(LARGE_KEEP, "Large kept", BYTES, large_keep)		\
	EVENT(LARGE_UNMAP, "Large unmapped", BYTES, large_unmap)	\
	EVENT(ATTACH, "thread cache attached", NONE, thread_start)	\
	EVENT(EXIT, "thread cache retired", NONE, thread_end)		\
	EVENT(FORK, "fork", NONE, fork)

enum hk_event {
#define HK_EVENT_ID(id, ...) HK_EVENT_##id,
	HK_BLOCK_EVENTS(HK_EVENT_ID)
	HK_SLOW_EVENTS(HK_EVENT_ID)
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

/* Called after the settings were read; may be called again. */
void hk_ring_start(void);

/* size: of a block of the class, or 0. May be called by any thread, with any lock held. */
void hk_ring_put(enum hk_event event, size_t size, const void *at, size_t amount,
		 const void *caller);

/* event is a constant, so that the compiler keeps only one of the probe points. */
HK_INLINE void hk_probe_event(enum hk_event event, size_t size, const void *at, size_t amount)
{
	switch (event) {
#define HK_EVENT_PROBE(id, name, counts, probe) \
	case HK_EVENT_##id: HK_PROBE3(probe, size, at, amount); break;
	HK_SLOW_EVENTS(HK_EVENT_PROBE)
	default: break;
	}
}

HK_INLINE void hk_event(enum hk_event event, size_t size, const void *at, size_t amount)
{
	hk_probe_event(event, size, at, amount);
	if (hk_ring_on())
		hk_ring_put(event, size, at, amount, NULL);
}

HK_INLINE void hk_trace(enum hk_event event, const void *at, size_t amount, const void *caller)
{
	if (hk_trace_on())
		hk_ring_put(event, 0, at, amount, caller);
}

/* Writes this line about a pointer, and what is known about the pointer, and aborts. */
_Noreturn void hk_trace_abort(struct hk_line *line, const void *p);

/* For walkers: stops the program if an invariant does not hold. */
_Noreturn void hk_broken(const char *invariant, const void *at);
#define hk_invariant(holds, what, at) \
	(hk_likely(holds) ? (void)0 : hk_broken(what, at))

#endif
