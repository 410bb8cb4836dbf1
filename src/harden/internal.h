/* Declarations that only the files of harden/ use. */
#ifndef HK_HARDEN_INTERNAL_H
#define HK_HARDEN_INTERNAL_H

#include "harden/harden.h"
#include "harden/seal.h"
#include "large/large.h"

HK_INLINE bool hk_contents_on(void)
{
	return hk_harden >= HK_HARDEN_CONTENTS;
}

HK_INLINE bool hk_guards_on(void)
{
	return hk_harden >= HK_HARDEN_GUARDS;
}

/* empty.c: an address for a zero-size block; NULL: none is left. */
void *hk_empty_take(void);
bool hk_empty_is(const void *p);
void hk_empty_free(void *p, enum hk_call call);
void hk_empty_check(const void *p, enum hk_call call);

/* wide.c: blocks larger than those of slabs. NULL from find: p is not such a block. */
/* sampled: 0, or the size with which a small block is sampled. */
void *hk_wide_take(size_t size, size_t align, const struct hk_seal *seal, size_t sampled, bool *zero,
		   const void *caller);
struct hk_note *hk_wide_find(const void *p, enum hk_call call);
void hk_wide_free(void *p, struct hk_note *note, const void *caller);
/* NULL: the block is unchanged and must be copied. */
void *hk_wide_resize(void *p, size_t size, const void *caller);
/* Releases a block from the quarantine; no lock held. */
void hk_wide_settle(void *p);

/* queue.c: the quarantine of this thread. */
void hk_queue_push(void *p, unsigned class, const void *caller);
void hk_queue_push_wide(void *p, size_t whole);
/* Releases all blocks of the quarantine; false: it was empty. */
bool hk_queue_drain(struct hk_cache *cache);
/* harden.c: checks a block from the quarantine and returns it to the cache. */
void hk_settle(void *p, unsigned class, const void *caller);

/* report.c: each stops the program. */
_Noreturn void hk_report_overrun(enum hk_call call, const void *p, size_t size, size_t whole);
_Noreturn void hk_report_underrun(enum hk_call call, const void *p);
_Noreturn void hk_report_written(const void *p, size_t whole, size_t at);
_Noreturn void hk_report_size(const struct hk_release *how, const void *p, size_t size);
_Noreturn void hk_report_form(const struct hk_release *how, const void *p, const struct hk_seal *seal);
_Noreturn void hk_report_align(const struct hk_release *how, const void *p, const struct hk_seal *seal);
_Noreturn void hk_report_twice(enum hk_call call, const void *p, const char *kind);

#endif
