/*
 * Freed Large mappings, kept for reuse: runs of 2 MiB granules that merge with
 * their neighbours when freed and are split when taken (boundary tags, Knuth,
 * TAOCP 1, 2.5; the page map holds the tags). What is due (range/decay.h) goes
 * back to the OS, longest kept first. A range above KEPT_ALWAYS is kept only
 * once one as large was wanted again after a free: most programs that hold a
 * file or a table of many MiB do so once.
 */
#include "large/internal.h"
#include "os/os.h"
#include "pool/eager.h"
#include "pool/pool.h"
#include "range/decay.h"
#include "slab/meta.h"
#include "slab/pagemap.h"

/* Bytes that may be kept whatever is in use, beyond which it is half of that;
 * where memory is scarce, a sixteenth of it. */
#define KEPT_MIN ((size_t)64 << 20)
#define KEPT_ALWAYS ((size_t)8 << 20)

enum { BUCKETS = 63 };

/*
 * All under the large lock.
 *	bucket[n]	runs of n + 1 granules; the last one, of that or more
 *	filled		bit n set <=> bucket[n] is not empty
 *	oldest, newest	all runs, by the time of the free
 *	decay		of the bytes that are kept
 *	let_go		the largest range, up to HK_LARGE_MAX, that was not kept
 *			by the rule above
 *	wanted_again	the largest up to that which was asked for after it
 */
static struct {
	struct hk_large *bucket[BUCKETS];
	uint64_t filled;
	struct hk_large *oldest, *newest;
	struct hk_decay decay;
	size_t let_go, wanted_again;
} kept;

/* Pushed to by anybody, popped from under the large lock. */
static _Atomic(struct hk_large *) spare;

struct hk_large *hk_large_node(void)
{
	struct hk_large *b = atomic_load_explicit(&spare, memory_order_acquire);

	while (b && !hk_swapped(atomic_compare_exchange_weak_explicit(&spare, &b, b->next,
			memory_order_acquire, memory_order_acquire)))
		;
	return b ? b : hk_meta_alloc(sizeof *b);
}

void hk_large_node_free(struct hk_large *b)
{
	struct hk_large *head = atomic_load_explicit(&spare, memory_order_relaxed);

	do
		b->next = head;
	while (!hk_swapped(atomic_compare_exchange_weak_explicit(&spare, &head, b,
			memory_order_release, memory_order_relaxed)));
}

static unsigned bucket_of(size_t mapped)
{
	size_t granules = mapped >> HK_SUPERSLAB_SHIFT;

	return (unsigned)(granules < BUCKETS ? granules : BUCKETS) - 1;
}

static void *last_granule(const struct hk_large *b)
{
	return (void *)(b->start + b->mapped - HK_SUPERSLAB_SIZE);
}

static void count_kept(size_t ranges, size_t bytes)
{
	atomic_fetch_add_explicit(&hk_large_counters.cached, ranges, memory_order_relaxed);
	atomic_fetch_add_explicit(&hk_large_counters.cached_bytes, bytes, memory_order_relaxed);
}

static bool enter(struct hk_large *b, struct hk_large *behind)
{
	unsigned n = bucket_of(b->mapped);

	if (!hk_granule_set_large(last_granule(b), b))
		return false;
	hk_granule_set_large((void *)b->start, b);
	b->state = HK_LARGE_KEPT;
	b->prev = NULL;
	b->next = kept.bucket[n];
	if (b->next)
		b->next->prev = b;
	kept.bucket[n] = b;
	kept.filled |= (uint64_t)1 << n;
	b->older = behind;
	b->newer = behind ? behind->newer : kept.oldest;
	*(b->older ? &b->older->newer : &kept.oldest) = b;
	*(b->newer ? &b->newer->older : &kept.newest) = b;
	count_kept(1, b->mapped);
	return true;
}

static struct hk_large *take_out(struct hk_large *b)
{
	unsigned n = bucket_of(b->mapped);

	hk_granule_clear((void *)b->start);
	hk_granule_clear(last_granule(b));
	b->state = HK_LARGE_GONE;
	if (b->prev)
		b->prev->next = b->next;
	else if (!(kept.bucket[n] = b->next))
		kept.filled &= ~((uint64_t)1 << n);
	if (b->next)
		b->next->prev = b->prev;
	*(b->older ? &b->older->newer : &kept.oldest) = b->newer;
	*(b->newer ? &b->newer->older : &kept.newest) = b->older;
	count_kept((size_t)-1, -b->mapped);
	return b;
}

/* Takes the first bytes of a run; the rest stays at its age. Without memory
 * to describe the rest, all of it. */
static struct hk_large *take_part(struct hk_large *b, size_t mapped)
{
	struct hk_large *behind = b->older, *rest;

	take_out(b);
	rest = b->mapped > mapped ? hk_large_node() : NULL;
	if (rest) {
		rest->huge = rest->grew = false;
		hk_guard_cut(b, mapped, rest);
		if (!enter(rest, behind)) {
			hk_guard_join(b, rest);
			hk_large_node_free(rest);
		}
	}
	return b;
}

static struct hk_large *kept_at(uintptr_t address)
{
	struct hk_large *b = hk_granule_find((void *)address).large;

	return b && b->state == HK_LARGE_KEPT ? b : NULL;
}

bool hk_kept_decide(size_t mapped)
{
	if (mapped <= KEPT_ALWAYS || mapped <= kept.wanted_again)
		return true;
	if (mapped > kept.let_go && mapped <= HK_LARGE_MAX)
		kept.let_go = mapped;
	return false;
}

static void note_wanted(size_t mapped)
{
	if (mapped <= kept.let_go && mapped > kept.wanted_again)
		kept.wanted_again = mapped;
}

bool hk_kept_add(struct hk_large *b)
{
	struct hk_large *before = kept_at(b->start - 1), *after = kept_at(b->start + b->mapped);
	size_t freed = b->mapped;

	hk_guard_to_pits(b);
	if (before && hk_guard_can_join(before, b)) {
		hk_guard_join(take_out(before), b);
		b->start = before->start;
		b->mapped = before->mapped;
		b->pits = before->pits;
		hk_large_node_free(before);
	}
	if (after && hk_guard_can_join(b, after)) {
		hk_guard_join(b, take_out(after));
		hk_large_node_free(after);
	}
	if (!enter(b, kept.newest))
		return false;
	hk_decay_add(&kept.decay, freed);
	return true;
}

struct hk_large *hk_kept_take(size_t mapped)
{
	uint64_t fit = kept.filled >> bucket_of(mapped) << bucket_of(mapped);
	struct hk_large *b = NULL;

	if (mapped <= HK_LARGE_MAX && fit) {
		b = take_part(kept.bucket[__builtin_ctzll(fit)], mapped);
		hk_guard_from_pits(b);
		hk_decay_subtract(&kept.decay, b->mapped);
	}
	note_wanted(mapped);
	return b;
}

bool hk_kept_extend(struct hk_large *b, size_t mapped)
{
	struct hk_large *after = kept_at(b->start + b->mapped);

	note_wanted(mapped);
	if (!after || after->mapped < mapped - b->mapped)
		return false;
	after = take_part(after, mapped - b->mapped);
	hk_decay_subtract(&kept.decay, after->mapped);
	hk_guard_to_pits(b);
	hk_guard_join(b, after);
	hk_guard_from_pits(b);
	hk_large_node_free(after);
	return true;
}

/* Bytes that may be kept. */
static size_t may_wait(void)
{
	size_t live = atomic_load_explicit(&hk_large_counters.bytes, memory_order_relaxed);
	size_t usual = hk_pool_scarce() ? live / 16 : KEPT_MIN + live / 2;
	size_t few = hk_is_eager() ? hk_eager_bytes(HK_EAGER_LARGE) : usual;

	return few < usual ? few : usual;
}

bool hk_kept_is_due(uint64_t now)
{
	return !hk_decay_is_idle(&kept.decay, now, may_wait());
}

struct hk_large *hk_kept_expire(bool all)
{
	size_t due = hk_decay_due(&kept.decay, hk_os_now(), hk_decay_period(), may_wait());
	struct hk_large *b = kept.oldest;

	if (!b)
		hk_decay_release(&kept.decay, SIZE_MAX);
	if (!b || (!due && !all))
		return NULL;
	if (!all && b->mapped > due)
		b = take_part(b, (due + HK_SUPERSLAB_SIZE - 1) & -HK_SUPERSLAB_SIZE);
	else
		take_out(b);
	hk_decay_subtract(&kept.decay, b->mapped);
	hk_decay_release(&kept.decay, b->mapped);
	return b;
}
