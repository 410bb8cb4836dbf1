/* The limits of lists: their capacity, and how many blocks a refill moves. */
#include "cache/internal.h"

#include "debug/ring.h"

struct hk_limits hk_start_limits[HK_CLASSES];
_Atomic uint32_t hk_learning;
uint8_t hk_tiny_class[HK_TINY_MAX / HK_GRAIN + 1];

static int32_t clamp(int32_t value, int32_t low, int32_t high)
{
	return value < low ? low : value > high ? high : value;
}

/* Limits that the settings do not give are derived from a number of bytes. */
static void find_limits(struct hk_limits *limits, unsigned class)
{
	int32_t size = (int32_t)hk_class_size(class);
	unsigned group = hk_class_group(class);
	int32_t capacity = hk_settings.cache_capacity[group];
	int32_t batch = hk_settings.refill_batch[group];

	if (!capacity)
		capacity = clamp(HK_LIST_BYTES / size, HK_LIST_LEAST, HK_LIST_MOST);
	if (!batch)
		batch = clamp(HK_REFILL_BYTES / size, 1, HK_REFILL_MOST);
	/* With empty lists every call takes a slow path, which writes the trace. */
	if (hk_trace_on())
		capacity = 0;
	limits->capacity = capacity;
	limits->batch = capacity ? clamp(batch, 1, capacity) : 1;
}

void hk_limits_unlearn(void)
{
	unsigned class;

	for (class = 0; class < HK_CLASSES; class++)
		find_limits(&hk_start_limits[class], class);
}

void hk_limits_find(void)
{
	unsigned grains;

	hk_limits_unlearn();
	for (grains = 0; grains <= HK_TINY_MAX / HK_GRAIN; grains++)
		hk_tiny_class[grains] = (uint8_t)hk_class_of(grains * HK_GRAIN);
}

/* A slab of several slots is large and has few blocks, so the first block in a list keeps
 * much free memory. */
static bool is_costly(unsigned class)
{
	return hk_class_slots(class) > 1;
}

/* What a list of this capacity may keep from other uses. */
static size_t bin_bytes(const struct hk_cache *cache, const struct hk_bin *bin, int32_t capacity)
{
	unsigned class = (unsigned)(bin - cache->bin);
	size_t slab = capacity && is_costly(class) ? hk_class_slots(class) * HK_SLOT_SIZE : 0;

	return slab + (size_t)capacity * hk_class_size(class);
}

static void set_capacity(struct hk_cache *cache, struct hk_bin *bin, int32_t capacity)
{
	if (capacity < bin->capacity && cache->grown)
		hk_growth_give(cache, bin_bytes(cache, bin, bin->capacity) - bin_bytes(cache, bin, capacity));
	bin->room += capacity - bin->capacity;
	bin->capacity = capacity;
}

bool hk_bin_grow(struct hk_cache *cache, struct hk_bin *bin)
{
	int32_t capacity = bin->capacity ? 2 * bin->capacity : HK_LIST_SMALL_START;
	size_t bytes;

	if (capacity > bin->capacity_max)
		capacity = bin->capacity_max;
	if (capacity <= bin->capacity)
		return false;
	bytes = bin_bytes(cache, bin, capacity) - bin_bytes(cache, bin, bin->capacity);
	if (!hk_growth_take(cache, bytes))
		return false;
	set_capacity(cache, bin, capacity);
	return true;
}

static int32_t start_capacity(const struct hk_cache *cache, const struct hk_bin *bin)
{
	int32_t most = bin->capacity_max, least = clamp(most, 0, HK_LIST_SMALL_START);

	return is_costly((unsigned)(bin - cache->bin)) ? 0 : clamp(most / HK_LIST_START_SHARE, least, most);
}

/* Never raises it, because the initial capacity does not count as growth. */
static void lower_capacity(struct hk_cache *cache, struct hk_bin *bin, int32_t capacity)
{
	if (capacity < bin->capacity)
		set_capacity(cache, bin, capacity);
}

void hk_bin_shorten(struct hk_cache *cache, struct hk_bin *bin)
{
	lower_capacity(cache, bin, start_capacity(cache, bin));
}

void hk_bin_empty(struct hk_cache *cache, struct hk_bin *bin)
{
	if (atomic_load_explicit(&hk_threads, memory_order_relaxed) >= HK_EMPTYING_THREADS &&
	    hk_class_size((unsigned)(bin - cache->bin)) >= HK_EMPTYING_SIZE)
		lower_capacity(cache, bin, 0);
	else
		hk_bin_shorten(cache, bin);
}

static void restart(struct hk_cache *cache, unsigned class)
{
	struct hk_bin *bin = &cache->bin[class];
	int32_t capacity = atomic_load_explicit(&hk_start_limits[class].capacity, memory_order_relaxed);
	int32_t batch = atomic_load_explicit(&hk_start_limits[class].batch, memory_order_relaxed);

	bin->capacity_max = capacity;
	bin->batch_max = batch < capacity ? batch : clamp(capacity, 1, batch);
	bin->batch = clamp(HK_BATCH_START, 1, bin->batch_max);
	set_capacity(cache, bin, start_capacity(cache, bin));
}

void hk_lists_restart(struct hk_cache *cache)
{
	unsigned class;

	for (class = 0; class < HK_CLASSES; class++)
		restart(cache, class);
	hk_growth_give(cache, cache->grown);
	cache->overflows = 0;
	cache->emptying = false;
}

/* Lists that are always empty or belong to no single thread do not learn. */
int64_t hk_first_window(const struct hk_cache *cache)
{
	int64_t alloc = hk_settings.alloc_learn ? hk_settings.alloc_learn_window : INT64_MAX;
	int64_t mem = hk_settings.mem_learn ? hk_settings.mem_learn_window : INT64_MAX;

	return hk_trace_on() || !hk_cache_private(cache) ? INT64_MAX : alloc < mem ? alloc : mem;
}

static void limit_again(struct hk_list *slabs)
{
	struct hk_slab *slab;

	for (slab = hk_slab_listed(slabs->first); slab; slab = hk_slab_after(slab))
		hk_slab_set_limit(slab, slab->limit);
}

/* The offset in the cache of the list that malloc finds; 0: of an empty list. */
static uint16_t list_for(struct hk_cache *cache, unsigned class)
{
	struct hk_bin *bin = hk_sampling() ? &cache->shown[class].bin : &cache->bin[class];

	return hk_harden ? 0 : (uint16_t)((char *)bin - (char *)cache);
}

/* Sets the lists that the hot path of malloc finds: none with HAKMEM_HARDEN, or while that setting
 * is not known yet. The thread of the cache may be in its hot path. */
static void lead_to_lists(struct hk_cache *cache)
{
	unsigned i;

	if (hk_sampling())
		hk_shown_start(cache);
	for (i = 0; i <= HK_TINY_MAX / HK_GRAIN; i++)
		HK_FOLDED_STORE(cache->front.bin_offset[i], list_for(cache, hk_class_of(i * HK_GRAIN)));
}

/* A new cache gets its lists under the registry lock, too. A fork may hold the lock for a long
 * time. If it cannot be taken, a new thread may find its lists although the sampler is on. */
void hk_lists_lead(void)
{
	struct hk_before before = hk_find_nothing();
	bool locked = hk_lock_or_leave(&hk_registry_lock);
	struct hk_cache *cache;

	for (cache = hk_caches; cache; cache = cache->next_registered) {
		hk_sample_restart(&cache->sampler);
		lead_to_lists(cache);
	}
	if (locked)
		hk_unlock(&hk_registry_lock);
	hk_find_again(before);
}

/* Slabs that exist already are updated. */
static void limit_slabs(struct hk_cache *cache)
{
	unsigned i;

	for (i = 0; i < HK_CLASSES; i++) {
		limit_again(&cache->bin[i].avail);
		limit_again(&cache->bin[i].full);
	}
}

void hk_cache_limit(struct hk_cache *cache)
{
	cache->front.none = HK_LIST_END;
	lead_to_lists(cache);
	limit_slabs(cache);
	hk_lists_restart(cache);
	cache->learning = atomic_load_explicit(&hk_learning, memory_order_acquire);
	cache->window_left = hk_first_window(cache);
}

void hk_bin_limit(struct hk_cache *cache, struct hk_bin *bin, int32_t capacity, int32_t batch)
{
	bin->capacity_max = capacity;
	bin->batch_max = batch;
	if (bin->batch > batch)
		bin->batch = batch;
	if (bin->capacity <= capacity)
		return;
	set_capacity(cache, bin, capacity);
	if (bin->room < 0)
		hk_flush(cache, bin, capacity);
}

void hk_lists_unlearn(struct hk_cache *cache)
{
	struct hk_limits limits;
	unsigned class;

	for (class = 0; class < HK_CLASSES; class++) {
		find_limits(&limits, class);
		hk_bin_limit(cache, &cache->bin[class], limits.capacity, limits.batch);
	}
}
