/*
 * An intrusive doubly linked list. A link stores the address of the pointer to it, so it can
 * be removed without knowing its list. Zeroed memory is an empty list, or a link that is in
 * no list.
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

/* The structure that contains the link, which is not NULL. */
#define hk_holder(link, type, member) ((type *)(void *)((char *)(link) - offsetof(type, member)))

HK_INLINE bool hk_linked(const struct hk_link *link)
{
	return link->at != NULL;
}

/* Is the link the only one in this list? */
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

/* Removes the link from its list, if it is in one. */
HK_INLINE void hk_list_remove(struct hk_link *link)
{
	if (!link->at)
		return;
	*link->at = link->next;
	if (link->next)
		link->next->at = link->at;
	link->at = NULL;
}

/* Moves all links to another list, which is empty. */
HK_INLINE void hk_list_move(struct hk_list *to, struct hk_list *from)
{
	to->first = from->first;
	from->first = NULL;
	if (to->first)
		to->first->at = &to->first;
}

#endif
