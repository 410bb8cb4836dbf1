/*
 * Huge pages as the running kernel has them. Where nothing can be learnt, as
 * without sysfs, nothing is done: all here may refuse, and refusing is harmless.
 */
#include "os/lock.h"
#include "os/os.h"
#include "os/syscall.h"

#include <string.h>
#include <sys/prctl.h>

#define SYSFS "/sys/kernel/mm/transparent_hugepage/"

/* As at start, then constant. */
static enum hk_huge_mode mode;

/* As "always [madvise] never". The size of a huge page follows from that of
 * a page: with pages of 64 KiB it is 512 MiB, which nobody wants here. */
static enum hk_huge_mode read_mode(void)
{
	enum { DISABLED = 1, EXCEPT_ADVISED = 3 };	/* of prctl(PR_GET_THP_DISABLE) */
	char text[64], size[32];
	long exempt;

	hk_os_read_text(SYSFS "hpage_pmd_size", size, sizeof size);
	if (strcmp(size, "2097152\n") != 0)
		return HK_HUGE_NEVER;
	hk_os_read_text(SYSFS "enabled", text, sizeof text);
	if (strstr(text, "[always]")) {
		exempt = HK_SYS(prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0);
		return exempt == EXCEPT_ADVISED ? HK_HUGE_MADVISE : exempt == DISABLED ? HK_HUGE_NEVER : HK_HUGE_ALWAYS;
	}
	return strstr(text, "[madvise]") ? HK_HUGE_MADVISE : HK_HUGE_NEVER;
}

void hk_os_read_huge_mode(void)
{
	mode = read_mode();
}

enum hk_huge_mode hk_os_huge_mode(void)
{
	return mode;
}

bool hk_os_huge(void *addr, size_t size)
{
	return mode != HK_HUGE_NEVER && hk_os_advise(addr, size, HK_MADV_HUGEPAGE) == 0;
}

bool hk_os_collapse(void *addr, size_t size)
{
	return hk_os_advise(addr, size, HK_MADV_COLLAPSE) == 0;
}

bool hk_os_small(void *addr, size_t size)
{
	return hk_os_advise(addr, size, HK_MADV_NOHUGEPAGE) == 0;
}
