/*
 * Guard pages without a mapping of their own (Linux 6.13): marks in the page table,
 * which go with munmap, move with mremap, come along to a child of fork, and stay
 * where the pages of a range are dropped. Memory that is locked takes none.
 */
#include "os/os.h"
#include "os/lock.h"
#include "os/syscall.h"

#include <errno.h>

/* What the first guard showed: a program that locks all of its memory has none. */
static _Atomic enum { UNKNOWN, HAS, LACKS } guards;

bool hk_os_has_guards(void)
{
	return atomic_load_explicit(&guards, memory_order_relaxed) != LACKS;
}

static long advise(void *addr, size_t size, int advice)
{
	hk_assert_unlocked();
	return HK_SYS(madvise, addr, size, advice, 0, 0);
}

bool hk_os_guard(void *addr, size_t size)
{
	long error;

	if (!hk_os_has_guards())
		return false;
	error = advise(addr, size, HK_MADV_GUARD_INSTALL);
	if (atomic_load_explicit(&guards, memory_order_relaxed) == UNKNOWN &&
	    (!error || error == -EINVAL))
		atomic_store_explicit(&guards, error ? LACKS : HAS, memory_order_relaxed);
	return !error;
}

bool hk_os_unguard(void *addr, size_t size)
{
	return advise(addr, size, HK_MADV_GUARD_REMOVE) == 0;
}
