/*
 * What threads may have to wait for each other for, counted in debug builds:
 * every lock taken, by rank, and every atomic read-modify-write, by the place
 * in the source. Each counts as contended, whether the line was elsewhere or
 * not; locks that were held and compare-and-swaps that failed, all of which
 * had to wait, are counted once more. A release build has none of this.
 *
 * The names of <stdatomic.h> stand for counted ones here, so that no place
 * can be forgotten; a file that defines HK_UNCOUNTED first is left out.
 */
#ifndef HK_OS_CONTENTION_H
#define HK_OS_CONTENTION_H

#include "os/platform.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef HK_DEBUG

enum { HK_SITES = 128, HK_WAITS = HK_SITES + 8 };	/* places; with the locks */

struct hk_site {
	const char *file;
	unsigned line;
	_Atomic unsigned number;	/* in the table; 0: not yet used */
};

struct hk_waits {
	const char *what;		/* a lock, or the file of a place */
	unsigned line;			/* 0: a lock */
	size_t done, waited;
};

void hk_site_note(struct hk_site *site);
bool hk_site_tried(struct hk_site *site, bool done);
void hk_lock_counted(unsigned rank, bool waited);

/* The sums over all threads so far, of index below HK_WAITS. */
void hk_waits_sum(unsigned index, struct hk_waits *waits);

#ifndef HK_UNCOUNTED
#define HK_COUNTED(call) (__extension__({				\
	static struct hk_site hk_here = { __FILE__, __LINE__, 0 };	\
	hk_site_note(&hk_here);						\
	call; }))
#define HK_TRIED(call) (__extension__({					\
	static struct hk_site hk_here = { __FILE__, __LINE__, 0 };	\
	hk_site_tried(&hk_here, call); }))

#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and_explicit
#undef atomic_exchange_explicit
#undef atomic_exchange
#undef atomic_compare_exchange_weak_explicit
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_strong
#define atomic_fetch_add_explicit(p, v, order) HK_COUNTED(HK_ATOMIC(fetch_add)(p, v, order))
#define atomic_fetch_sub_explicit(p, v, order) HK_COUNTED(HK_ATOMIC(fetch_sub)(p, v, order))
#define atomic_fetch_or_explicit(p, v, order) HK_COUNTED(HK_ATOMIC(fetch_or)(p, v, order))
#define atomic_fetch_and_explicit(p, v, order) HK_COUNTED(HK_ATOMIC(fetch_and)(p, v, order))
#define atomic_exchange_explicit(p, v, order) HK_COUNTED(HK_ATOMIC_EXCHANGE(p, v, order))
#define atomic_exchange(p, v) atomic_exchange_explicit(p, v, memory_order_seq_cst)
#define atomic_compare_exchange_weak_explicit(p, old, v, order, failed) \
	HK_TRIED(HK_ATOMIC_TRY(weak, p, old, v, order, failed))
#define atomic_compare_exchange_strong_explicit(p, old, v, order, failed) \
	HK_TRIED(HK_ATOMIC_TRY(strong, p, old, v, order, failed))
#define atomic_compare_exchange_strong(p, old, v) \
	atomic_compare_exchange_strong_explicit(p, old, v, memory_order_seq_cst, memory_order_seq_cst)
#undef atomic_fetch_add
#undef atomic_fetch_sub
#undef atomic_fetch_or
#undef atomic_fetch_and
#undef atomic_compare_exchange_weak
#define atomic_fetch_add(p, v) atomic_fetch_add_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_sub(p, v) atomic_fetch_sub_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_or(p, v) atomic_fetch_or_explicit(p, v, memory_order_seq_cst)
#define atomic_fetch_and(p, v) atomic_fetch_and_explicit(p, v, memory_order_seq_cst)
#define atomic_compare_exchange_weak(p, old, v) \
	atomic_compare_exchange_weak_explicit(p, old, v, memory_order_seq_cst, memory_order_seq_cst)
#endif

#endif
#endif
