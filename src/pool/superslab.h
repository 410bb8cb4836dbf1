/*
 * The descriptors of SuperSlabs, and what the Shared Pool stores in them. The pointer
 * shared_meta leads from a SuperSlab to the pool's part, whose type the folders below do not
 * know.
 */
#ifndef HK_POOL_SUPERSLAB_H
#define HK_POOL_SUPERSLAB_H

#include "slab/fifo.h"
#include "slab/slab.h"

/* The pages that the kernel was asked for; BROKEN: huge first, then small ones. */
enum hk_pages { HK_PAGES_SMALL, HK_PAGES_HUGE, HK_PAGES_BROKEN };

/*
 *	free	bit set <=> the slot is free. Claimed with compare-and-swap
 *		(acquire), made free with fetch-or (release)
 *	clean	bit set => the slot reads as zero (new or purged); changed by the
 *		thread that has claimed the slot, relaxed
 *	shared	bit set <=> the slot is in use by two holders: large/mid.c
 *	pages	enum hk_pages, relaxed. MEM learning sets HUGE. A thread that
 *		releases part of the SuperSlab sets BROKEN, and SMALL once all
 *		free slots are released. In the other two states, free clean
 *		slots may hold pages too
 *	changed	set before the SuperSlab is pushed onto the pool's stack of
 *		changed ones, cleared when the holder of the pool lock updates
 *		the index. The thread that sets the flag writes the link
 *		`change`, later that holder. changed_again: a free found the flag set (a
 *		hint, relaxed)
 *	trend, touched, since	belong to learn/pages.c; trend starts as 0;
 *		relaxed
 *	home	constant
 *	all others are protected by the pool lock
 */
struct hk_shared_meta {
	_Atomic uint64_t free;
	_Atomic uint64_t clean;
	_Atomic uint64_t shared;
	struct hk_superslab *home;
	struct hk_stack_link change;
	_Atomic bool changed, changed_again;
	uint8_t bucket;				/* 0: in none */
	struct hk_link in_bucket;
	struct hk_fifo_link in_queue;		/* the purge queue */
	_Atomic bool pinned;			/* must not be unmapped now */
	_Atomic uint8_t pages;
	_Atomic uint8_t trend;
	_Atomic uint32_t touched;
	_Atomic uint64_t since;
};

HK_INLINE bool hk_superslab_mapped(const struct hk_superslab *s)
{
	return __atomic_load_n(&s->base, __ATOMIC_ACQUIRE) != 0;
}

HK_INLINE enum hk_pages hk_superslab_pages(const struct hk_superslab *s)
{
	return (enum hk_pages)atomic_load_explicit(&s->shared_meta->pages, memory_order_relaxed);
}

/* Allocates a descriptor; NULL as for hk_meta_alloc. The caller holds a cache lock. */
struct hk_superslab *hk_superslab_new(void);

/* Makes a descriptor available for reuse; lock-free. */
void hk_superslab_delete(struct hk_superslab *s);

/* The SuperSlab with this index; valid indices are 0 to hk_superslab_end() - 1. It may have
 * no memory at the moment. */
struct hk_superslab *hk_superslab_at(uint32_t index);
uint32_t hk_superslab_end(void);

/* The directory, in chunks that are allocated when they are needed and never freed. Changed
 * under the pool lock, read without it (acquire). */
enum {
	HK_DIRECTORY_CHUNK = 512,	/* SuperSlabs in one: 1 GiB of heap */
	HK_DIRECTORY_CHUNKS = sizeof(void *) == 4 ? 4 : 64 * 1024,
};
extern _Atomic(struct hk_superslab **) hk_directory[HK_DIRECTORY_CHUNKS];
extern _Atomic uint32_t hk_directory_end;

/* Clears slots that may hold marks of free blocks, before a use other than slabs. base: the
 * start of the memory, which the SuperSlab may have given up already. */
void hk_slots_unmark(struct hk_superslab *home, uintptr_t base, unsigned first, unsigned slots);

#endif
