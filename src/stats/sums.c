/* The sums of a snapshot, whether the process itself or another one has taken it. */
#include "stats/snapshot.h"

/*
 * Threads that map, resize and unmap hold no lock, so a snapshot may come between two figures
 * that they change; and a reader in another process may count a block twice. The equations of
 * hakmem.h hold all the same.
 */
static void reconcile(struct hak_stats *s)
{
	size_t held = s->in_use + s->cached + s->metadata;

	if (s->mapped < held)
		s->mapped = held;
	if (s->mapped_peak < s->mapped)
		s->mapped_peak = s->mapped;
	if (s->superslabs_peak < s->superslabs)
		s->superslabs_peak = s->superslabs;
	s->superslabs_mapped = s->superslabs + s->superslabs_unmapped;
	s->free_bytes = s->mapped - held;
}

void hk_snapshot_add_up(struct hk_snapshot *s)
{
	struct hak_stats *all = &s->all;
	unsigned i;

	for (i = 0; i < HK_CLASSES; i++) {
		struct hak_class_stats *c = &s->class[i];

		c->size = hk_class_size(i);
		c->group = hk_class_group(i);
		if (c->cached > c->used)
			c->cached = c->used;
		c->used -= c->cached;
		all->slab_blocks += c->used;
		all->slab_bytes += c->used * c->size;
		all->cached += c->cached * c->size;
	}
	all->in_use = all->slab_bytes + all->mid_bytes + all->large_bytes;
	reconcile(all);
}
