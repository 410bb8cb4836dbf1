/*
 * Finds what HAKMEM has at an address. There are two maps:
 *
 * The exact map has one entry per granule (2 MiB of address space): a SuperSlab, a range
 * that starts there, or nothing. It is a two-level radix tree; leaves are allocated when
 * they are needed and never freed.
 *
 * The slot table is a direct-mapped shortcut for free(): the slot number modulo the length
 * of the table selects a slab, which may be the wrong one. A pointer is always checked
 * against the bounds of the slab first, so a wrong entry only costs a look-up in the exact
 * map. Entries are offsets from `none`, so that zeroed memory is a valid empty table and
 * free() needs no test for NULL.
 */
#ifndef HK_SLAB_PAGEMAP_H
#define HK_SLAB_PAGEMAP_H

#include "slab/slab.h"

#include <stddef.h>

/* Indexed by the slot number in the low 32 bits, so 4 GiB of contiguous heap have no
 * collision. */
#define HK_TABLE_SLOTS ((size_t)1 << (32 - HK_SLOT_SHIFT))

struct hk_slot_table {
	struct hk_slab none;		/* has no owner and contains no block */
	_Atomic uintptr_t entry[HK_TABLE_SLOTS];	/* relaxed */
};
extern HK_HIDDEN struct hk_slot_table hk_slot_table;

_Static_assert(offsetof(struct hk_slot_table, entry) == sizeof(struct hk_slab),
	       "none is the slab just before the entries; see hk_slab_guess");

HK_INLINE size_t hk_table_index(uintptr_t address)
{
	return (uint32_t)address >> HK_SLOT_SHIFT;
}

/* Probably the slab that contains p, if there is one. Never NULL. */
HK_INLINE struct hk_slab *hk_slab_guess(const void *p)
{
	size_t i = hk_table_index((uintptr_t)p);
	_Atomic uintptr_t *entry = hk_slot_table.entry;

	/* Without this, compilers compute the address twice. */
	__asm__("" : "+r"(entry));
	return (struct hk_slab *)((char *)entry +
		atomic_load_explicit(&entry[i], memory_order_relaxed)) - 1;
}

/* An entry of the exact map. */
struct hk_range;
struct hk_granule {
	struct hk_superslab *superslab;
	struct hk_range *range;
};
struct hk_granule hk_granule_find(const void *p);

/* Set and clear an entry; false: there is no memory for a leaf. A granule that was set
 * before has a leaf; for any other one, no lock may be held. */
bool hk_granule_set_superslab(const void *start, struct hk_superslab *superslab);
bool hk_granule_set_range(const void *start, struct hk_range *range);
bool hk_granule_clear(const void *start);

/* The run that contains p, by the exact map; NULL: there is none. */
struct hk_slab *hk_run_find(const void *p);

/* Stores the slab in the entry for p after a wrong guess, so that in a heap larger than the
 * table, entries are for the slabs in use. */
void hk_slab_remember(const struct hk_slab *slab, const void *p);

/* Add or remove the slots of a run. */
void hk_run_register(struct hk_slab *run);
void hk_run_forget(struct hk_slab *run);

/* Bytes mapped for it so far (relaxed). */
extern _Atomic size_t hk_pagemap_bytes;

#endif
