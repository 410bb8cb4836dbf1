/*
 * The limit of HAKMEM_LIMIT and hak_set_limit. It is checked where memory is mapped (os/map.c).
 * A call that it refuses releases free memory and is tried again; if it is refused again, the
 * callback of the program is called, and the call is tried a last time.
 */
#include "cache/internal.h"

#include "config/settings.h"
#include "large/large.h"
#include "os/os.h"

#include <errno.h>

static _Atomic(void (*)(size_t)) callback;
_Atomic bool hk_limit_told;
/* The memory in use when it was called last, and the thread that is in it; 0: none. */
static _Atomic size_t used_then;
static _Atomic uintptr_t inside;

void hk_limit_start(void)
{
	uint64_t limit = hk_settings.limit;

	atomic_store(&hk_os_limit, limit && limit < SIZE_MAX ? (size_t)limit : SIZE_MAX);
}

size_t hk_limit_set(size_t bytes)
{
	size_t before = atomic_exchange(&hk_os_limit, bytes ? bytes : SIZE_MAX);

	atomic_store(&hk_limit_told, false);
	return before == SIZE_MAX ? 0 : before;
}

void hk_limit_callback(void (*call)(size_t))
{
	atomic_store(&callback, call);
	atomic_store(&hk_limit_told, false);
}

/* The memory that is in use, or in lists; free slots and ranges may still be mapped. */
static size_t used(void)
{
	return hk_pool_touched() * HK_SLOT_SIZE - hk_pool_waiting() +
	       atomic_load_explicit(&hk_large_counters.bytes, memory_order_relaxed);
}

void hk_limit_look(void)
{
	size_t then = atomic_load_explicit(&used_then, memory_order_relaxed);

	if (used() < then - then / HK_LIMIT_AGAIN_SHARE)
		atomic_store(&hk_limit_told, false);
}

bool hk_limit_tell(size_t refused, size_t size)
{
	void (*call)(size_t) = atomic_load(&callback);
	uintptr_t none = 0;
	int saved = errno;
	bool tell;

	if (!call || refused == hk_limit_refused() ||
	    !atomic_compare_exchange_strong(&inside, &none, hk_self()))
		return false;
	tell = !atomic_exchange(&hk_limit_told, true);
	if (tell) {
		atomic_store_explicit(&used_then, used(), memory_order_relaxed);
		call(size);
		errno = saved;
	}
	atomic_store(&inside, 0);
	return tell;
}

void hk_limit_forked(void)
{
	hk_forget_lost(&inside);
}
