/*
 * A doubly linked list of structures that hold its link. A link knows what points to
 * it, so that it can be removed from whatever list it is in. Zeroed memory is an empty
 * list, or a link in none.
 */
#ifndef HK_SLAB_LIST_H
#define HK_SLAB_LIST_H

#include "os/platform.h"

#include <stdbool.h>
#include <stddef.h>

struct hk_link {
	struct hk_link *next;
	struct hk_link **at;		/* NULL: in no list */
};

struct hk_list {
	struct hk_link *first;
};

/* The structure whose member a link is; link is not NULL. */
#define hk_holder(link, type, member) ((type *)(void *)((char *)(link) - offsetof(type, member)))

HK_INLINE bool hk_linked(const struct hk_link *link)
{
	return link->at != NULL;
}

/* Is it in this list, and the only one there? */
HK_INLINE bool hk_list_single(const struct hk_list *list, const struct hk_link *link)
{
	return list->first == link && !link->next;
}

HK_INLINE void hk_list_push(struct hk_list *list, struct hk_link *link)
{
	link->next = list->first;
	link->at = &list->first;
	if (link->next)
		link->next->at = &link->next;
	list->first = link;
}

/* Out of the list that it is in, if any. */
HK_INLINE void hk_list_remove(struct hk_link *link)
{
	if (!link->at)
		return;
	*link->at = link->next;
	if (link->next)
		link->next->at = link->at;
	link->at = NULL;
}

/* All of one list to another one, which is empty. */
HK_INLINE void hk_list_move(struct hk_list *to, struct hk_list *from)
{
	to->first = from->first;
	from->first = NULL;
	if (to->first)
		to->first->at = &to->first;
}

#endif
