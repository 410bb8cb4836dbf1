/* The sums of a snapshot, whether the process itself or another one has taken it. */
#include "stats/snapshot.h"

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
	all->free_bytes = all->mapped - all->in_use - all->cached - all->metadata;
}
