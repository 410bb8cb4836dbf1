/*
 * What HAKMEM_HARDEN turns on, between the names of malloc and the caches. Each
 * level adds to those below it:
 *
 *	1  seals: the size of each block is known to the byte, and what lies
 *	   behind it is checked when it is freed, resized or asked for its size;
 *	   blocks of no bytes have no memory
 *	2  contents: a block is zero when it is given out and when it was freed,
 *	   and waits, in an order of chance, before it is used again; what was
 *	   written to it meanwhile is found then, and what was written before
 *	   its start when it is freed
 *	3  guards: pages without access behind each block above the slabs, which
 *	   has none at all while it waits; and a block must be released by the
 *	   counterpart of what allocated it
 *
 * With a level in force no size of a cache leads to a list (cache/limits.c) and
 * no slab has a hot limit (slab/slab.h), so that each call leaves the hot path by a
 * branch that it has anyway, and arrives here. Without one these functions pass
 * it on to the slow path of cache/.
 */
#ifndef HK_HARDEN_HARDEN_H
#define HK_HARDEN_HARDEN_H

#include "cache/cache.h"
#include "config/settings.h"

/* What allocated a block. */
enum hk_form { HK_FORM_MALLOC, HK_FORM_NEW, HK_FORM_NEW_MANY, HK_FORMS };

/* How a block is released: as by which form, and what the caller says of it. */
struct hk_release {
	enum hk_call call;
	enum hk_form form;
	bool any;			/* the form is not known */
	bool sized;			/* size is the caller's word */
	bool aligned;			/* so is align, 1 for none */
	size_t size, align;
	const void *caller;
};

HK_INLINE bool hk_hardened(void)
{
	return hk_unlikely(hk_harden != 0);
}

/* The slow ways of the hot path, hardened or not. */
void *hk_harden_malloc(size_t size, const void *caller);
void *hk_harden_calloc(size_t size, bool *zero, const void *caller);
void hk_harden_free(void *p, enum hk_call call, const void *caller);

/* Only where a level is in force. Errors as of malloc; align is a power of two, or
 * 1 for none. */
void *hk_harden_allocate(size_t size, size_t align, enum hk_form form, const void *caller);
void hk_harden_release(void *p, const struct hk_release *how);
void *hk_harden_realloc(void *p, size_t size, const void *caller);
size_t hk_harden_usable(const void *p, enum hk_call call);

/* What this thread's freed blocks wait for no longer. */
void hk_harden_trim(void);

#endif
