/*
 * How much address space the heap may use. Near a limit, blocks are mapped in whole pages
 * (src/large), because the limit counts all of a mapping, even if no page of it is used.
 *
 * RLIMIT_AS and RLIMIT_DATA are read at the start. A program may set them later, but its threads
 * must not read them again: a sandbox may end the process for the system call. Instead,
 * the heap tries to map several times its size, without access, as it grows. This needs no memory.
 * Only RLIMIT_AS counts such a mapping, so an RLIMIT_DATA that is set later is not noticed.
 */
#include "os/os.h"

#include "os/syscall.h"

#include <sys/resource.h>

/* Bytes: the heap looks for a limit while its size is between these. There is an upper bound,
 * because the peak of the address space of a process is visible to others. */
#define LOOK_FROM ((size_t)8 << 20)
#define LOOK_UP_TO ((size_t)512 << 20)

_Atomic size_t hk_os_space = SIZE_MAX;
static _Atomic size_t look_at = LOOK_FROM;

static size_t limit_on(int resource)
{
	struct { uint64_t now, most; } limit = { UINT64_MAX, UINT64_MAX };

	HK_SYS(prlimit64, 0, resource, NULL, &limit, 0);
	return limit.now < SIZE_MAX ? (size_t)limit.now : SIZE_MAX;
}

size_t hk_os_address_limit(void)
{
	return limit_on(RLIMIT_AS);
}

void hk_os_read_space(void)
{
	hk_lower(&hk_os_space, limit_on(RLIMIT_AS));
	hk_lower(&hk_os_space, limit_on(RLIMIT_DATA));
}

static bool can_map(size_t size)
{
	void *p = hk_sys_map(size, PROT_NONE);

	if (p)
		HK_SYS(munmap, p, size, 0, 0, 0);
	return p != NULL;
}

/* If two threads look at the same time, the second one learns nothing new. */
void hk_os_follow_space(size_t mapped)
{
	size_t at = atomic_load_explicit(&look_at, memory_order_relaxed), times = HK_OS_SPACE_TIMES;

	if (hk_likely(mapped < at) || sizeof(void *) < 8 || mapped > LOOK_UP_TO ||
	    atomic_load_explicit(&hk_os_space, memory_order_relaxed) != SIZE_MAX)
		return;
	atomic_store_explicit(&look_at, mapped + mapped / 2, memory_order_relaxed);
	if (!can_map(times * mapped))
		hk_lower(&hk_os_space, times * mapped);
}
