/* Stage 3: a new SuperSlab. */
#include "config/settings.h"
#include "os/os.h"
#include "pool/internal.h"
#include "range/range.h"
#include "slab/pagemap.h"

static void count_mapped(bool fresh)
{
	struct hk_pool_counters *c = &hk_pool_counters;

	if (!fresh)
		hk_count(&c->from_store);
	hk_count(&c->mapped);
	hk_raise(&c->superslabs_peak, hk_count(&c->superslabs));
}

/* From here on any thread may claim these slots; lock-free. */
static void open_slots(struct hk_superslab *s, void *memory, uint64_t free)
{
	/* Other threads may call hk_superslab_mapped() on any descriptor. */
	__atomic_store_n(&s->base, (uintptr_t)memory, __ATOMIC_RELEASE);
	atomic_store_explicit(&s->shared_meta->free, free, memory_order_release);
	hk_pool_changed(s);
}

/* NULL: no memory was planned, or the kernel does not remove its guard. */
static void *planned_memory(struct hk_superslab *s, bool *clean, bool *advised)
{
	struct hk_range *r = s->planned;
	void *memory;

	s->planned = NULL;
	if (!r)
		return NULL;
	memory = (void *)r->start;
	if (hk_range_lift_guard(r) && hk_range_lift_old_guards(r)) {
		*clean = r->clean;
		*advised = r->advised;
	} else {
		hk_os_unmap(memory, HK_SUPERSLAB_SIZE);
		memory = NULL;
	}
	hk_range_delete(r);
	return memory;
}

static void *map(struct hk_superslab *s)
{
	void *memory = hk_os_map(HK_SUPERSLAB_SIZE, HK_SUPERSLAB_SIZE);

	if (!memory || hk_granule_set_superslab(memory, s))
		return memory;
	hk_os_unmap(memory, HK_SUPERSLAB_SIZE);
	return NULL;
}

/* Not the first one, so that a program that needs no second one pays for no warm memory. */
static bool is_warmed(void)
{
	size_t before = atomic_load_explicit(&hk_pool_counters.mapped, memory_order_relaxed);

	return before && before <= hk_settings.superslab_prewarm && !hk_pool_scarce();
}

/* The slots of `taken` belong to the caller. */
static bool grow(struct hk_superslab *s, uint64_t taken)
{
	bool clean = true, advised = false, populate = is_warmed();
	void *memory = planned_memory(s, &clean, &advised);
	bool fresh = !memory;

	if (fresh)
		memory = map(s);
	if (!memory) {
		hk_superslab_delete(s);
		return false;
	}
	hk_thp_start(s, memory, fresh, advised, populate);
	if (populate)
		hk_os_populate(memory, HK_SUPERSLAB_SIZE);
	if (!fresh)
		hk_granule_set_superslab(memory, s);
	count_mapped(fresh);
	hk_event(HK_EVENT_MAP, 0, memory, HK_SUPERSLAB_SIZE);
	hk_slots_start(s, clean);
	open_slots(s, memory, HK_ALL_SLOTS & ~taken);
	return true;
}

/* The store returns a range that is too long if it has no descriptor for the rest. */
struct hk_superslab *hk_pool_plan(void)
{
	struct hk_superslab *s = hk_superslab_new();
	struct hk_range *r = s ? hk_range_take(HK_SUPERSLAB_SIZE) : NULL;

	if (r && r->mapped > HK_SUPERSLAB_SIZE) {
		hk_range_add(r);
		r = NULL;
	}
	if (s)
		s->planned = r;
	return s;
}

bool hk_pool_grow(struct hk_run *run, unsigned slots, unsigned hint, struct hk_superslab *s)
{
	if (!s || !grow(s, hk_slot_mask(0, slots)))
		return false;
	hk_run_count(HK_EVENT_GROW, hk_pool_counters.grow, hint, s, 0, slots);
	hk_run_claimed(run, s, hint, 0, slots);
	return true;
}
