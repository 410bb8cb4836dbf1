/* The positions of guard pages while ranges are joined and cut. */
#include "os/os.h"
#include "range/internal.h"

static bool lift(uintptr_t end)
{
	return hk_os_unguard((void *)(end - hk_page_size), hk_page_size);
}

bool hk_range_lift_guard(struct hk_range *r)
{
	if (r->guarded && !lift(r->start + r->mapped))
		return false;
	r->guarded = false;
	return true;
}

bool hk_range_lift_old_guards(struct hk_range *r)
{
	for (; r->old_guards; r->old_guards &= r->old_guards - 1)
		if (!lift(r->start + ((uintptr_t)__builtin_ctzll(r->old_guards) + 1) * HK_SUPERSLAB_SIZE))
			return false;
	return true;
}

static unsigned granules(size_t bytes)
{
	return (unsigned)(bytes >> HK_SUPERSLAB_SHIFT);
}

/* The bit of the last granule; a range with guards has at most 64 granules. */
static uint64_t last_bit(const struct hk_range *r)
{
	return (uint64_t)1 << ((granules(r->mapped) - 1) & 63);
}

void hk_guard_to_old(struct hk_range *r)
{
	if (r->guarded)
		r->old_guards |= last_bit(r);
	r->guarded = false;
}

void hk_guard_from_old(struct hk_range *r)
{
	r->guarded = (r->old_guards & last_bit(r)) != 0;
	if (r->guarded)
		r->old_guards &= ~last_bit(r);
}

bool hk_guard_can_join(const struct hk_range *r, const struct hk_range *behind)
{
	return (!r->old_guards && !behind->old_guards) || granules(r->mapped + behind->mapped) <= 64;
}

void hk_guard_join(struct hk_range *r, const struct hk_range *behind)
{
	if (behind->old_guards)
		r->old_guards |= behind->old_guards << granules(r->mapped);
	r->mapped += behind->mapped;
}

void hk_guard_cut(struct hk_range *r, size_t at, struct hk_range *behind)
{
	unsigned n = granules(at);

	behind->start = r->start + at;
	behind->mapped = r->mapped - at;
	behind->guarded = false;
	behind->old_guards = n < 64 ? r->old_guards >> n : 0;
	r->mapped = at;
	if (n < 64)
		r->old_guards &= ((uint64_t)1 << n) - 1;
}
