#include "slab/pagemap.h"

#include "os/os.h"

#define LEAF_BITS 13
#define ROOT_BITS (HK_ADDRESS_BITS > HK_SUPERSLAB_SHIFT + LEAF_BITS ? \
		   HK_ADDRESS_BITS - HK_SUPERSLAB_SHIFT - LEAF_BITS : 1)
#define LEAF_LENGTH ((size_t)1 << LEAF_BITS)
#define ROOT_LENGTH ((size_t)1 << ROOT_BITS)
#define RANGE_TAG ((uintptr_t)1)

/*
 * A leaf entry is 0, a struct hk_superslab *, or a struct hk_range * with the tag. Leaves are
 * published with release and never freed. An entry is written by the owner of the granule's
 * memory.
 */
struct leaf {
	_Atomic uintptr_t entry[LEAF_LENGTH];
};

static _Atomic(struct leaf *) root[ROOT_LENGTH] HK_BEHIND, spare;
_Atomic size_t hk_pagemap_bytes;

struct hk_slot_table hk_slot_table HK_BEHIND;

static struct leaf *find_leaf(uintptr_t granule)
{
	uintptr_t i = granule >> LEAF_BITS;

	return i < ROOT_LENGTH ?
		atomic_load_explicit(&root[i], memory_order_acquire) : NULL;
}

static uintptr_t get(const void *p)
{
	uintptr_t granule = (uintptr_t)p >> HK_SUPERSLAB_SHIFT;
	struct leaf *leaf = find_leaf(granule);

	return leaf ? atomic_load_explicit(&leaf->entry[granule % LEAF_LENGTH],
					   memory_order_acquire) : 0;
}

static struct leaf *new_leaf(void)
{
	struct leaf *leaf = atomic_exchange_explicit(&spare, NULL, memory_order_relaxed);

	if (!leaf)
		leaf = hk_os_map_apart(sizeof *leaf);
	return leaf;
}

/* If two threads make the same leaf, one wins; the other leaf is kept as the spare. */
static struct leaf *make_leaf(uintptr_t granule)
{
	uintptr_t i = granule >> LEAF_BITS;
	struct leaf *leaf = i < ROOT_LENGTH ? new_leaf() : NULL, *other = NULL;

	if (!leaf)
		return NULL;
	if (!atomic_compare_exchange_strong(&root[i], &other, leaf)) {
		atomic_store_explicit(&spare, leaf, memory_order_relaxed);
		return other;
	}
	atomic_fetch_add_explicit(&hk_pagemap_bytes, sizeof *leaf, memory_order_relaxed);
	return leaf;
}

static bool set(uintptr_t start, uintptr_t value)
{
	uintptr_t granule = start >> HK_SUPERSLAB_SHIFT;
	struct leaf *leaf = find_leaf(granule);

	if (!leaf)
		leaf = make_leaf(granule);
	if (!leaf)
		return false;
	atomic_store_explicit(&leaf->entry[granule % LEAF_LENGTH], value,
			      memory_order_release);
	return true;
}

struct hk_granule hk_granule_find(const void *p)
{
	uintptr_t value = get(p);
	struct hk_granule found = { 0 };

	if (value & RANGE_TAG)
		found.range = (void *)(value & ~RANGE_TAG);
	else
		found.superslab = (void *)value;
	return found;
}

bool hk_granule_set_superslab(const void *start, struct hk_superslab *superslab)
{
	return set((uintptr_t)start, (uintptr_t)superslab);
}

bool hk_granule_set_range(const void *start, struct hk_range *range)
{
	return set((uintptr_t)start, (uintptr_t)range | RANGE_TAG);
}

bool hk_granule_clear(const void *start)
{
	return set((uintptr_t)start, 0);
}

/* NULL: none is in use. */
HK_INLINE struct hk_slab *run_at(struct hk_superslab *superslab, unsigned slot)
{
	struct hk_slab *run = &superslab->slab[atomic_load_explicit(&superslab->first[slot], memory_order_relaxed)];

	return atomic_load_explicit(&run->kind, memory_order_acquire) == HK_RUN_NONE ? NULL : run;
}

struct hk_slab *hk_run_find(const void *p)
{
	struct hk_superslab *superslab = hk_granule_find(p).superslab;
	unsigned slot = (uintptr_t)p >> HK_SLOT_SHIFT & (HK_SLOTS - 1);
	struct hk_slab *run = superslab ? run_at(superslab, slot) : NULL;

	/* A Mid block may start in the slot in which another one ends. */
	if (run && hk_unlikely((uintptr_t)p < run->base) && slot)
		run = run_at(superslab, slot - 1);
	return run;
}

static _Atomic uintptr_t *table_entry(uintptr_t address)
{
	return &hk_slot_table.entry[hk_table_index(address)];
}

static uintptr_t table_offset(const struct hk_slab *slab)
{
	return (uintptr_t)slab - (uintptr_t)&hk_slot_table;
}

void hk_slab_remember(const struct hk_slab *slab, const void *p)
{
	atomic_store_explicit(table_entry((uintptr_t)p), table_offset(slab),
			      memory_order_relaxed);
}

void hk_run_register(struct hk_slab *run)
{
	struct hk_superslab *home = run->home;
	unsigned first = (unsigned)(run - home->slab), i;

	for (i = 0; i < run->slots; i++) {
		atomic_store_explicit(&home->first[first + i], (uint8_t)first,
				      memory_order_relaxed);
		hk_slab_remember(run, (void *)(run->base + i * HK_SLOT_SIZE));
	}
}

void hk_run_forget(struct hk_slab *run)
{
	struct hk_superslab *home = run->home;
	unsigned first = (unsigned)(run - home->slab), i;

	for (i = 0; i < run->slots; i++) {
		_Atomic uintptr_t *entry = table_entry(run->base + i * HK_SLOT_SIZE);

		atomic_store_explicit(&home->first[first + i], (uint8_t)(first + i),
				      memory_order_relaxed);
		/* The entry may belong to another run with the same index. If that run is
		 * registered between load and store, its entry is restored at its next miss. */
		if (atomic_load_explicit(entry, memory_order_relaxed) == table_offset(run))
			atomic_store_explicit(entry, 0, memory_order_relaxed);
	}
}
