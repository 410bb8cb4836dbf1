/*
 * The windows of learning. At the end of a thread's window the limits of its lists are
 * adapted, or some SuperSlabs are examined. The input is the counts of refills and flushes,
 * which are kept anyway.
 *
 * The threads share a budget. Each one may hold an equal part of it, and more while other
 * threads leave theirs unused. When further threads need their part, those that exceed
 * theirs shrink from window to window.
 */
#include "learn/learn.h"

#include "cache/cache.h"
#include "os/os.h"
#include "os/probe.h"
#include "slab/meta.h"

/* Belongs to the thread of the cache; protected by the cache lock. The counts are those of
 * the bins at the start of the window. */
struct hk_learner {
	struct hk_learn_class class[HK_CLASSES];
	size_t refills[HK_CLASSES], flushes[HK_CLASSES];
	int32_t length[HK_CLASSES];
	uint64_t since;				/* ms */
	unsigned window;			/* operations, of ALLOC learning */
	int64_t alloc_left, mem_left;		/* operations left in each window, when */
	int64_t left;				/* window_left was set to this value */
};

struct hk_learn_counters hk_learn_counters HK_BEHIND;

/* Each is packed into one word, so that no lock is needed; 0: none. */
static _Atomic uint64_t decisions[HK_DECISIONS] HK_BEHIND;
static _Atomic unsigned decided;

void hk_learn_record(unsigned class, unsigned from, unsigned to, enum hk_reason reason)
{
	unsigned at = atomic_fetch_add_explicit(&decided, 1, memory_order_relaxed) % HK_DECISIONS;

	atomic_store_explicit(&decisions[at], (uint64_t)reason << 48 | (uint64_t)class << 32 |
			      (uint64_t)from << 16 | to, memory_order_relaxed);
	HK_PROBE5(learn, hk_learn_moved(reason), hk_learn_reason(reason), hk_class_size(class), from, to);
}

bool hk_learn_decision(unsigned index, struct hk_decision *d)
{
	unsigned at = atomic_load_explicit(&decided, memory_order_relaxed) - 1 - index;
	uint64_t word = atomic_load_explicit(&decisions[at % HK_DECISIONS], memory_order_relaxed);

	d->reason = (enum hk_reason)(word >> 48);
	d->class = word >> 32 & 0xffff;
	d->from = word >> 16 & 0xffff;
	d->to = word & 0xffff;
	return index < HK_DECISIONS && word;
}

static int32_t length_of(const struct hk_bin *bin)
{
	return bin->capacity - bin->room;
}

/* Stores the counts at the start of the next window. */
static void begin(struct hk_cache *cache, struct hk_learner *l)
{
	unsigned i;

	for (i = 0; i < HK_CLASSES; i++) {
		l->refills[i] = cache->bin[i].refills;
		l->flushes[i] = cache->bin[i].flushes;
		l->length[i] = length_of(&cache->bin[i]);
	}
	l->since = hk_os_now();
	l->window = hk_settings.alloc_learn_window;
	l->alloc_left = l->window;
}

/* Counts down to the end of the window that ends first. */
static void count_down(struct hk_cache *cache, struct hk_learner *l)
{
	l->left = l->alloc_left < l->mem_left ? l->alloc_left : l->mem_left;
	cache->window_left = l->left;
}

/* Restarts a class whose limits are not those learned here: the thread is new, or has the
 * cache of another one. */
static void adopt(struct hk_learn_class *c, const struct hk_bin *bin, unsigned i)
{
	if (c->capacity / HK_LEARN_UNIT == (unsigned)bin->capacity_max &&
	    c->batch / HK_LEARN_UNIT == (unsigned)bin->batch_max)
		return;
	*c = (struct hk_learn_class){
		.size = (unsigned)hk_class_size(i),
		.capacity = (unsigned)bin->capacity_max * HK_LEARN_UNIT,
		.batch = (unsigned)bin->batch_max * HK_LEARN_UNIT,
	};
}

/*
 * Estimates the shortest length of the list: it was empty at each refill, and had
 * hk_list_keep blocks after each flush.
 */
static void look(struct hk_learn_class *c, const struct hk_bin *bin, const struct hk_learner *l,
		 unsigned i)
{
	int32_t low = length_of(bin);

	c->refills = bin->refills - l->refills[i];
	c->flushes = bin->flushes - l->flushes[i];
	low = low < l->length[i] ? low : l->length[i];
	if (c->flushes && low > hk_list_keep(bin->capacity))
		low = hk_list_keep(bin->capacity);
	c->low = c->refills || low < 0 ? 0 : (unsigned)low;
}

/* Moves the start limit of new threads half-way to the limit of this thread. */
static void teach(_Atomic int32_t *known, unsigned value)
{
	int32_t old = atomic_load_explicit(known, memory_order_relaxed);
	int32_t more = (int32_t)value - old;

	atomic_store_explicit(known, old + (more + (more > 0) - (more < 0)) / 2, memory_order_relaxed);
}

static void apply(struct hk_cache *cache, const struct hk_learn_class *c, unsigned i)
{
	struct hk_bin *bin = &cache->bin[i];
	unsigned capacity = c->capacity / HK_LEARN_UNIT, batch = c->batch / HK_LEARN_UNIT;
	unsigned old_capacity = (unsigned)bin->capacity_max, old_batch = (unsigned)bin->batch_max;

	if (c->refills || c->flushes) {
		atomic_fetch_add_explicit(&hk_learn_counters.used[i], 1, memory_order_relaxed);
		teach(&hk_start_limits[i].capacity, capacity);
		teach(&hk_start_limits[i].batch, batch);
	}
	if (capacity == old_capacity && batch == old_batch)
		return;
	hk_bin_limit(cache, bin, (int32_t)capacity, (int32_t)batch);
	if (capacity != old_capacity) {
		hk_learn_record(i, old_capacity, capacity, c->capacity_moved);
		atomic_fetch_add_explicit(capacity > old_capacity ? &hk_learn_counters.grants[i] :
					  &hk_learn_counters.cuts[i], 1, memory_order_relaxed);
	}
	if (batch != old_batch && c->batch_moved)
		hk_learn_record(i, old_batch, batch, c->batch_moved);
}

static size_t budget(const struct hk_cache *cache)
{
	size_t others = atomic_load_explicit(&hk_budget_held, memory_order_relaxed) - cache->budget_held;
	size_t holders = atomic_load_explicit(&hk_budget_holders, memory_order_relaxed) +
			 !cache->budget_held;
	size_t left = others < HK_LEARN_PROCESS_BYTES ? HK_LEARN_PROCESS_BYTES - others : 0;
	size_t fair = HK_LEARN_PROCESS_BYTES / (holders ? holders : 1);

	left = left < fair ? fair : left;
	return left < HK_LEARN_THREAD_BYTES ? left : HK_LEARN_THREAD_BYTES;
}

static void hold(struct hk_cache *cache, size_t bytes)
{
	if (!cache->budget_held)
		atomic_fetch_add_explicit(&hk_budget_holders, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&hk_budget_held, bytes - cache->budget_held, memory_order_relaxed);
	cache->budget_held = bytes;
}

static bool worth_growth(const struct hk_learner *l)
{
	size_t mapped = atomic_load_explicit(&hk_os_mapped, memory_order_relaxed), used = 0;
	unsigned i;

	for (i = 0; i < HK_CLASSES; i++)
		if (l->class[i].refills || l->class[i].flushes)
			used += (size_t)hk_learn_bytes(&l->class[i], 1);
	return (hk_os_now() - l->since) * HK_LEARN_BUSY_PER_MS <= l->window &&
	       (used < HK_LEARN_GROWN_BYTES || used < mapped / HK_LEARN_HEAP_SHARE);
}

static void adapt_lists(struct hk_cache *cache, struct hk_learner *l)
{
	struct hk_learn_bounds bounds;
	unsigned i;

	for (i = 0; i < HK_CLASSES; i++) {
		adopt(&l->class[i], &cache->bin[i], i);
		look(&l->class[i], &cache->bin[i], l, i);
	}
	bounds = (struct hk_learn_bounds){
		.rate = hk_settings.alloc_learn_rate,
		.operations = l->window,
		.budget = (int64_t)budget(cache),
		.busy = worth_growth(l),
	};
	hk_learn_step(l->class, HK_CLASSES, &bounds);
	for (i = 0; i < HK_CLASSES; i++)
		apply(cache, &l->class[i], i);
	hold(cache, (size_t)hk_learn_bytes(l->class, HK_CLASSES));
	atomic_fetch_add_explicit(&hk_learn_counters.windows, 1, memory_order_relaxed);
	begin(cache, l);
}

static void begin_windows(struct hk_cache *cache, struct hk_learner *l)
{
	l->alloc_left = INT64_MAX;
	if (hk_settings.alloc_learn)
		begin(cache, l);
	l->mem_left = hk_settings.mem_learn ? hk_settings.mem_learn_window : INT64_MAX;
	count_down(cache, l);
}

/* There are no counts from the start of the first window, so it is only the start of the
 * next one. */
static void first_window(struct hk_cache *cache)
{
	struct hk_learner *l = cache->learner = hk_meta_alloc(sizeof *l);

	/* Tried again after a window; hk_meta_fill maps more metadata meanwhile. */
	if (!l) {
		cache->window_left = hk_settings.alloc_learn_window;
		return;
	}
	begin_windows(cache, l);
}

/* The settings have changed. If ALLOC learning is off, the thread drops the limits that it has
 * learned, and returns its part of the budget. */
static void follow(struct hk_cache *cache, uint32_t now)
{
	cache->learning = now;
	if (!hk_settings.alloc_learn) {
		hk_limits_unlearn();
		hk_lists_unlearn(cache);
		hk_budget_return(cache);
	}
	if (cache->learner)
		begin_windows(cache, cache->learner);
	else
		cache->window_left = hk_first_window(cache);
}

static void end_window(struct hk_cache *cache)
{
	uint32_t now = atomic_load_explicit(&hk_learning, memory_order_acquire);
	struct hk_learner *l = cache->learner;
	int64_t passed;

	if (cache->learning != now) {
		follow(cache, now);
		return;
	}
	if (!l) {
		first_window(cache);
		return;
	}
	passed = l->left - cache->window_left;
	l->alloc_left -= passed;
	l->mem_left -= passed;
	if (l->alloc_left <= 0)
		adapt_lists(cache, l);
	if (l->mem_left <= 0) {
		cache->look = true;
		l->mem_left = hk_settings.mem_learn_window;
	}
	count_down(cache, l);
}

/* A thread that ends a window at this moment may still overwrite the limits with which new threads
 * start. It restores them when it notices the change. */
void hk_learn_follow(enum hk_setting_id id)
{
	hk_mem_follow(id);
	if (!hk_settings.alloc_learn)
		hk_limits_unlearn();
	atomic_fetch_add_explicit(&hk_learning, 1, memory_order_release);
}

__attribute__((constructor(101))) static void start_learning(void)
{
	hk_window_end = end_window;
	hk_hooks.look = hk_mem_look;
	hk_hooks.forked = hk_mem_forked;
}
