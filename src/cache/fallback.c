/*
 * The fallback allocator: memory for a thread that cannot use the heap now. That is so if a
 * signal handler or a wrapped call enters the heap while the thread is already inside, if
 * a fork in another thread holds all locks for long, or if the kernel has too little memory
 * for a SuperSlab of 2 MiB. The fallback allocator takes no lock, so it works in each of
 * these cases. It is slower than the heap and wastes more memory.
 *
 * Blocks are cut from chunks and have a header. Freed blocks are pushed onto a stack for
 * their size, a power of two. Any thread may push; only one at a time pops, and a thread
 * that finds another one popping takes new memory. So the stack needs no ABA tag.
 */
#include "cache/fallback.h"

#include "config/policy.h"
#include "os/lock.h"
#include "os/os.h"
#include "slab/classes.h"
#include "slab/list.h"
#include "slab/stack.h"

#include <errno.h>
#include <stdatomic.h>

enum { SIZES = sizeof(size_t) * 8 };

struct chunk {
	struct hk_stack_link link;
	size_t size;			/* bytes, including this structure */
	_Atomic size_t used;		/* more than size: full */
};

/* In front of each block. */
struct header {
	size_t size;			/* usable bytes, a power of two */
	uintptr_t self;			/* the block, inverted while it is free */
} HK_ALIGNED(HK_GRAIN);

static struct hk_stack chunks;
static _Atomic size_t all_chunks;	/* bytes */
static struct {
	struct hk_stack blocks;
	_Atomic uintptr_t popping;	/* hk_self() of the thread that pops; 0: none */
} freed[SIZES] HK_BEHIND;

static struct header *header_of(const void *p)
{
	return (struct header *)((uintptr_t)p - sizeof(struct header));
}

static unsigned log2_of(size_t size)
{
	return (unsigned)(SIZES - 1) - (unsigned)__builtin_clzl(size);
}

static void *pop(unsigned n)
{
	uintptr_t nobody = 0;
	void *block;

	if (hk_stack_empty(&freed[n].blocks) ||
	    !atomic_compare_exchange_strong(&freed[n].popping, &nobody, hk_self()))
		return NULL;
	block = hk_stack_pop(&freed[n].blocks);
	atomic_store(&freed[n].popping, 0);
	return block;
}

static void *cut(struct chunk *chunk, size_t size, size_t align)
{
	size_t need = size + sizeof(struct header) + align, at;
	uintptr_t block;

	/* Checked first, so that the counter of a full chunk cannot overflow. */
	if (atomic_load_explicit(&chunk->used, memory_order_relaxed) + need > chunk->size)
		return NULL;
	at = atomic_fetch_add_explicit(&chunk->used, need, memory_order_relaxed);
	if (at + need > chunk->size)
		return NULL;
	block = ((uintptr_t)chunk + at + sizeof(struct header) + align - 1) & -align;
	*header_of((void *)block) = (struct header){ size, block };
	return (void *)block;
}

static struct chunk *map_chunk(size_t size)
{
	struct chunk *chunk;

	size = hk_whole_pages(size);
	chunk = hk_os_map_anytime(size);
	if (!chunk)
		return NULL;
	atomic_fetch_add_explicit(&all_chunks, size, memory_order_relaxed);
	chunk->size = size;
	chunk->used = (sizeof *chunk + HK_GRAIN - 1) & -(size_t)HK_GRAIN;
	return chunk;
}

/* The size of a new chunk grows with the sum of all chunks, so that they are few: each call may
 * look at all of them. */
static struct chunk *new_chunk(size_t least)
{
	size_t share = atomic_load_explicit(&all_chunks, memory_order_relaxed) / HK_FALLBACK_SHARE;
	size_t small = least > HK_FALLBACK_CHUNK ? least : HK_FALLBACK_CHUNK;
	struct chunk *chunk = share > small ? map_chunk(share) : NULL;

	return chunk ? chunk : map_chunk(small);
}

/* The chunk of a link in the stack of chunks, or NULL. */
static struct chunk *chunk_of(struct hk_stack_link *link)
{
	return link ? hk_holder(link, struct chunk, link) : NULL;
}

static struct chunk *first_chunk(void)
{
	return chunk_of(atomic_load_explicit(&chunks.top, memory_order_acquire));
}

static void *from_chunks(size_t size, size_t align)
{
	struct chunk *chunk = first_chunk();
	void *block;

	for (; chunk; chunk = chunk_of(chunk->link.below)) {
		block = cut(chunk, size, align);
		if (block)
			return block;
	}
	chunk = new_chunk(size + align + sizeof(struct header) + 2 * sizeof *chunk);
	if (!chunk)
		return NULL;
	/* Before other threads see the chunk, because they could take all of it. */
	block = cut(chunk, size, align);
	hk_stack_push(&chunks, &chunk->link);
	return block;
}

void *hk_fallback_alloc(size_t size, size_t align)
{
	size_t power = HK_GRAIN;
	struct header *h;
	void *block;

	if (size > PTRDIFF_MAX / 4 || align > PTRDIFF_MAX / 4)
		return NULL;
	while (power < size)
		power *= 2;
	block = align <= HK_GRAIN ? pop(log2_of(power)) : NULL;
	if (!block)
		return from_chunks(power, align < HK_GRAIN ? HK_GRAIN : align);
	h = header_of(block);
	h->self = ~h->self;
	return block;
}

static bool is_mine(const void *p)
{
	const struct chunk *chunk = first_chunk();

	for (; chunk; chunk = chunk_of(chunk->link.below))
		if ((uintptr_t)p - (uintptr_t)chunk - sizeof(struct header) <
		    chunk->size - sizeof(struct header))
			return (uintptr_t)p % HK_GRAIN == 0;
	return false;
}

size_t hk_fallback_size(const void *p)
{
	return is_mine(p) && header_of(p)->self == (uintptr_t)p ? header_of(p)->size : 0;
}

bool hk_fallback_free(void *p)
{
	struct header *h = header_of(p);

	if (!hk_fallback_size(p))
		return false;
	h->self = ~h->self;
	if (h->size >= 2 * hk_page_size)
		hk_os_purge_anytime((void *)(((uintptr_t)p + hk_page_size - 1) & -hk_page_size),
				    (h->size - hk_page_size) & -hk_page_size);
	hk_stack_push(&freed[log2_of(h->size)].blocks, p);
	return true;
}

void *hk_fallback_aligned(void *p, size_t size, size_t align)
{
	if (!((uintptr_t)p & (align - 1)) || !hk_fallback_free(p))
		return p;
	p = hk_fallback_alloc(size, align);
	if (!p)
		errno = ENOMEM;
	return p;
}

void hk_fallback_forked(void)
{
	unsigned n;

	for (n = 0; n < SIZES; n++)
		hk_forget_lost(&freed[n].popping);
}
