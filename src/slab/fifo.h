/*
 * An intrusive doubly linked list with two ends: what waits, in the order of its age. Zeroed
 * memory is an empty list, or a link that is in no list.
 */
#ifndef HK_SLAB_FIFO_H
#define HK_SLAB_FIFO_H

#include "slab/list.h"

struct hk_fifo_link {
	struct hk_fifo_link *older, *newer;
	struct hk_fifo *in;		/* NULL: in none */
};

struct hk_fifo {
	struct hk_fifo_link *oldest, *newest;
};

/* older: the link after which it is put, or NULL: it becomes the oldest one. */
HK_INLINE void hk_fifo_insert(struct hk_fifo *fifo, struct hk_fifo_link *link, struct hk_fifo_link *older)
{
	link->in = fifo;
	link->older = older;
	link->newer = older ? older->newer : fifo->oldest;
	*(older ? &older->newer : &fifo->oldest) = link;
	*(link->newer ? &link->newer->older : &fifo->newest) = link;
}

/* Removes the link from its list, if it is in one. */
HK_INLINE void hk_fifo_remove(struct hk_fifo_link *link)
{
	if (!link->in)
		return;
	*(link->older ? &link->older->newer : &link->in->oldest) = link->newer;
	*(link->newer ? &link->newer->older : &link->in->newest) = link->older;
	link->in = NULL;
}

#endif
