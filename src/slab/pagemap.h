/*
 * From an address to what HAKMEM keeps there. Two maps:
 *
 * The exact map has one entry per 2 MiB of address space: a SuperSlab, a
 * Large or Huge block that starts there, or nothing. A two-level radix tree;
 * leaves appear as they are needed and stay.
 *
 * The slot table is a direct-mapped shortcut for free(): slot number modulo
 * its length gives a slab, which may be the wrong one. Since a pointer is
 * checked against the slab's own bounds before anything else happens, a
 * wrong entry costs a look at the exact map and nothing worse. Entries are
 * offsets from `none`, so that memory full of zeros is a valid empty table
 * and free() needs no test for NULL.
 */
#ifndef HK_SLAB_PAGEMAP_H
#define HK_SLAB_PAGEMAP_H

#include "slab/slab.h"

#include <stddef.h>

/* 4 GiB of heap without a collision: the slot number of the low 32 bits. */
#define HK_TABLE_SLOTS ((size_t)1 << (32 - HK_SLOT_SHIFT))

struct hk_slot_table {
	struct hk_slab none;		/* owned by nobody, valid for nothing */
	_Atomic uintptr_t entry[HK_TABLE_SLOTS];	/* relaxed */
};
extern HK_HIDDEN struct hk_slot_table hk_slot_table;

_Static_assert(offsetof(struct hk_slot_table, entry) == sizeof(struct hk_slab),
	       "none is the slab just before the entries; see hk_slab_guess");

HK_INLINE size_t hk_table_index(uintptr_t address)
{
	return (uint32_t)address >> HK_SLOT_SHIFT;
}

/* The slab that p lies in, if it lies in one at all. Never NULL. */
HK_INLINE struct hk_slab *hk_slab_guess(const void *p)
{
	size_t i = hk_table_index((uintptr_t)p);
	_Atomic uintptr_t *entry = hk_slot_table.entry;

	/* One base for both: compilers would compute two addresses. */
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

/* Register and forget; false when there is no memory for a leaf. A granule that
 * was once set or cleared has one; for others no lock may be held. */
bool hk_granule_set_superslab(const void *start, struct hk_superslab *superslab);
bool hk_granule_set_range(const void *start, struct hk_range *range);
bool hk_granule_clear(const void *start);

/* The run that p lies in, by the exact map; NULL if there is none. */
struct hk_slab *hk_run_find(const void *p);

/* Enters the slab again where the guess for p missed it: in a heap wider than
 * the table, the slabs in use have their places. */
void hk_slab_remember(const struct hk_slab *slab, const void *p);

/* Enters or removes the slots of a run. */
void hk_run_register(struct hk_slab *run);
void hk_run_forget(struct hk_slab *run);

/* Bytes mapped for it so far (relaxed). */
extern _Atomic size_t hk_pagemap_bytes;

#endif
