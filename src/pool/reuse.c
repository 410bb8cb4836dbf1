/*
 * Stage 1: slabs that a class returned, on one lock-free stack per class
 * (Treiber 1986). Slabs with blocks in use come from threads that ended. A few empty slabs
 * are kept because their class will probably need them soon.
 *
 * The head packs the number of the slab and a tag that every push and pop changes, so that
 * a pop fails if the slab was popped and pushed again in between (ABA). Reading the link of
 * a slab that another thread has popped is harmless: descriptors are never unmapped, and
 * the tag makes the pop fail.
 *
 * An entry is only a hint that the slab has no owner: a thread that frees a block of the
 * slab may adopt it first, and its slots may have been used for something else since.
 * Ownership is decided by a compare-and-swap on the owner; a popped entry whose slab has an
 * owner is dropped. The flag on_stack prevents a slab from being pushed twice, also onto
 * the stacks of different classes.
 */
#include "config/policy.h"
#include "config/settings.h"
#include "debug/ring.h"
#include "os/os.h"
#include "pool/eager.h"
#include "pool/internal.h"
#include "slab/pagemap.h"

#if UINTPTR_MAX == UINT32_MAX
#define ID_BITS 17	/* all slots of a 32-bit address space */
#else
#define ID_BITS 32
#endif
#define ID_MASK (((uintptr_t)1 << ID_BITS) - 1)

static _Atomic size_t kept_slots;	/* approximate */

static struct {
	_Atomic uintptr_t head;		/* tag, number + 1; low bits 0: empty */
	_Atomic unsigned empty;		/* empty slabs kept; approximate */
} HK_ALIGNED(HK_CACHE_LINE) stack[HK_CLASSES] HK_BEHIND;

static uintptr_t slab_id(const struct hk_slab *slab)
{
	return (uintptr_t)slab->home->index * HK_SLOTS +
	       (uintptr_t)(slab - slab->home->slab) + 1;
}

static struct hk_slab *slab_of(uintptr_t id)
{
	return &hk_superslab_at((uint32_t)((id - 1) / HK_SLOTS))->slab[(id - 1) % HK_SLOTS];
}

/* id and class were read while the slab still had an owner, because another thread may
 * change the slab by now. */
static void push(struct hk_slab *slab, uintptr_t id, unsigned class)
{
	uintptr_t head, new;

	if (atomic_exchange(&slab->on_stack, true))
		return;
	head = atomic_load_explicit(&stack[class].head, memory_order_relaxed);
	do {
		atomic_store_explicit(&slab->stack_link, (uint32_t)(head & ID_MASK),
				      memory_order_relaxed);
		new = ((head >> ID_BITS) + 1) << ID_BITS | id;
	} while (!hk_swapped(atomic_compare_exchange_weak_explicit(&stack[class].head,
			&head, new, memory_order_release, memory_order_relaxed)));
}

static struct hk_slab *pop(unsigned class)
{
	uintptr_t head = atomic_load_explicit(&stack[class].head, memory_order_acquire);
	struct hk_slab *slab;
	uintptr_t new;

	do {
		if (!(head & ID_MASK))
			return NULL;
		slab = slab_of(head & ID_MASK);
		new = ((head >> ID_BITS) + 1) << ID_BITS |
			atomic_load_explicit(&slab->stack_link, memory_order_relaxed);
	} while (!hk_swapped(atomic_compare_exchange_weak_explicit(&stack[class].head, &head,
			new, memory_order_acquire, memory_order_acquire)));
	atomic_exchange(&slab->on_stack, false);
	return slab;
}

bool hk_pool_adopt(struct hk_slab *slab, struct hk_cache *owner)
{
	struct hk_cache *nobody = NULL;

	return atomic_compare_exchange_strong(&slab->owner, &nobody, owner);
}

/*
 * The order matters: the owner is cleared before the flag is set. Of this push and a
 * concurrent pop, the later one sees what the other one did, so the slab is either adopted
 * or on the stack.
 */
void hk_pool_abandon(struct hk_slab *slab)
{
	uintptr_t id = slab_id(slab);
	unsigned class = slab->class;

	hk_event(HK_EVENT_DISOWN, slab->size, (void *)slab->base, slab->slots * HK_SLOT_SIZE);
	hk_list_remove(&slab->sparse);
	atomic_store_explicit(&slab->bin, NULL, memory_order_relaxed);
	atomic_store(&slab->owner, NULL);
	push(slab, id, class);
}

/*
 * Makes the slots of an empty slab free. The owner remains set, so that a pop of a stale
 * entry of this slab cannot adopt it.
 */
static void dissolve(struct hk_slab *slab)
{
	struct hk_superslab *home = slab->home;
	unsigned first = (unsigned)(slab - home->slab), slots = slab->slots;

	hk_run_forget(slab);
	atomic_fetch_sub_explicit(&hk_pool_counters.slabs[slab->class], 1, memory_order_relaxed);
	hk_list_remove(&slab->sparse);
	/* Before the holes are forgotten, because free blocks in them have no marks. */
	hk_slab_set_limit(slab, 0);
	hk_slab_forget_holes(slab);
	atomic_store_explicit(&slab->bin, NULL, memory_order_relaxed);
	atomic_store_explicit(&slab->kind, HK_RUN_NONE, memory_order_release);
	hk_pool_run_free(home, first, slots);
}

void hk_pool_return(struct hk_slab *slab)
{
	unsigned keep = HK_REUSE_SLOTS / slab->slots;
	size_t kept = atomic_load_explicit(&kept_slots, memory_order_relaxed);

	hk_assert(slab->used == 0);
	if (atomic_load_explicit(&stack[slab->class].empty, memory_order_relaxed) < keep &&
	    (kept + slab->slots) * HK_REUSE_SHARE <= hk_pool_touched() &&
	    (!hk_is_eager() || (kept + slab->slots) * HK_SLOT_SIZE <= hk_eager_bytes(HK_EAGER_STAGE1))) {
		atomic_fetch_add_explicit(&stack[slab->class].empty, 1, memory_order_relaxed);
		atomic_fetch_add_explicit(&kept_slots, slab->slots, memory_order_relaxed);
		hk_pool_abandon(slab);
	} else {
		dissolve(slab);
	}
}

static void count_taken(const struct hk_slab *slab)
{
	unsigned n = atomic_load_explicit(&stack[slab->class].empty, memory_order_relaxed);

	while (slab->used == 0 && n)
		if (atomic_compare_exchange_weak_explicit(&stack[slab->class].empty, &n, n - 1,
				memory_order_relaxed, memory_order_relaxed)) {
			atomic_fetch_sub_explicit(&kept_slots, slab->slots, memory_order_relaxed);
			return;
		}
}

/* The next slab of the stack that can be adopted. If the slots became a slab of another
 * class since the push, that slab is moved to the stack of its class. */
static struct hk_slab *pop_owned(unsigned class, struct hk_cache *owner)
{
	struct hk_slab *slab;

	while ((slab = pop(class)) != NULL) {
		if (!hk_pool_adopt(slab, owner))
			continue;
		if (slab->class == class) {
			count_taken(slab);
			return slab;
		}
		hk_pool_abandon(slab);
	}
	return NULL;
}

static void count_started(unsigned class)
{
	size_t now = hk_count(&hk_pool_counters.slabs[class]);

	if (hk_settings.stats)
		hk_raise(&hk_pool_counters.slabs_peak[class], now);
}

struct hk_slab *hk_pool_slab(const struct hk_run *run, unsigned class, struct hk_cache *owner)
{
	struct hk_slab *slab = &run->home->slab[run->first];

	hk_slab_start(run->home, run->first, run->slots, class);
	slab->fresh = run->clean && hk_superslab_pages(run->home) == HK_PAGES_SMALL;
	slab->dirty_tail = !slab->fresh;
	slab->zero = run->clean;
	/* harden/ requires free blocks to read as zero, except for their mark and link. */
	if (hk_harden >= HK_HARDEN_CONTENTS && !run->clean) {
		hk_slab_clear(slab);
		slab->zero = true;
	}
	count_started(class);
	atomic_store(&slab->owner, owner);
	hk_run_register(slab);
	return slab;
}

struct hk_slab *hk_pool_acquire(unsigned class, struct hk_cache *owner, bool fresh)
{
	struct hk_slab *slab = pop_owned(class, owner);
	unsigned slots = hk_pool_slots(class), fewest = hk_class_slots(class);
	struct hk_run run;

	if (slab) {
		hk_count(&hk_pool_counters.reuse[class]);
		hk_event(HK_EVENT_REUSE, slab->size, (void *)slab->base,
			 slab->slots * HK_SLOT_SIZE);
		return slab;
	}
	if (!hk_pool_claim(&run, slots, 1, class, fresh) &&
	    (slots == fewest || !hk_pool_claim(&run, fewest, 1, class, fresh)))
		return NULL;
	return hk_pool_slab(&run, class, owner);
}

void hk_reuse_drain(struct hk_cache *owner, struct hk_list *kept)
{
	struct hk_slab *slab;
	unsigned class;

	for (class = 0; class < HK_CLASSES; class++)
		/* A slab of another class is processed too, because the stack of its class
		 * may be drained already. */
		while ((slab = pop(class)) != NULL) {
			if (!hk_pool_adopt(slab, owner))
				continue;
			count_taken(slab);
			if (slab->used == 0)
				dissolve(slab);
			else
				hk_list_push(kept, &slab->listed);
		}
}
