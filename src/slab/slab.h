/*
 * SuperSlabs, slabs and blocks.
 *
 *	SuperSlab: 2 MiB of user memory, aligned to 2 MiB, cut into 64 slots
 *	of 32 KiB. A run of slots is a slab (blocks of one class) or a Mid run
 *	(one block). The descriptors lie in metadata, never in user memory:
 *
 *	user    | slot 0 | slot 1 | slot 2 ... slot 63 |      2 MiB
 *	meta    struct superslab { slab[0] slab[1] ... slab[63] }
 *
 *	A run is described by the slab of its first slot.
 *
 * Descriptors are never freed: metadata that was used for slabs is never unmapped or used
 * for anything else. So free() may read the descriptor for a pointer before it knows whether
 * the pointer is valid.
 */
#ifndef HK_SLAB_SLAB_H
#define HK_SLAB_SLAB_H

#include "config/settings.h"
#include "os/platform.h"
#include "os/secret.h"
#include "slab/classes.h"
#include "slab/list.h"
#include "slab/stack.h"

#include <stdatomic.h>
#include <stdbool.h>

#define HK_SUPERSLAB_SHIFT 21
#define HK_SUPERSLAB_SIZE ((size_t)1 << HK_SUPERSLAB_SHIFT)
#define HK_SLOT_SHIFT 15
#define HK_SLOT_SIZE ((size_t)1 << HK_SLOT_SHIFT)
#define HK_SLOTS 64
#define HK_ALL_SLOTS UINT64_MAX

struct hk_cache;
struct hk_bin;
struct hk_superslab;
struct hk_shared_meta;
struct hk_range;

/*
 * A free block, in a list or in a batch: its mark, and a link to the next block. Both are
 * combined with the secret of the process and the address of the block. So contents that a
 * peer sends, or that are copied from another block, do not make a block look free, and an
 * attacker who overwrites a link cannot choose the address that it leads to. malloc clears
 * both.
 *
 * A correct mark proves that the block is free: see cache/check.c.
 */
struct hk_block {
	uint64_t mark;			/* first: an overflow reaches it before the link */
	uintptr_t link;
#if UINTPTR_MAX == UINT32_MAX
	uint32_t unused;
#endif
};
_Static_assert(sizeof(struct hk_block) == 16, "fits the smallest block");

/* The end of every list. Its mark is never correct, so code that takes a free block does not
 * have to test for the end of the list. */
extern const struct hk_block hk_list_end HK_HIDDEN;
#define HK_LIST_END ((struct hk_block *)&hk_list_end)

HK_INLINE uint64_t hk_mark(const struct hk_block *block, uint64_t secret)
{
	return (uintptr_t)block ^ secret;
}

HK_INLINE bool hk_marked(const struct hk_block *block)
{
	return block->mark == hk_mark(block, hk_secret());
}

HK_INLINE struct hk_block *hk_next(const struct hk_block *block)
{
	return (struct hk_block *)(block->link ^ (uintptr_t)hk_mark(block, hk_secret()));
}

/* Changes the link of a free block. */
HK_INLINE void hk_set_next(struct hk_block *block, const struct hk_block *next)
{
	block->link = (uintptr_t)next ^ (uintptr_t)hk_mark(block, hk_secret());
}

HK_INLINE void hk_set_free(struct hk_block *block, const struct hk_block *next)
{
	block->mark = hk_mark(block, hk_secret());
	hk_set_next(block, next);
}

/* The data of harden/ and sample/ about a Mid, Large or Huge block; belongs to the user of the
 * block. */
struct hk_note {
	size_t size;			/* bytes that the program requested */
	uint8_t form, align;		/* as in a seal */
	bool noted, guarded, freed;
	_Atomic uint32_t sample;	/* of sample/: the number of the sample; 0: not sampled */
};

enum hk_run_kind { HK_RUN_NONE, HK_RUN_SLAB, HK_RUN_MID };

/*
 * Invariants of a slab (kind HK_RUN_SLAB):
 *	base = address of its first slot
 *	unit = the largest power of two in size
 *	magic * size mod 2^64 = unit, so that (p - base) * magic is i * unit for
 *		the start p of block i
 *	limit = carved * unit
 *	p is the start of a carved block <=> (p - base) * magic < limit, for
 *		every p within 2^64 / unit / 2 of base (hk_slab_valid). That is
 *		at least 2^48, the user space of 48-bit addresses. Further away
 *		it is false for every distance with the same low 32 bits as a
 *		block's, and true for unit - 1 other distances per block
 *	bit i of free[] is set <=> block i < carved is free and in the slab
 *	bit w of words is set <=> free[w] != 0
 *	used = carved - number of set bits; used blocks are held by the program,
 *		in a TLS SLL, set aside, or in a batch or mailbox
 *	bit i of holes is set <=> page i of the slab, counted from the first
 *		whole one, was released: no carved block in it is used, and free
 *		blocks that start there have no mark, unlike all other free ones
 *	hot_limit = limit, or 0 while there are holes: free blocks without marks
 *		are recognised by the bitmap only, so every free takes the slow
 *		path. Also 0 with HAKMEM_HARDEN, which checks before the hot path
 *	dirty_tail: the memory after the carved blocks may hold pages
 *	stale: the memory after the carved blocks may hold marks of another
 *		class, which are cleared as blocks are carved
 *	zero: the memory after the carved blocks reads as zero. Releasing its
 *		pages does not set it, because the rest of the page in which the
 *		last block ends is not released
 *
 * Which thread may change a field:
 *	owner		NULL -> a cache by compare-and-swap (acquire), by any thread;
 *			the owner sets it to NULL (release)
 *	kind		the thread that has claimed the slots; a Mid run is freed by
 *			a compare-and-swap, by any thread
 *	on_stack, stack_link	pool/reuse.c
 *	base..blocks	the thread that has claimed the slots, before the slab is
 *			registered
 *	bin		the owner (relaxed): a bin of its cache while the cache lists
 *			the slab, otherwise NULL. Other threads cannot tell whose
 *			bin it is
 *	sparse		the owner: cache/sparse.c
 *	size, carved	as blocks and used, but with atomic stores (relaxed), because
 *			pool/usage.c reads them without a lock
 *	all others	the owner, or a thread that holds the owner's cache lock
 */
struct hk_slab {
	_Atomic(struct hk_cache *) owner;
	uintptr_t base;
	uint64_t magic;
	uint64_t hot_limit;		/* by hk_slab_valid_hot and hk_slab_set_limit */
	_Atomic(struct hk_bin *) bin;	/* where free() pushes */
	uint32_t size;			/* bytes in a block; Mid: usable bytes */
	uint8_t class;
	uint8_t slots;
	_Atomic uint8_t kind;		/* enum hk_run_kind */
	bool listed_full;		/* on the bin's full list, not avail */
	bool fresh;			/* new: no page of it was touched, and its pages
					 * are small */
	bool zero;
	uint32_t unit;
	uint32_t words;
	uint16_t blocks, carved, used;
	uint16_t looked_at;		/* value of used when its pages were last examined;
					 * 0: not yet, or blocks were taken since */
	_Atomic bool on_stack;
	bool dirty_tail;
	bool stale;
	bool purging;			/* during a purge: the blocks in its pages count
					 * as used, and one block more; nothing is
					 * carved */
	_Atomic uint32_t stack_link;
	uint64_t limit;			/* by hk_slab_valid and hk_slab_set_limit */
	struct hk_link listed;		/* in the owner's avail or full list */
	struct hk_superslab *home;
	_Atomic uint64_t holes;		/* relaxed */
	struct hk_link sparse;
	union {
		uint64_t free[HK_SLOT_SIZE / HK_GRAIN / 64];
		struct hk_note note;	/* of a Mid run */
	};
} HK_ALIGNED(64);

struct hk_superslab {
	uintptr_t base;			/* 0: it has no memory */
	struct hk_shared_meta *shared_meta;	/* the pool's part: pool/superslab.h */
	uint32_t index;			/* in the directory */
	struct hk_stack_link spare;	/* pool/superslab.c */
	struct hk_range *planned;	/* memory that it will get (pool/grow.c), or NULL */
	_Atomic uint8_t first[HK_SLOTS];	/* for each slot, the first slot of its run */
	uint16_t marks[HK_SLOTS];	/* which marks are in the slot: 0 for none, see slab.c;
					 * changed by the thread that has claimed the slot */
	struct hk_slab slab[HK_SLOTS];
};

/* Is p the start of a carved block? */
HK_INLINE bool hk_slab_valid(const struct hk_slab *slab, const void *p)
{
	return ((uintptr_t)p - slab->base) * slab->magic <
	       __atomic_load_n(&slab->limit, __ATOMIC_RELAXED);
}

/* The same, and its mark tells whether it is free. */
HK_INLINE bool hk_slab_valid_hot(const struct hk_slab *slab, const void *p)
{
	return ((uintptr_t)p - slab->base) * slab->magic < HK_FOLDED_LOAD(slab->hot_limit);
}

HK_INLINE bool hk_slab_holed(const struct hk_slab *slab)
{
	return atomic_load_explicit(&slab->holes, memory_order_relaxed) != 0;
}

HK_INLINE void hk_slab_set_limit(struct hk_slab *slab, uint64_t limit)
{
	__atomic_store_n(&slab->limit, limit, __ATOMIC_RELAXED);
	__atomic_store_n(&slab->hot_limit, hk_slab_holed(slab) || hk_harden ? 0 : limit,
			 __ATOMIC_RELAXED);
}

/* The number of the block that contains p, which is inside the slab. */
HK_INLINE unsigned hk_slab_index(const struct hk_slab *slab, const void *p)
{
	return (unsigned)(((uintptr_t)p - slab->base) / slab->size);
}

/* hk_slab_valid and hk_slab_index for the owner, without a division. */
HK_INLINE bool hk_slab_locate(const struct hk_slab *slab, const void *p, unsigned *index)
{
	uint64_t place = ((uintptr_t)p - slab->base) * slab->magic;

	*index = (unsigned)(place >> __builtin_ctz(slab->unit));
	return place < slab->limit;
}

/* The bit of block i. A thread other than the owner may read it for a block that it is
 * freeing, because that bit does not change meanwhile. */
HK_INLINE bool hk_slab_bit(const struct hk_slab *slab, unsigned i)
{
	return HK_FOLDED_LOAD(slab->free[i / 64]) >> (i % 64) & 1;
}

HK_INLINE size_t hk_slab_live_words(const struct hk_slab *slab)
{
	return (slab->blocks + 63u) / 64;
}

/* Has the slab no free block, and none left to carve? */
HK_INLINE bool hk_slab_exhausted(const struct hk_slab *slab)
{
	return slab->words == 0 && (slab->carved == slab->blocks || slab->purging);
}

/* The slab of a link `listed`, or NULL. */
HK_INLINE struct hk_slab *hk_slab_listed(struct hk_link *link)
{
	return link ? hk_holder(link, struct hk_slab, listed) : NULL;
}

HK_INLINE struct hk_slab *hk_slab_after(const struct hk_slab *slab)
{
	return hk_slab_listed(slab->listed.next);
}

/* Makes the run of slots that starts at first a slab of the class, without an owner. */
void hk_slab_start(struct hk_superslab *home, unsigned first, unsigned slots, unsigned class);

/* Clears all memory of a slab that was just started. */
void hk_slab_clear(struct hk_slab *slab);

/*
 * Takes up to `want` blocks and links them in address order; carves a page only if there is
 * no free block. Returns how many; *head is the chain. A block with an overwritten mark is
 * not detected here, but when it is taken from its list.
 */
unsigned hk_slab_take(struct hk_slab *slab, unsigned want, struct hk_block **head);

/* Puts a block into the slab; false: it is there already. */
HK_INLINE bool hk_slab_put(struct hk_slab *slab, unsigned index)
{
	uint64_t *word = &slab->free[index / 64], bit = (uint64_t)1 << (index % 64);

	if (hk_unlikely(*word & bit))
		return false;
	HK_FOLDED_STORE(*word, *word | bit);
	slab->words |= (uint32_t)1 << (index / 64);
	slab->used--;
	return true;
}

/*
 * holes.c. A purge releases the whole free pages of a slab, if they are at least `least`
 * bytes. purge_begin takes the blocks in these pages out of the slab, with the owner's lock
 * held. purge_pages releases the memory, which must consist of small pages, with no lock
 * held. purge_end puts the blocks back, with the lock of the present owner held, and returns
 * the bytes that were released.
 * hk_slab_restore_marks restores the marks in holes from which blocks were taken, so that
 * these pages are no longer holes. hk_slab_forget_holes forgets all holes.
 */
struct hk_slab_purge {
	struct hk_slab *slab;
	uint64_t fresh, tail, pages, failed;	/* pages, as in holes */
};
bool hk_slab_purge_begin(struct hk_slab *slab, size_t least, struct hk_slab_purge *p);
void hk_slab_purge_pages(struct hk_slab_purge *p);
size_t hk_slab_purge_end(struct hk_slab_purge *p);
void hk_slab_restore_marks(struct hk_slab *slab, struct hk_block *chain);
void hk_slab_forget_holes(struct hk_slab *slab);
uint64_t hk_slab_free_pages(const struct hk_slab *slab);

/* Bytes in holes now, and bytes released by such purges so far; relaxed. */
extern _Atomic size_t hk_hole_bytes, hk_hole_purged_bytes;

/* slab_walk.c, for the owner: aborts the program if an invariant does not hold. */
void hk_slab_walk(const struct hk_slab *slab);

#endif
