/* What the memory of a SuperSlab is used for, read without the locks of its slabs' owners. */
#include "os/os.h"
#include "pool/internal.h"

static size_t free_blocks(const struct hk_slab *slab, size_t carved)
{
	size_t i, sum = 0;

	for (i = 0; i * 64 < carved; i++)
		sum += (size_t)__builtin_popcountll(HK_FOLDED_LOAD(slab->free[i]));
	return sum;
}

static void add_run(struct hk_usage *usage, const struct hk_slab *slab, unsigned slots)
{
	size_t size = __atomic_load_n(&slab->size, __ATOMIC_RELAXED);
	size_t carved = __atomic_load_n(&slab->carved, __ATOMIC_RELAXED), free;
	size_t holes = (size_t)__builtin_popcountll(
		atomic_load_explicit(&slab->holes, memory_order_relaxed)) * hk_page_size;

	if (atomic_load_explicit(&slab->kind, memory_order_acquire) != HK_RUN_SLAB ||
	    size > hk_page_size) {
		usage->other += slots * HK_SLOT_SIZE;
		return;
	}
	/* The owner may change the slab meanwhile, so free may exceed carved. */
	free = free_blocks(slab, carved);
	usage->live += (free < carved ? carved - free : 0) * size;
	usage->touched += carved * size > holes ? carved * size - holes : 0;
	usage->holes += holes;
}

static unsigned first_slot(const struct hk_superslab *s, unsigned slot)
{
	return atomic_load_explicit(&s->first[slot], memory_order_relaxed);
}

struct hk_usage hk_usage_of(const struct hk_superslab *s)
{
	uint64_t free = atomic_load_explicit(&s->shared_meta->free, memory_order_relaxed);
	struct hk_usage usage = { 0, 0, 0, 0, 0 };
	unsigned i, end;

	usage.waiting = HK_SLOT_SIZE * (size_t)__builtin_popcountll(
		free & ~atomic_load_explicit(&s->shared_meta->clean, memory_order_relaxed));
	for (i = 0; i < HK_SLOTS; i = end) {
		end = i + 1;
		if (free >> i & 1)
			continue;
		while (end < HK_SLOTS && !(free >> end & 1) && first_slot(s, end) == i)
			end++;
		add_run(&usage, &s->slab[i], end - i);
	}
	return usage;
}
