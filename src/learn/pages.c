/*
 * MEM learning. SuperSlabs that remain dense get huge pages; those that became sparse get
 * small pages, and their free memory is released. It also adapts the purge delay.
 *
 * At the end of a thread's window or of a turn of the scavenger a few SuperSlabs are
 * examined; the state is shared by all threads, so the next look continues with the
 * following ones. The live share counts blocks in use of at most a page: see hk_usage_of.
 * Huge pages are requested above one share and given up below a lower one, which is the
 * hysteresis, and either condition must last for a while.
 *
 * A promotion touches memory that was not touched before. This saves page faults for the
 * part that the program uses later. If it uses too little of it, the promotion is undone.
 * Each undone promotion raises the threshold; the increase decays.
 */
#include "learn/learn.h"

#include "cache/cache.h"
#include "os/os.h"
#include "pool/pool.h"
#include "range/decay.h"

enum { NO_TREND, DENSE, SPARSE, ON_TRIAL };

/* Protected by busy, except that the threshold is read without it (relaxed). */
static struct {
	_Atomic bool busy;
	uint32_t next;			/* the SuperSlab to be examined next */
	_Atomic unsigned threshold;	/* millionths; used if above the setting */
	uint64_t pause_until, rest_until;	/* ns; no promotion and no look before */
	uint64_t spent;			/* ns on promotions */
	uint64_t period_began;		/* ms */
	size_t released, needed;	/* totals at the start of the period */
	size_t last_released;		/* in the previous period */
} mem;
struct hk_mem_counters hk_mem_counters;

static size_t share(unsigned millionths)
{
	return (size_t)((uint64_t)HK_SUPERSLAB_SIZE * millionths / HK_RATIO_ONE);
}

static void set_trend(struct hk_shared_meta *m, unsigned trend, uint64_t now)
{
	if (atomic_load_explicit(&m->trend, memory_order_relaxed) == trend)
		return;
	atomic_store_explicit(&m->trend, (uint8_t)trend, memory_order_relaxed);
	atomic_store_explicit(&m->since, now, memory_order_relaxed);
}

static bool holds(struct hk_shared_meta *m, unsigned trend, uint64_t now, unsigned ms)
{
	return atomic_load_explicit(&m->trend, memory_order_relaxed) == trend &&
	       hk_elapsed(now, atomic_load_explicit(&m->since, memory_order_relaxed), ms);
}

/* Percent of the SuperSlab, as in reports. */
static unsigned percent(size_t bytes)
{
	return (unsigned)(bytes * 100 / HK_SUPERSLAB_SIZE);
}

unsigned hk_mem_threshold(void)
{
	unsigned raised = atomic_load_explicit(&mem.threshold, memory_order_relaxed);
	unsigned setting = hk_settings.mem_learn_threshold;

	return raised > setting ? raised : setting;
}

static void set_threshold(unsigned threshold)
{
	atomic_store_explicit(&mem.threshold, threshold, memory_order_relaxed);
}

/* The bytes of a SuperSlab that have memory before a promotion. */
static size_t has(const struct hk_usage *seen)
{
	return seen->touched + seen->waiting + seen->other;
}

static bool forked_lately(uint64_t now)
{
	uint64_t then = atomic_load_explicit(&hk_forked_at, memory_order_relaxed);

	return then && !hk_elapsed(now, then, HK_MEM_FORK_MS);
}

static void promote(struct hk_superslab *s, const struct hk_usage *seen, uint64_t now)
{
	uint64_t before = hk_os_clock(), cost;
	bool at_once;

	if (before < mem.pause_until || hk_pool_scarce() || forked_lately(now))
		return;
	if (!hk_thp_promote(s, &at_once))
		return;
	cost = hk_os_clock() - before;
	mem.spent += cost;
	mem.pause_until = before + cost * HK_MEM_COST_SHARE + (at_once ? 0 : (uint64_t)HK_MEM_PAUSE_MS * 1000000);
	atomic_store_explicit(&s->shared_meta->touched, (uint32_t)has(seen), memory_order_relaxed);
	set_trend(s->shared_meta, at_once ? ON_TRIAL : NO_TREND, now);
	atomic_fetch_add_explicit(&hk_mem_counters.promoted, 1, memory_order_relaxed);
	hk_learn_record(0, percent(seen->touched), percent(seen->live), HK_DENSE);
}

static bool give_up(struct hk_superslab *s, const struct hk_usage *seen, enum hk_reason reason)
{
	struct hk_pool_release r;

	if (!hk_pool_shrink(s, &r) || !hk_pool_release(&r))
		return false;
	atomic_store_explicit(&s->shared_meta->trend, NO_TREND, memory_order_relaxed);
	atomic_fetch_add_explicit(reason == HK_SPARSE ? &hk_mem_counters.demoted :
				  &hk_mem_counters.reverted, 1, memory_order_relaxed);
	hk_learn_record(0, percent(seen->touched), percent(seen->live), reason);
	return true;
}

/* Undoes a promotion if the program has not used most of the memory that it added. */
static void judge(struct hk_superslab *s, const struct hk_usage *seen)
{
	size_t before = atomic_load_explicit(&s->shared_meta->touched, memory_order_relaxed);
	size_t extra = HK_SUPERSLAB_SIZE - before;
	size_t used = has(seen) > before ? has(seen) - before : 0;
	unsigned threshold = hk_mem_threshold();

	atomic_store_explicit(&s->shared_meta->trend, NO_TREND, memory_order_relaxed);
	if (extra >= HK_MEM_EXTRA_LEAST && used < extra / 2 && give_up(s, seen, HK_UNUSED))
		set_threshold(threshold + (HK_RATIO_ONE - threshold) / 2);
}

/* A SuperSlab that was never full is still filling up and does not count as sparse, and the
 * pool releases an empty one. */
static bool got_sparse(const struct hk_usage *seen)
{
	return seen->live && seen->live < share(hk_settings.mem_learn_sparse) &&
	       seen->live < share(hk_mem_threshold()) / 2 &&
	       seen->live < (seen->touched + seen->waiting) / 2;
}

static void look_at(struct hk_superslab *s, uint64_t now)
{
	struct hk_shared_meta *m = s->shared_meta;
	struct hk_usage seen = hk_usage_of(s);
	enum hk_pages pages = hk_superslab_pages(s);
	unsigned stable = hk_settings.mem_learn_stable;
	unsigned delay = (unsigned)atomic_load_explicit(&hk_purge_delay, memory_order_relaxed);

	/* Not with holes, because a huge page would fill them. */
	if (pages != HK_PAGES_HUGE && seen.live >= share(hk_mem_threshold()) && seen.live &&
	    !seen.holes) {
		set_trend(m, DENSE, now);
		if (holds(m, DENSE, now, stable))
			promote(s, &seen, now);
	} else if (pages == HK_PAGES_HUGE && got_sparse(&seen)) {
		set_trend(m, SPARSE, now);
		if (holds(m, SPARSE, now, stable > delay ? stable : delay))
			give_up(s, &seen, HK_SPARSE);
	} else if (pages == HK_PAGES_HUGE && holds(m, ON_TRIAL, now, HK_MEM_TRIAL_MS)) {
		judge(s, &seen);
	} else if (atomic_load_explicit(&m->trend, memory_order_relaxed) != ON_TRIAL) {
		set_trend(m, NO_TREND, now);
	}
}

/*
 * If memory that was released in one period is needed again in the next one, it was released
 * too early, and the delay is doubled. If almost none is needed again, the delay is halved.
 */
static void learn_delay(uint64_t now)
{
	size_t given = atomic_load_explicit(&hk_pool_counters.given, memory_order_relaxed);
	size_t released = atomic_load_explicit(&hk_pool_counters.purged_bytes, memory_order_relaxed) +
		atomic_load_explicit(&hk_hole_purged_bytes, memory_order_relaxed) + HK_SUPERSLAB_SIZE *
		(atomic_load_explicit(&hk_pool_counters.unmapped, memory_order_relaxed) - given);
	size_t needed = HK_SLOT_SIZE *
		atomic_load_explicit(&hk_pool_counters.clean_slots_used, memory_order_relaxed) +
		atomic_load_explicit(&hk_hole_purged_bytes, memory_order_relaxed) -
		atomic_load_explicit(&hk_hole_bytes, memory_order_relaxed);
	/* May be negative, because the two counts of holes are not read at the same moment. */
	size_t back = (ptrdiff_t)(needed - mem.needed) > 0 ? needed - mem.needed : 0;
	unsigned delay = (unsigned)atomic_load_explicit(&hk_purge_delay, memory_order_acquire);
	unsigned threshold = hk_mem_threshold(), setting = hk_settings.mem_learn_threshold;
	unsigned least = hk_setting_table[HK_SET_MEM_LEARN_DELAY].least;
	unsigned most = hk_setting_table[HK_SET_MEM_LEARN_DELAY].most;
	enum hk_reason reason = HK_KEPT;
	size_t old = delay;

	/* The delay was read first (acquire). If hk_mem_follow wrote it, mem_learn reads as off. */
	if (!hk_settings.mem_learn || !hk_elapsed(now, mem.period_began, HK_MEM_PERIOD_MS))
		return;
	if (threshold > setting)
		set_threshold(threshold - (threshold - setting) / HK_MEM_DECAY);
	/* A longer period does not show whether memory was needed again soon. */
	if (hk_elapsed(now, mem.period_began, 2 * HK_MEM_PERIOD_MS))
		mem.last_released = 0;
	if (mem.last_released >= HK_MEM_RELEASED_LEAST && back > mem.last_released / HK_NEEDED_SHARE) {
		delay = delay * 2 < most ? delay * 2 : most;
		reason = HK_NEEDED_AGAIN;
	} else if (mem.last_released >= HK_MEM_RELEASED_LEAST && back < mem.last_released / HK_NOT_NEEDED_SHARE) {
		delay = delay / 2 > least ? delay / 2 : least;
		reason = HK_NOT_NEEDED;
	}
	mem.last_released = released - mem.released;
	mem.released = released;
	mem.needed = needed;
	mem.period_began = now;
	if (delay == old || !atomic_compare_exchange_strong_explicit(&hk_purge_delay, &old, delay, memory_order_relaxed,
								     memory_order_relaxed))
		return;
	hk_learn_record(0, (unsigned)old, delay, reason);
}

void hk_mem_follow(enum hk_setting_id id)
{
	if (id == HK_SET_MEM_LEARN_THRESHOLD)
		set_threshold(0);
	if (!hk_settings.mem_learn)
		atomic_store_explicit(&hk_purge_delay, hk_settings.mem_learn_delay, memory_order_release);
}

static void look_around(uint64_t now)
{
	uint64_t began = hk_os_clock(), promotions = mem.spent;
	uint32_t end = hk_superslab_end();
	unsigned left = hk_settings.mem_learn_step;

	if (began < mem.rest_until || hk_os_huge_mode() == HK_HUGE_NEVER)
		return;
	for (left = left < end ? left : end; left; left--) {
		struct hk_superslab *s = hk_superslab_at(mem.next < end ? mem.next : 0);

		mem.next = s->index + 1;
		look_at(s, now);
	}
	mem.rest_until = began + (hk_os_clock() - began - (mem.spent - promotions)) * HK_MEM_LOOK_SHARE;
}

/* The thread that was in hk_mem_look may not exist in the child. */
void hk_mem_forked(void)
{
	if (hk_inside() || !atomic_load_explicit(&mem.busy, memory_order_relaxed))
		return;
	atomic_store_explicit(&mem.busy, false, memory_order_relaxed);
	hk_thp_unpin_all();
}

void hk_mem_look(void)
{
	struct hk_before before;
	uint64_t now;

	if (atomic_exchange_explicit(&mem.busy, true, memory_order_acquire))
		return;
	before = hk_find_nothing();
	now = hk_os_now();
	look_around(now);
	learn_delay(now);
	hk_find_again(before);
	atomic_store_explicit(&mem.busy, false, memory_order_release);
}
