/* Checks the pool's data of a SuperSlab that contains a slab in use. */
#include "debug/ring.h"
#include "pool/internal.h"

static void walk_bucket(const struct hk_superslab *s, const void *at)
{
	const struct hk_shared_meta *m = s->shared_meta;

	if (!m->bucket)
		return;
	hk_invariant(m->bucket <= HK_SLOTS && hk_pool.filled >> (m->bucket - 1) & 1,
		     "the bucket of a SuperSlab counts as filled", at);
	hk_invariant(*m->in_bucket.at == &m->in_bucket &&
		     (!m->in_bucket.next || m->in_bucket.next->at == &m->in_bucket.next),
		     "a SuperSlab is linked in its bucket", at);
}

static void walk_queue(const struct hk_superslab *s, const void *at)
{
	const struct hk_fifo_link *link = &s->shared_meta->in_queue;

	if (!link->in)
		return;
	hk_invariant((link->older ? link->older->newer : link->in->oldest) == link &&
		     (link->newer ? link->newer->older : link->in->newest) == link,
		     "a waiting SuperSlab is linked in the purge queue", at);
}

void hk_pool_walk(const struct hk_slab *slab)
{
	const struct hk_superslab *s = slab->home;
	const struct hk_shared_meta *m = s->shared_meta;
	uint64_t mine = hk_slot_mask((unsigned)(slab - s->slab), slab->slots);
	const void *at = (const void *)slab->base;

	hk_invariant(!(mine & atomic_load_explicit(&m->free, memory_order_relaxed)),
		     "the slots of a slab in use are not free", at);
	hk_invariant(!(mine & atomic_load_explicit(&m->clean, memory_order_relaxed)),
		     "the slots of a slab in use are not clean", at);
	if (!hk_pool_lock())
		return;
	walk_bucket(s, at);
	walk_queue(s, at);
	hk_pool_unlock();
}
