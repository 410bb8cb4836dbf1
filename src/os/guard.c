/*
 * Guard pages without a separate mapping (Linux 6.13): marks in the page table. munmap
 * removes them, mremap moves them, a child of fork inherits them, and MADV_DONTNEED keeps
 * them. They cannot be set on locked memory.
 */
#include "os/os.h"

#include <errno.h>

/* Found out at start and by the first attempt: a program that locks all of its memory gets no
 * guard pages. */
static _Atomic enum { UNKNOWN, HAS, LACKS } guards;

bool hk_os_has_guards(void)
{
	return atomic_load_explicit(&guards, memory_order_relaxed) != LACKS;
}

bool hk_os_guard(void *addr, size_t size)
{
	long error;

	if (!hk_os_has_guards())
		return false;
	error = hk_os_advise(addr, size, HK_MADV_GUARD_INSTALL);
	if (atomic_load_explicit(&guards, memory_order_relaxed) == UNKNOWN &&
	    (!error || error == -EINVAL))
		atomic_store_explicit(&guards, error ? LACKS : HAS, memory_order_relaxed);
	return !error;
}

bool hk_os_unguard(void *addr, size_t size)
{
	return hk_os_advise(addr, size, HK_MADV_GUARD_REMOVE) == 0;
}

/*
 * A program may enter a sandbox that kills it for unknown madvise advice. So the kernel is
 * asked at start, with a size of 0, which changes nothing. A program that has libseccomp
 * loaded may enter a sandbox later, and gets no guard pages.
 */
__attribute__((constructor)) static void start(void)
{
	hk_os_code_start();
	if (hk_os_advise(NULL, 0, HK_MADV_GUARD_INSTALL) || hk_os_has_libseccomp())
		atomic_store_explicit(&guards, LACKS, memory_order_relaxed);
}
