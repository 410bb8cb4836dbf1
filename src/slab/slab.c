#include "slab/slab.h"

#include "config/policy.h"

#include <string.h>

const struct hk_block hk_list_end;

/*
 * The inverse of the odd part of size, modulo 2^64 / unit, by Newton's method: each step
 * doubles the number of correct low bits. An odd number is its own inverse in the lowest
 * three bits, which is the start value. The top bits may have any value; an arbitrary one
 * puts the addresses that are mistaken for blocks far away and at no round distance.
 */
static uint64_t magic_for(uint64_t size, uint64_t unit)
{
	uint64_t low = UINT64_MAX / unit, odd = size / unit, magic;
	int bits;

	odd |= (0x9e3779b97f4a7c15 & ~low) | (low + 1);
	magic = odd;
	for (bits = 3; bits < 64; bits *= 2)
		magic *= 2 - odd * magic;
	return magic;
}

/*
 * Marks remain in memory that was a slab. In a slab of another class they are in the middle
 * of blocks, where a program that reads uninitialised memory can see them. If it copied them
 * and wrote them back after the slab had changed its class again, a block in use would look
 * free. So marks are cleared before such blocks are allocated. Each slot has a code for the
 * class of its marks and for its position in the slab: if a new slab has the same codes, the
 * marks are at the start of its own blocks, where malloc clears them.
 */
enum { MIXED = UINT16_MAX };

static uint16_t marks_of(unsigned class, unsigned slot)
{
	return (uint16_t)(class * 8 + slot + 1);
}

static bool find_stale(const struct hk_superslab *home, unsigned first, unsigned slots, unsigned class)
{
	unsigned i;

	for (i = 0; i < slots; i++)
		if (home->marks[first + i] && home->marks[first + i] != marks_of(class, i))
			return true;
	return false;
}

static void set_marks(struct hk_slab *slab)
{
	unsigned first = (unsigned)(slab - slab->home->slab), i;

	for (i = 0; i < slab->slots; i++)
		slab->home->marks[first + i] = slab->stale ? MIXED : marks_of(slab->class, i);
}

void hk_slab_start(struct hk_superslab *home, unsigned first, unsigned slots, unsigned class)
{
	struct hk_slab *slab = &home->slab[first];
	size_t size = hk_class_size(class);
	size_t i;

	slab->base = home->base + first * HK_SLOT_SIZE;
	slab->unit = (uint32_t)(size & -size);
	slab->magic = magic_for(size, slab->unit);
	hk_slab_forget_holes(slab);
	hk_slab_set_limit(slab, 0);
	__atomic_store_n(&slab->size, (uint32_t)size, __ATOMIC_RELAXED);
	slab->class = (uint8_t)class;
	slab->slots = (uint8_t)slots;
	slab->blocks = (uint16_t)(slots * HK_SLOT_SIZE / size);
	__atomic_store_n(&slab->carved, 0, __ATOMIC_RELAXED);
	slab->used = slab->looked_at = 0;
	slab->words = 0;
	slab->home = home;
	slab->stale = find_stale(home, first, slots, class);
	set_marks(slab);
	for (i = 0; i < hk_slab_live_words(slab); i++)
		HK_FOLDED_STORE(slab->free[i], 0);
	atomic_store_explicit(&slab->kind, HK_RUN_SLAB, memory_order_release);
}

/* Clears the memory after the carved blocks, up to block `end`, or up to the end of the slab
 * if no block follows. */
static void clear(struct hk_slab *slab, unsigned end)
{
	size_t from = slab->carved * (size_t)slab->size;
	size_t to = end < slab->blocks ? end * (size_t)slab->size : slab->slots * HK_SLOT_SIZE;

	memset((void *)(slab->base + from), 0, to - from);
	if (end < slab->blocks)
		return;
	slab->stale = false;
	set_marks(slab);
}

void hk_slab_clear(struct hk_slab *slab)
{
	clear(slab, slab->blocks);
}

static void mark_new(struct hk_slab *slab, unsigned from, unsigned end)
{
	uintptr_t at = slab->base + from * (uintptr_t)slab->size;

	for (; from < end; from++, at += slab->size)
		((struct hk_block *)at)->mark = hk_mark((struct hk_block *)at, hk_secret());
}

/*
 * Carves one page of blocks at a time, so that memory which the program does not need yet is
 * not touched, and the rest is touched in address order.
 */
static bool carve(struct hk_slab *slab)
{
	unsigned more = HK_CARVE_BYTES / slab->size;
	unsigned i = slab->carved, end;

	if (slab->purging)
		return false;
	if (more == 0)
		more = 1;
	end = i + more < slab->blocks ? i + more : slab->blocks;
	if (i == end)
		return false;
	if (slab->stale)
		clear(slab, end);
	mark_new(slab, i, end);
	for (; i < end; i = (i / 64 + 1) * 64) {
		unsigned last = end - i / 64 * 64;
		uint64_t bits = UINT64_MAX << (i % 64) &
				(last < 64 ? ((uint64_t)1 << last) - 1 : UINT64_MAX);

		HK_FOLDED_STORE(slab->free[i / 64], slab->free[i / 64] | bits);
		slab->words |= (uint32_t)1 << (i / 64);
	}
	__atomic_store_n(&slab->carved, (uint16_t)end, __ATOMIC_RELAXED);
	hk_slab_set_limit(slab, (uint64_t)end * slab->unit);
	return true;
}

static void chain_on(struct hk_block **head, struct hk_block *last, struct hk_block *block)
{
	if (last)
		hk_set_next(last, block);
	else
		*head = block;
}

unsigned hk_slab_take(struct hk_slab *slab, unsigned want, struct hk_block **head)
{
	uintptr_t base = slab->base, size = slab->size;
	struct hk_block *last = NULL;
	unsigned got = 0;

	while (got < want && (slab->words || (got == 0 && carve(slab)))) {
		unsigned word = (unsigned)__builtin_ctz(slab->words);
		uintptr_t first = base + word * 64 * size;
		uint64_t bits = slab->free[word];

		do {
			struct hk_block *block =
				(void *)(first + (unsigned)__builtin_ctzll(bits) * size);

			bits &= bits - 1;
			chain_on(head, last, block);
			last = block;
			got++;
		} while (bits && got < want);
		HK_FOLDED_STORE(slab->free[word], bits);
		if (!bits)
			slab->words &= ~((uint32_t)1 << word);
	}
	chain_on(head, last, HK_LIST_END);
	slab->looked_at = 0;
	slab->used = (uint16_t)(slab->used + got);
	if (hk_unlikely(hk_slab_holed(slab)))
		hk_slab_restore_marks(slab, *head);
	return got;
}
