/*
 * The checks of HAKMEM_HARDEN, between the names of malloc and the caches. Each
 * level includes those below it:
 *
 *	1  seals: the exact size of each block is stored, and the bytes after
 *	   the block are checked when it is freed, resized or its size is
 *	   queried; zero-size blocks have no memory
 *	2  contents: a block reads as zero when it is allocated and is cleared
 *	   when it is freed; freed blocks are quarantined and reused in random
 *	   order; writes to a block in quarantine are found before its reuse,
 *	   writes before the start of a block when it is freed
 *	3  guards: inaccessible pages follow each block above the slabs, and all
 *	   of it is inaccessible while in quarantine; a block must be released
 *	   by the counterpart of the function that allocated it
 *
 * While a level is in force, no size class leads the hot path to a list
 * (cache/limits.c) and no slab has a hot limit (slab/slab.h). So each call leaves the
 * hot path by a branch that exists anyway, and arrives here. At level 0 these
 * functions call the slow path of cache/.
 */
#ifndef HK_HARDEN_HARDEN_H
#define HK_HARDEN_HARDEN_H

#include "cache/cache.h"
#include "config/settings.h"

/* The kind of function that allocated a block. */
enum hk_form { HK_FORM_MALLOC, HK_FORM_NEW, HK_FORM_NEW_MANY, HK_FORMS };

/* How a block is released: the form of the function, and the arguments of the caller. */
struct hk_release {
	enum hk_call call;
	enum hk_form form;
	bool any;			/* the form is not known */
	bool sized;			/* the caller passed a size */
	bool aligned;			/* the caller passed an alignment, or 1 for none */
	size_t size, align;
	const void *caller;
};

HK_INLINE bool hk_hardened(void)
{
	return hk_unlikely(hk_harden != 0);
}

/* The slow paths of malloc, calloc and free, hardened or not. */
void *hk_harden_malloc(size_t size, const void *caller);
void *hk_harden_calloc(size_t size, bool *zero, const void *caller);
void hk_harden_free(void *p, enum hk_call call, const void *caller);

/* Only while a level is in force. Errors are those of malloc; align is a power of two,
 * or 1 for none. */
void *hk_harden_allocate(size_t size, size_t align, enum hk_form form, const void *caller);
void hk_harden_release(void *p, const struct hk_release *how);
void *hk_harden_realloc(void *p, size_t size, const void *caller);
size_t hk_harden_usable(const void *p, enum hk_call call);

/* Empties the quarantine of this thread. */
void hk_harden_trim(void);

#endif
