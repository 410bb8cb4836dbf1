#include "config/control.h"

#include "config/policy.h"
#include "os/os.h"

/* When the present changes began: the low bits of the time in ms, and the lowest one is set. 0:
 * nobody makes changes. */
static _Atomic uint32_t began;

bool hk_control_begin(void)
{
	uint32_t then = atomic_load_explicit(&began, memory_order_relaxed), now = (uint32_t)hk_os_now() | 1;

	return (!then || now - then >= HK_CHANGE_MOST_MS) &&
	       atomic_compare_exchange_strong_explicit(&began, &then, now, memory_order_acquire, memory_order_relaxed);
}

void hk_control_end(void)
{
	atomic_store_explicit(&began, 0, memory_order_release);
}

void hk_control_forked(void)
{
	if (atomic_load_explicit(&began, memory_order_relaxed))
		hk_control_end();
}

/* Another process may be writing it. */
static void copy(void *to, const volatile void *from, size_t size)
{
	const volatile char *at = from;
	char *out = to;

	while (size--)
		*out++ = *at++;
}

static bool ends(const struct hk_request *r)
{
	uint32_t i;

	for (i = 0; i < r->count; i++)
		if (r->change[i].name[HK_CONTROL_TEXT - 1] || r->change[i].value[HK_CONTROL_TEXT - 1])
			return false;
	return true;
}

enum hk_verdict hk_control_read(struct hk_request *r)
{
	r->asked = atomic_load_explicit(&hk_control.asked, memory_order_acquire);
	copy(&r->count, &hk_control.count, sizeof r->count);
	copy(&r->sum, &hk_control.sum, sizeof r->sum);
	copy(r->change, hk_control.change, sizeof r->change);
	return r->count <= HK_CONTROL_CHANGES && r->sum == hk_request_sum(r) && ends(r) ?
		HK_CHANGED : HK_GARBLED;
}

void hk_control_answer(uint32_t asked, uint32_t refused, enum hk_verdict verdict, uint64_t released, bool stacks,
		       const struct hk_kept *kept)
{
	hk_control.kept = *kept;
	hk_control.refused = refused;
	hk_control.verdict = verdict;
	hk_control.released = released;
	hk_control.stacks = stacks;
	atomic_store_explicit(&hk_control.done, asked, memory_order_release);
}
