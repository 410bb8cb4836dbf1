/*
 * Zero-size blocks. Each has a different address in an inaccessible range, and the address is
 * not reused soon. A bit in taken is set while the address is allocated.
 */
#include "harden/internal.h"

#include "config/policy.h"
#include "os/os.h"

enum { WORD = 64, WORDS = HK_EMPTY_PLACES / WORD };

static _Atomic uintptr_t range;		/* 0: not reserved yet */
static _Atomic uint64_t taken[WORDS] HK_BEHIND;
static _Atomic unsigned next;

static uintptr_t reserve(void)
{
	uintptr_t here = atomic_load_explicit(&range, memory_order_acquire);
	void *p;

	if (here)
		return here;
	p = hk_os_reserve(HK_EMPTY_PLACES * HK_GRAIN, hk_page_size);
	if (p && !atomic_compare_exchange_strong(&range, &here, (uintptr_t)p))
		hk_os_unreserve(p, HK_EMPTY_PLACES * HK_GRAIN);
	return here ? here : (uintptr_t)p;
}

/* False: the place was taken already. */
static bool take(unsigned place)
{
	uint64_t bit = (uint64_t)1 << place % WORD;

	return !(atomic_fetch_or(&taken[place / WORD], bit) & bit);
}

void *hk_empty_take(void)
{
	uintptr_t start = reserve();
	unsigned i, place;

	for (i = 0; start && i < HK_EMPTY_LOOKS; i++) {
		place = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % HK_EMPTY_PLACES;
		if (take(place))
			return (void *)(start + place * (uintptr_t)HK_GRAIN);
	}
	return NULL;
}

bool hk_empty_is(const void *p)
{
	uintptr_t start = atomic_load_explicit(&range, memory_order_relaxed);

	return start && (uintptr_t)p - start < HK_EMPTY_PLACES * (uintptr_t)HK_GRAIN;
}

/* The place of p, which is in the range. */
static unsigned place_of(const void *p, enum hk_call call)
{
	uintptr_t offset = (uintptr_t)p - atomic_load_explicit(&range, memory_order_relaxed);

	if (offset % HK_GRAIN)
		hk_bad_pointer(call, p);
	return (unsigned)(offset / HK_GRAIN);
}

void hk_empty_free(void *p, enum hk_call call)
{
	unsigned place = place_of(p, call);
	uint64_t bit = (uint64_t)1 << place % WORD;

	if (!(atomic_fetch_and(&taken[place / WORD], ~bit) & bit))
		hk_report_twice(call, p, "0-byte block");
}

void hk_empty_check(const void *p, enum hk_call call)
{
	unsigned place = place_of(p, call);

	if (!(atomic_load(&taken[place / WORD]) >> place % WORD & 1))
		hk_report_twice(call, p, "0-byte block");
}
