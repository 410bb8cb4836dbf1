/* The slow paths of malloc and free. */
#include "cache/fallback.h"
#include "cache/internal.h"

#include "config/control.h"
#include "debug/ring.h"
#include "large/large.h"
#include "os/os.h"
#include "pool/eager.h"
#include "sample/fence.h"
#include "sample/sample.h"
#include "slab/meta.h"

#include <errno.h>
#include <string.h>

static void freed(const void *caller)
{
	void (*hook)(const void *) = atomic_load_explicit(&hk_hooks.freed, memory_order_relaxed);

	if (hk_unlikely(hook != NULL))
		hook(caller);
}

/* Calls the hook for the requests of another process; no lock held. */
HK_INLINE void notice_requests(void)
{
	if (hk_unlikely(hk_control_waits()) && hk_hooks.asked)
		hk_hooks.asked();
}

/* class: the class concerned, or HK_CLASSES for none. System calls are made after the lock
 * is released. */
static void leave(struct hk_cache *cache, unsigned class)
{
	unsigned due;
	bool look;
	uintptr_t at = cache->touch_at;
	size_t size = cache->touch_size;

	if (hk_unlikely(cache->window_left <= 0 ||
			cache->learning != atomic_load_explicit(&hk_learning, memory_order_relaxed)) && hk_window_end)
		hk_window_end(cache);
	if (hk_walk_on() && class < HK_CLASSES)
		hk_cache_walk(cache, class);
	due = cache->due;
	look = cache->look;
	cache->due = 0;
	cache->look = false;
	cache->touch_size = 0;
	hk_leave(cache);
	if (hk_unlikely(size))
		hk_os_populate((void *)at, size);
	if (hk_pool_clear_freed())
		due |= 1u << HK_FOR_FREED;
	if (due & 1u << HK_FOR_TICK)
		hk_meta_fill();
	if (due)
		hk_reclaim_rest(due);
	if (hk_unlikely(atomic_load_explicit(&hk_limit_told, memory_order_relaxed)))
		hk_limit_look();
	if (hk_unlikely(hk_hooks.grew != NULL))
		hk_hooks.grew();
	if (hk_unlikely(look) && hk_hooks.look)
		hk_hooks.look();
	notice_requests();
}

/* The result for the program, after the cache was left. */
static void *given(void *p, size_t size, const void *caller)
{
	hk_trace(HK_EVENT_MALLOC, p, size, caller);
	if (hk_unlikely(!p))
		errno = ENOMEM;
	return p;
}

/* The heap cannot be entered now, or the kernel has no 2 MiB but may have less. */
static void *fall_back(size_t size, size_t align, bool *zero)
{
	if (zero)
		*zero = false;
	return hk_fallback_alloc(size, align);
}

/* Before a request that failed is tried again. After the first attempt all idle memory is
 * released; after the second one too, if the limit is the reason and the callback of the
 * program may have freed memory. False: it is not to be tried again. */
static bool make_room(unsigned attempt, size_t refused, size_t size)
{
	if (attempt > 2 || (attempt == 2 && !hk_limit_tell(refused, size)))
		return false;
	hk_reclaim(HK_FOR_NO_MEMORY);
	return true;
}

/* Not if the limit is the reason: the fallback allocator would map memory that the heap could
 * use for more calls. */
static bool may_fall_back(bool entered, size_t refused)
{
	return !entered || refused == hk_limit_refused();
}

static bool begin_large(struct hk_large_request *r)
{
	struct hk_cache *cache = hk_enter();

	if (!cache)
		return false;
	hk_large_begin(r);
	leave(cache, HK_CLASSES);
	return true;
}

/* False: the heap cannot be entered. */
static bool try_large(struct hk_large_request *r)
{
	bool entered = begin_large(r);

	if (entered && !r->block)
		hk_large_finish(r);
	return entered;
}

static bool find_large(struct hk_large_request *r)
{
	hk_start();
	if (!hk_inside())
		hk_meta_fill();
	return try_large(r);
}

/* Blocks of the fallback allocator have no note, and are not sampled. */
static void sample(const void *p, size_t size, size_t spare, const void *caller)
{
	struct hk_note *note = hk_large_note(p);

	if (note)
		atomic_store_explicit(&note->sample, hk_sample_take(p, size, spare, caller), memory_order_relaxed);
}

void hk_sampled_free(const void *p)
{
	struct hk_note *note = hk_samples_exist() ? hk_large_note(p) : NULL;

	if (note && atomic_load_explicit(&note->sample, memory_order_relaxed))
		hk_sample_drop(atomic_exchange_explicit(&note->sample, 0, memory_order_relaxed));
}

void *hk_sampled_malloc(size_t size, size_t counted, size_t requested, bool *zero, const void *caller)
{
	struct hk_large_request r = { .size = size, .align = HK_GRAIN, .exact = true };

	/* Without a record, the block would only waste memory. */
	if (!hk_inside() && hk_table_has_room())
		find_large(&r);
	if (!r.block) {
		hk_sample_lose();
		return NULL;
	}
	if (zero)
		*zero = r.zero;
	sample(r.block, counted, counted - requested, caller);
	return given(r.block, size, caller);
}

void *hk_large_malloc(size_t size, size_t align, bool *zero, const void *caller)
{
	struct hk_large_request r = { .size = size, .align = align };
	size_t refused = hk_limit_refused();
	unsigned attempt = 1;
	bool entered;

	if (size >= HK_IMPOSSIBLE)
		return given(NULL, size, caller);
	entered = find_large(&r);
	while (entered && !r.block && make_room(attempt++, refused, size))
		entered = try_large(&r);
	if (!r.block && may_fall_back(entered, refused) && (!entered || size <= HK_MID_MAX))
		r.block = fall_back(size, align, &r.zero);
	if (zero)
		*zero = r.zero;
	if (r.block && hk_sample_due(hk_sampler(), size))
		sample(r.block, size, hk_large_size(r.block) - size, caller);
	return given(r.block, size, caller);
}

static void tick(struct hk_cache *cache)
{
	if (++cache->ticks % HK_TICK_CALLS == 0)
		hk_reclaim_held(cache, HK_FOR_TICK);
}

/* Idle memory of this cache is used before memory that the heap has not used yet. To keep
 * the cost of the search low, it is repeated only after the heap has grown by a share
 * of its size (HK_GROW_SHARE). */
static bool refill_from_slabs(struct hk_cache *cache, struct hk_bin *bin, bool *zero)
{
	size_t touched = hk_pool_touched();
	bool fresh = touched < cache->sweep_slots;

	if (!bin->avail.first && cache->spilled_bytes)
		hk_reclaim_held(cache, HK_FOR_STARVED);
	if (touched >= atomic_load_explicit(&hk_mail_slots, memory_order_relaxed))
		cache->due |= 1u << HK_FOR_GROWTH;
	if (hk_refill(cache, bin, fresh, zero))
		return true;
	if (fresh)
		return false;
	cache->sweep_slots = touched + touched / HK_GROW_SHARE + HK_GROW_SLOTS;
	hk_reclaim_held(cache, HK_FOR_GROWTH);
	return hk_refill(cache, bin, true, zero);
}

/* Refills an empty list, first with remotely freed blocks, then with a chain that was set
 * aside, then from slabs. */
static bool refill_list(struct hk_cache *cache, struct hk_bin *bin, bool *zero)
{
	hk_end_overflows(cache);
	if (hk_has_mail(cache))
		hk_receive_wanted(cache, bin);
	tick(cache);
	if (bin->head == HK_LIST_END)
		hk_hide(cache, (unsigned)(bin - cache->bin));
	return bin->head != HK_LIST_END || hk_unspill(cache, bin) || refill_from_slabs(cache, bin, zero);
}

/* run: slots of a new SuperSlab, or NULL. False: the heap cannot be entered. If *p is NULL,
 * the pool must grow, and *descriptor is the SuperSlab to add. If descriptor is NULL, the
 * pool is not to grow. */
static bool refill(unsigned class, const struct hk_run *run, bool *zero, void **p,
		   struct hk_superslab **descriptor)
{
	struct hk_cache *cache = hk_enter();
	struct hk_bin *bin;

	*p = NULL;
	if (!cache) {
		if (run)
			hk_pool_run_free(run->home, run->first, run->slots);
		return false;
	}
	if (run)
		hk_add_slab(cache, class, run);
	/* The hot path never sees the lists of the shared cache, so they may hold a block. */
	bin = &cache->bin[class];
	*p = hk_bin_take(bin);
	if (!*p && refill_list(cache, bin, zero))
		*p = hk_bin_take(bin);
	if (descriptor)
		*descriptor = *p ? NULL : hk_pool_plan();
	leave(cache, class);
	if (*p && zero && *zero)
		memset(*p, 0, sizeof(struct hk_block));
	return true;
}

/* False: the heap cannot be entered. */
static bool refill_or_grow(unsigned class, bool *zero, void **p)
{
	struct hk_superslab *descriptor = NULL;
	struct hk_run run;
	bool entered = refill(class, NULL, zero, p, &descriptor);

	if (entered && !*p && !descriptor && hk_meta_fill())
		entered = refill(class, NULL, zero, p, &descriptor);
	if (entered && !*p && hk_pool_grow(&run, hk_pool_slots(class), class, descriptor))
		entered = refill(class, &run, zero, p, NULL);
	return entered;
}

/* If the heap has no free block, it grows. If it cannot grow, room is made for a second try. */
static void *refill_and_take(unsigned class, size_t size, bool *zero, const void *caller)
{
	size_t refused = hk_limit_refused();
	unsigned attempt = 1;
	void *p;
	bool entered = refill_or_grow(class, zero, &p);

	while (entered && !p && make_room(attempt++, refused, size))
		entered = refill_or_grow(class, zero, &p);
	if (!p && may_fall_back(entered, refused))
		p = fall_back(size, HK_GRAIN, zero);
	return given(p, size, caller);
}

/* As the hot path does; the cache is that of a thread. NULL: the list has no valid block. */
HK_INLINE void *pop(struct hk_cache *cache, unsigned class)
{
	struct hk_bin *bin = &cache->bin[class];
	struct hk_block *block = bin->head;
	uint64_t mark = hk_mark(block, cache->front.secret);

	return hk_likely(block->mark == mark) ? hk_bin_pop(bin, block, mark) : NULL;
}

/* Adds blocks to a list of this thread that has few, in the same way as to an empty one. If there
 * are none, this is not tried again for HK_SHOWN_WAIT calls. */
static HK_NOINLINE void lengthen(struct hk_cache *cache, unsigned class)
{
	struct hk_shown *shown = &cache->shown[class];
	struct hk_bin *bin = &cache->bin[class];
	struct hk_block *block, *rest;

	if ((shown->wait && --shown->wait) || hk_enter() != cache)
		return;
	rest = bin->head;
	bin->room = bin->capacity;
	bin->head = HK_LIST_END;
	if (!refill_list(cache, bin, NULL))
		shown->wait = HK_SHOWN_WAIT;
	while ((block = rest) != HK_LIST_END) {
		if (hk_unlikely(!hk_marked(block)))
			hk_bad_link(block);
		rest = hk_next(block);
		hk_bin_push(bin, block, hk_mark(block, hk_secret()));
	}
	leave(cache, class);
}

/* For Tiny blocks while the sampler is on, when the list of malloc is empty. NULL: the list of free
 * is empty too, or this block is to be sampled. */
HK_INLINE void *take_counted(size_t size)
{
	struct hk_cache *cache = hk_tls;
	unsigned class = hk_tiny_class[(size + HK_GRAIN - 1) / HK_GRAIN];
	void *p;

	if (!hk_has_lists(cache))
		return NULL;
	if (hk_shows_few(cache, class))
		lengthen(cache, class);
	if (!hk_show(cache, class))
		return NULL;
	p = hk_bin_take(&cache->shown[class].bin);
	notice_requests();
	return p;
}

/* The hot path has no list for the groups above C7, so this is their hot path. A program may need
 * these lists only, so this is a place to notice the requests of another process. NULL: nothing
 * has changed. */
HK_INLINE void *take_listed_above(size_t size)
{
	struct hk_cache *cache = hk_tls;
	void *p;

	if (size <= HK_TINY_MAX || size > HK_SLAB_MAX || hk_unlikely(!hk_has_lists(cache)))
		return NULL;
	p = pop(cache, hk_class_of(size));
	notice_requests();
	return p;
}

/* Without the rest of the slow path, if a list can serve the call. */
HK_INLINE void *take_quickly(size_t size)
{
	if (hk_likely(!hk_sampling()))
		return take_listed_above(size);
	return size <= HK_TINY_MAX ? take_counted(size) : NULL;
}

/* From a list or, if that is empty, from the slabs of the class. */
HK_INLINE void *take_listed(unsigned class, size_t size, bool *zero, const void *caller)
{
	void *p = NULL;

	/* The hot path serves no group above C7, so its list may hold a block. */
	if (hk_has_lists(hk_tls))
		p = hk_bin_take(&hk_tls->bin[class]);
	return p ? p : refill_and_take(class, size, zero, caller);
}

/* Blocks that different threads take from the shared cache have no cache line in common. */
static size_t for_any_thread(size_t size)
{
	return hk_likely(!hk_thread_cold()) ? size : (size + HK_CACHE_LINE - 1) & ~(size_t)(HK_CACHE_LINE - 1);
}

/* NULL: not possible now. */
static void *take_sampled(size_t size, unsigned class, bool *zero, const void *caller)
{
	size_t counted = hk_class_size(class);
	void *p = hk_fences_exist() ? hk_fenced_malloc(size, counted, zero, caller) : NULL;

	return p ? p : hk_sampled_malloc(counted, counted, size, zero, caller);
}

static HK_NOINLINE void *take(size_t size, bool *zero, const void *caller)
{
	unsigned class;
	void *p = NULL;

	if (size > HK_SLAB_MAX)
		return hk_large_malloc(size, HK_GRAIN, zero, caller);
	class = hk_class_of(for_any_thread(size));
	if (hk_sample_due(hk_sampler_of(class), hk_class_size(class)))
		p = take_sampled(size, class, zero, caller);
	return p ? p : take_listed(class, size, zero, caller);
}

void *hk_malloc_uncounted(size_t size, const void *caller)
{
	return take_listed(hk_class_of(size), size, NULL, caller);
}

void *hk_malloc_slow(size_t size, const void *caller)
{
	void *p = take_quickly(size);

	return hk_likely(p != NULL) ? p : take(size, NULL, caller);
}

void *hk_calloc_slow(size_t size, bool *zero, const void *caller)
{
	void *p = take_quickly(size);

	*zero = false;
	return hk_likely(p != NULL) ? p : take(size, zero, caller);
}

/* Has the list been refilled since the last call? */
static bool clear_refilled(struct hk_bin *bin)
{
	bool since = (uint32_t)bin->refills != bin->refills_seen;

	bin->refills_seen = (uint32_t)bin->refills;
	return since;
}

/* Once much has been freed into sparse slabs in eager mode: each block in a list from which
 * nothing is allocated may keep a page from being released. */
static void shorten_lists(struct hk_cache *cache)
{
	unsigned class;

	for (class = 0; class < HK_CLASSES; class++) {
		struct hk_bin *bin = &cache->bin[class];

		if (clear_refilled(bin))
			continue;
		hk_hide(cache, class);
		if (bin->head == HK_LIST_END)
			continue;
		hk_flush(cache, bin, 0);
		hk_bin_shorten(cache, bin);
	}
}

/* A list that overflows is in use, so its capacity grows towards its limit before blocks are
 * removed. It does not grow if all lists together hold much or if memory is scarce, and in
 * eager mode only if the list has also been refilled. */
static bool grow_list(struct hk_cache *cache, struct hk_bin *bin)
{
	return bin->capacity < bin->capacity_max && !hk_pool_scarce() &&
	       (!hk_is_eager() || clear_refilled(bin)) && hk_bin_grow(cache, bin);
}

static void overflow(struct hk_cache *cache, struct hk_bin *bin)
{
	if (hk_count_overflow(cache)) {
		hk_hide(cache, (unsigned)(bin - cache->bin));
		hk_flush(cache, bin, 0);
		hk_bin_empty(cache, bin);
	} else if (grow_list(cache, bin)) {
		return;
	} else {
		hk_spill(cache, bin);
	}
	tick(cache);
	if (hk_sparse_excess(cache) && hk_cache_private(cache))
		shorten_lists(cache);
}

void hk_free_overflow(struct hk_bin *bin, const void *caller)
{
	struct hk_cache *cache = hk_enter();

	/* The head is the block that the hot path has just pushed. */
	hk_trace(HK_EVENT_FREE, bin->head, 0, caller);
	/* If the cache cannot be entered, the list stays too long for a while. */
	if (!cache)
		return;
	overflow(cache, bin);
	leave(cache, (unsigned)(bin - cache->bin));
	freed(caller);
}

static void free_block(struct hk_cache *cache, struct hk_slab *slab, void *p, enum hk_call call)
{
	if (hk_is_free(slab, p))
		hk_already_free(call, p, slab);
	if (atomic_load_explicit(&slab->owner, memory_order_relaxed) != cache)
		hk_remote_free(cache, slab, p);
	else if (!hk_bin_push(slab->bin, p, hk_mark(p, hk_secret())))
		overflow(cache, slab->bin);
}

/*
 * Blocks freed by threads that could not enter the heap. The next thread that can enter
 * takes the whole list. The links are plain addresses.
 */
static struct hk_stack postponed;

/* The mark is not overwritten, because it tells whether the block was free already. */
static void postpone(struct hk_block *block)
{
	_Static_assert(sizeof(struct hk_stack_link) == sizeof block->link, "fits in its place");
	hk_stack_push(&postponed, (struct hk_stack_link *)&block->link);
}

static void free_postponed(void)
{
	struct hk_stack_link *link = hk_stack_take(&postponed), *next;

	for (; link; link = next) {
		next = link->below;
		hk_free_slow((char *)link - offsetof(struct hk_block, link), HK_CALL_FREE, NULL);
	}
}

/* Is p the start of a block, as far as is known without entering the heap? */
static bool is_block(const void *p, const struct hk_slab *slab)
{
	return slab || hk_large_size(p);
}

static HK_NOINLINE void send_full(struct hk_batch *batch, const void *caller)
{
	hk_remote_send(hk_tls, batch);
	if (hk_unlikely(atomic_load_explicit(&hk_sparse_waits, memory_order_relaxed)))
		freed(caller);
}

static HK_NOINLINE void free_rest(void *p, enum hk_call call, const void *caller)
{
	struct hk_range *range = NULL;
	struct hk_batch *batch = hk_remote_begin(hk_tls, p);
	struct hk_slab *slab;
	struct hk_cache *cache;
	unsigned class = HK_CLASSES;

	if (batch) {
		if (batch->room <= 0)
			send_full(batch, caller);
		return;
	}
	hk_trace(HK_EVENT_FREE, p, 0, caller);
	slab = hk_slab_of(p, call);
	if (hk_unlikely(!slab && hk_fenced(p))) {
		hk_fenced_free(p, call, caller);
		return;
	}
	if (!is_block(p, slab)) {
		if (!hk_fallback_free(p))
			hk_bad_pointer(call, p);
		return;
	}
	if (!slab) {
		hk_sampled_free(p);
		if (!hk_inside())
			hk_large_freeing(p);
	}
	cache = hk_enter_to_free(slab);
	if (!cache) {
		postpone(p);
		return;
	}
	if (slab) {
		class = slab->class;
		free_block(cache, slab, p, call);
	} else if (!hk_large_free(p, &range)) {
		hk_bad_pointer(call, p);
	} else if (hk_unlikely(hk_large_excess())) {
		cache->due |= 1u << HK_FOR_FREED;
	}
	leave(cache, class);
	if (range)
		hk_unmap_ranges(range);
	if (hk_unlikely(!hk_stack_empty(&postponed)))
		free_postponed();
	freed(caller);
}

/* free() of everything except a valid block that this thread owns: NULL, blocks of
 * other threads, Mid blocks and above, and invalid pointers. */
void hk_free_slow(void *p, enum hk_call call, const void *caller)
{
	struct hk_batch *batch;

	if (!p)
		return;
	batch = hk_remote_append(hk_tls, p);
	if (!batch)
		free_rest(p, call, caller);
	else if (hk_unlikely(batch->room <= 0))
		send_full(batch, caller);
}

static void *remap(void *p, size_t size)
{
	size_t refused = hk_limit_refused();
	unsigned attempt = 1;
	void *to = hk_large_remap(p, size);

	while (!to && refused != hk_limit_refused() && make_room(attempt++, refused, size))
		to = hk_large_remap(p, size);
	return to;
}

void *hk_resize_slow(void *p, size_t size, const void *caller)
{
	struct hk_cache *cache;
	bool done;

	/* For the descriptor of what is left of a free range. */
	if (!hk_inside())
		hk_meta_fill();
	cache = hk_enter();
	if (!cache)
		return NULL;
	done = hk_large_resize(p, size);
	leave(cache, HK_CLASSES);
	p = done ? hk_large_refit(p) : remap(p, size);
	if (!p)
		return NULL;
	hk_trace(HK_EVENT_RESIZE, p, size, caller);
	hk_sampled_free(p);
	if (hk_sample_due(hk_sampler(), size))
		sample(p, size, hk_large_size(p) - size, caller);
	return p;
}

void hk_thread_idle(void)
{
	if (hk_has_lists(hk_tls))
		hk_reclaim(HK_FOR_END);
}

size_t hk_cache_trim(void)
{
	struct hk_cache *cache = hk_enter();

	if (!cache)
		return 0;
	hk_leave(cache);
	return hk_reclaim(HK_FOR_TRIM);
}
