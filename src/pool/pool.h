/*
 * The Shared Pool: the process-wide owner of SuperSlabs. A slab is acquired
 * in three stages, each tried only when the one before has nothing:
 *
 *	1 reuse   reuse.c    a slab that this class returned; lock-free
 *	2 claim   claim.c    free slots of a SuperSlab; one compare-and-swap
 *	3 grow    claim.c    a new SuperSlab, in a free range or in memory from the OS
 *
 * and goes back the same way: to stage 1 while its class keeps few, else its
 * slots become free; SuperSlabs with free slots that are dirty wait in a
 * queue (index.c) and go back to the OS after a delay (release.c).
 *
 * Callers hold their cache lock (cache/cache.h), if nothing else is said. That is
 * not for these structures, which have their own rules, but for fork: while fork
 * holds all cache locks, no list here is half changed. What calls the kernel holds
 * no lock.
 */
#ifndef HK_POOL_POOL_H
#define HK_POOL_POOL_H

#include "config/policy.h"
#include "os/lock.h"
#include "os/os.h"
#include "slab/meta.h"
#include "slab/slab.h"

/* Hints are per class, plus one for Mid runs. */
enum { HK_HINT_MID = HK_CLASSES, HK_HINTS };

/* Counted since the start; relaxed, read by statistics. */
struct hk_pool_counters {
	_Atomic size_t reuse[HK_CLASSES];	/* stage 1 */
	_Atomic size_t claim[HK_HINTS];		/* stage 2 */
	_Atomic size_t grow[HK_HINTS];		/* stage 3 */
	_Atomic size_t superslabs;		/* mapped now */
	_Atomic size_t superslabs_peak;
	_Atomic size_t mapped, unmapped;	/* SuperSlabs ever */
	_Atomic size_t from_store;		/* of mapped: in memory that was there */
	_Atomic size_t purged_bytes;		/* given back while mapped */
	_Atomic size_t dirtied_slots;		/* that got memory so far */
	_Atomic size_t slabs[HK_CLASSES];	/* now, those of stage 1 too */
	_Atomic size_t slabs_peak[HK_CLASSES];	/* kept with HAKMEM_STATS=1 */
};
extern struct hk_pool_counters hk_pool_counters;
extern _Atomic size_t hk_pool_touched_slots;

HK_INLINE size_t hk_count(_Atomic size_t *counter)
{
	return atomic_fetch_add_explicit(counter, 1, memory_order_relaxed) + 1;
}

/* Does the heap come near the memory limit of its control group? Then there are
 * no further huge pages, and little is kept for later. */
HK_INLINE bool hk_pool_scarce(void)
{
	return atomic_load_explicit(&hk_os_mapped, memory_order_relaxed) >=
	       hk_os_memory_limit - hk_os_memory_limit / HK_SCARCE_LEFT;
}

/* A slab for this class, owned by the cache, from stage 1 or 2, or NULL: the pool
 * must grow; where fresh is false, also if no memory that was in use before
 * serves. */
struct hk_slab *hk_pool_acquire(unsigned class, struct hk_cache *owner, bool fresh);

/* Slots that hold pages, used or free: what the heap has taken of the OS. */
HK_INLINE size_t hk_pool_touched(void)
{
	return atomic_load_explicit(&hk_pool_touched_slots, memory_order_relaxed);
}

/* Takes back a slab with no used block. */
void hk_pool_return(struct hk_slab *slab);

/* Takes over a slab whose owner goes away; blocks may be in use. */
void hk_pool_abandon(struct hk_slab *slab);

/* Becomes the owner of a slab that has none; false if it has one by now. */
bool hk_pool_adopt(struct hk_slab *slab, struct hk_cache *owner);

/* Slots that are the caller's. clean: all of them read as zero. */
struct hk_run {
	struct hk_superslab *home;
	unsigned first;
	bool clean;
};

/* Stage 2: a run of free slots, its start aligned to align slots (a power of two).
 * False: there is none, or fresh is false and none was used before. */
bool hk_pool_claim(struct hk_run *run, unsigned slots, unsigned align, unsigned hint, bool fresh);

/* Stage 3 in two steps. The first takes a descriptor for a new SuperSlab and, if the
 * store of free ranges has some, its memory; NULL: there is no descriptor. The second,
 * with no lock held, maps memory if there was none, and takes the first slots for the
 * caller. False: out of memory, or s is NULL. */
struct hk_superslab *hk_pool_plan(void);
bool hk_pool_grow(struct hk_run *run, unsigned slots, unsigned hint, struct hk_superslab *s);

/* Makes a run with the slots of the class a slab that the cache owns. */
struct hk_slab *hk_pool_slab(const struct hk_run *run, unsigned class, struct hk_cache *owner);

/* Gives the slots of a run back; its descriptor is already forgotten. */
void hk_pool_run_free(struct hk_superslab *home, unsigned first, unsigned slots);

/* Claims further slots behind a run; false if they are not free. */
bool hk_pool_run_extend(struct hk_superslab *home, unsigned end, unsigned slots);

/* The memory of an empty SuperSlab that holds pages, mapped and the caller's from
 * then on; NULL: there is none. */
void *hk_pool_give(void);

/*
 * What is to be released now: claimed under the cache lock, released by
 * hk_pool_release with no lock held. A fork of another thread in between loses it
 * in the child.
 *
 * hk_pool_due finds what has waited long enough, hk_pool_trim anything. False:
 * there is none. hk_pool_shrink claims what is free of one SuperSlab and needs no
 * cache lock.
 */
struct hk_pool_release {
	struct hk_superslab *superslab;
	void *memory;			/* of all of it, or NULL */
	uint64_t slots;
};
bool hk_pool_due(uint64_t now, struct hk_pool_release *r);
bool hk_pool_trim(struct hk_pool_release *r);
bool hk_pool_shrink(struct hk_superslab *s, struct hk_pool_release *r);
size_t hk_pool_release(const struct hk_pool_release *r);

/* Can hk_pool_due find anything? Looks without a lock. */
bool hk_pool_is_due(uint64_t now);

/* Were slots freed since the last call? Clears the mark. */
bool hk_pool_clear_freed(void);

/* Bytes of free slots that hold pages; any thread. */
size_t hk_pool_waiting(void);

/* Makes the slots of the empty slabs that stage 1 holds free. The other slabs are
 * the owner's from then on, and are added to kept. */
void hk_reuse_drain(struct hk_cache *owner, struct hk_list *kept);

/* Maps and pre-faults a SuperSlab before it is needed, in the same way. */
bool hk_pool_prewarm(struct hk_superslab *s);

/*
 * pages.c. What can be seen of a SuperSlab from outside, in bytes: blocks of at
 * most a page in use; such blocks that were carved and hold memory; those that
 * were given back; free slots that hold pages; slots of larger blocks.
 */
struct hk_pages_seen {
	size_t live, touched, holes, waiting, other;
};
struct hk_pages_seen hk_pages_look(const struct hk_superslab *s);

/* Huge pages for what has small ones; false: it has none any more. *now is false
 * where they come by and by. */
bool hk_pages_promote(struct hk_superslab *s, bool *now);
/* In the child of a fork, where nobody does that. */
void hk_pages_unpin_all(void);

/*
 * huge.c. Makes a range huge pages, touches the one at first and measures how long
 * that takes. False: there are none.
 */
bool hk_huge_advise(void *start, size_t size, char *first);
/* Counts one huge page that would be wanted; false if it is in a pause because they
 * took long. */
bool hk_huge_admit(void);

/* In the child of a fork: huge pages are for what it adds itself. */
void hk_huge_forked(void);

/* pool_walk.c, for the owner of the slab: aborts where an invariant of its
 * SuperSlab does not hold. */
void hk_pool_walk(const struct hk_slab *slab);

/* For fork and statistics. */
struct hk_lock *hk_pool_lock_itself(void);

#endif
