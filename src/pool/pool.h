/*
 * The Shared Pool: the process-wide owner of SuperSlabs. A slab is acquired
 * in three stages; each is tried only if the previous one has none:
 *
 *	1 reuse   reuse.c    a slab that this class returned; lock-free
 *	2 claim   claim.c    free slots of a SuperSlab; one compare-and-swap
 *	3 grow    grow.c     a new SuperSlab, in a free range or in memory from the system
 *
 * An empty slab is returned to stage 1 if its class keeps few there; otherwise its slots
 * become free. SuperSlabs with free dirty slots wait in a queue (slot_index.c) and are
 * released to the system after a delay (release.c).
 *
 * Unless said otherwise, callers hold a cache lock (cache/cache.h). These structures do not
 * need it, because they have their own synchronization; fork does: while fork holds all
 * cache locks, no list of the pool is half changed. No lock is held during system calls.
 */
#ifndef HK_POOL_POOL_H
#define HK_POOL_POOL_H

#include "config/policy.h"
#include "os/lock.h"
#include "os/os.h"
#include "pool/superslab.h"
#include "pool/thp.h"
#include "slab/slab.h"

/* One hint for each class, and one for Mid runs. */
enum { HK_HINT_MID = HK_CLASSES, HK_HINTS };

/* Counted since the start; relaxed, read by statistics. */
struct hk_pool_counters {
	_Atomic size_t reuse[HK_CLASSES];	/* stage 1 */
	_Atomic size_t claim[HK_HINTS];		/* stage 2 */
	_Atomic size_t grow[HK_HINTS];		/* stage 3 */
	_Atomic size_t superslabs;		/* mapped now */
	_Atomic size_t superslabs_peak;
	_Atomic size_t mapped, unmapped;	/* SuperSlabs so far */
	_Atomic size_t from_store;		/* of mapped: in a range that was free */
	_Atomic size_t given;			/* of unmapped: a Large block has the memory */
	_Atomic size_t purged_bytes;		/* released and still mapped */
	_Atomic size_t clean_slots_used;	/* so far: clean slots that came into use */
	_Atomic size_t slabs[HK_CLASSES];	/* now, including those in stage 1 */
	_Atomic size_t slabs_peak[HK_CLASSES];	/* counted with HAKMEM_STATS=1 */
};
extern struct hk_pool_counters hk_pool_counters;
extern _Atomic size_t hk_pool_touched_slots;

HK_INLINE size_t hk_count(_Atomic size_t *counter)
{
	return atomic_fetch_add_explicit(counter, 1, memory_order_relaxed) + 1;
}

/* Is the heap close to the memory limit of its control group, or do processes of the group wait
 * for memory? Then no more huge pages are used, and little free memory is kept. */
HK_INLINE bool hk_pool_scarce(void)
{
	size_t limit = atomic_load_explicit(&hk_os_memory_limit, memory_order_relaxed);

	return atomic_load_explicit(&hk_os_pressed, memory_order_relaxed) ||
	       atomic_load_explicit(&hk_os_mapped, memory_order_relaxed) >= limit - limit / HK_SCARCE_LEFT;
}

/* Has the heap mapped 1 / share of the address space that it may use, or much of HAKMEM_LIMIT?
 * Then blocks must not take much more than they need. */
HK_INLINE bool hk_space_is_short(unsigned share)
{
	size_t mapped = atomic_load_explicit(&hk_os_mapped, memory_order_relaxed);

	return mapped >= atomic_load_explicit(&hk_os_space, memory_order_relaxed) / share ||
	       mapped >= atomic_load_explicit(&hk_os_limit, memory_order_relaxed) / HK_SPACE_LIMIT_SHARE;
}

/* Acquires a slab of this class for the cache, from stage 1 or 2. If fresh is false, only
 * slots that hold pages are used. NULL: there is none, and the pool must grow. */
struct hk_slab *hk_pool_acquire(unsigned class, struct hk_cache *owner, bool fresh);

/* The number of slots that hold pages, in use or free. */
HK_INLINE size_t hk_pool_touched(void)
{
	return atomic_load_explicit(&hk_pool_touched_slots, memory_order_relaxed);
}

/* The bytes of all SuperSlabs. */
HK_INLINE size_t hk_pool_mapped(void)
{
	return atomic_load_explicit(&hk_pool_counters.superslabs, memory_order_relaxed) << HK_SUPERSLAB_SHIFT;
}

/* Returns a slab without used blocks to the pool. */
void hk_pool_return(struct hk_slab *slab);

/* The owner gives up a slab in which blocks may be in use. */
void hk_pool_abandon(struct hk_slab *slab);

/* Makes the cache the owner of a slab that has none; false: it has one by now. */
bool hk_pool_adopt(struct hk_slab *slab, struct hk_cache *owner);

/* Slots that belong to the caller. clean: all of them read as zero. */
struct hk_run {
	struct hk_superslab *home;
	unsigned first, slots;
	bool clean;
};

/* The slots of a new slab of this class. */
HK_INLINE unsigned hk_pool_slots(unsigned class)
{
	return hk_space_is_short(HK_SPACE_PACK_SHARE) ? hk_class_dense_slots(class) : hk_class_slots(class);
}

/* Stage 2: claims a run of free slots, its start aligned to align slots (a power of two). If
 * fresh is false, only slots that hold pages are claimed. False: there is no such run. */
bool hk_pool_claim(struct hk_run *run, unsigned slots, unsigned align, unsigned hint, bool fresh);

/* Is the run the only one in its SuperSlab? */
bool hk_pool_run_is_alone(const struct hk_run *run, unsigned slots);

/* Stage 3 in two steps. The first takes a descriptor for a new SuperSlab and, if the
 * store of free ranges has some, its memory; NULL: there is no descriptor. The second,
 * with no lock held, maps memory if there was none, and takes the first slots for the
 * caller. False: out of memory, or s is NULL. */
struct hk_superslab *hk_pool_plan(void);
bool hk_pool_grow(struct hk_run *run, unsigned slots, unsigned hint, struct hk_superslab *s);

/* Makes the run, which has the size of a slab of the class, a slab of the cache. */
struct hk_slab *hk_pool_slab(const struct hk_run *run, unsigned class, struct hk_cache *owner);

/* Makes the slots of a run free; it is no longer in the page map. */
void hk_pool_run_free(struct hk_superslab *home, unsigned first, unsigned slots);

/* Claims the slots after a run; false: they are not all free. */
bool hk_pool_run_extend(struct hk_superslab *home, unsigned end, unsigned slots);

/* Gives the memory of adjacent empty SuperSlabs that hold pages to the caller, still mapped.
 * size: in whole granules; *huge: the kernel was asked for huge pages. NULL: there are none. */
void *hk_pool_give(size_t size, bool *huge);

/*
 * Memory to be released: claimed under the cache lock, then released by hk_pool_release
 * with no lock held. If another thread forks in between, the child loses this memory.
 *
 * hk_pool_due claims memory that has waited long enough, and hk_pool_trim any free memory.
 * hk_pool_shrink claims the free memory of one SuperSlab and needs no cache lock. False:
 * there is none.
 */
struct hk_pool_release {
	struct hk_superslab *superslab;
	void *memory;			/* if all of it is released; or NULL */
	uint64_t slots;
};
bool hk_pool_due(uint64_t now, struct hk_pool_release *r);
bool hk_pool_trim(struct hk_pool_release *r);
bool hk_pool_shrink(struct hk_superslab *s, struct hk_pool_release *r);
size_t hk_pool_release(const struct hk_pool_release *r);

/* May hk_pool_due find anything? Takes no lock. */
bool hk_pool_is_due(uint64_t now);

/* Were slots freed since the last call? Clears the mark. */
bool hk_pool_clear_freed(void);

/* Bytes of free slots that hold pages; any thread. */
size_t hk_pool_waiting(void);

/* Makes the slots of the empty slabs in stage 1 free. The cache becomes the owner of the
 * other slabs, which are added to kept. */
void hk_reuse_drain(struct hk_cache *owner, struct hk_list *kept);

/*
 * usage.c. An estimate of the contents of a SuperSlab, in bytes.
 *	live		blocks in use, of at most a page
 *	touched		carved blocks of at most a page that hold memory, used or free
 *	holes		pages of such slabs that were released
 *	waiting		free slots that hold pages
 *	other		slots of larger blocks
 */
struct hk_usage {
	size_t live, touched, holes, waiting, other;
};
struct hk_usage hk_usage_of(const struct hk_superslab *s);

/* pool_walk.c, for the owner of the slab: aborts the program if an invariant of its
 * SuperSlab does not hold. */
void hk_pool_walk(const struct hk_slab *slab);

/* For fork and statistics. */
struct hk_lock *hk_pool_lock_itself(void);

#endif
