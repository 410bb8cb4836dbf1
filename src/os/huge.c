/*
 * How the running kernel is set up to use huge pages. If that cannot be read, as without
 * sysfs, they are not used: every function here may fail, and the callers work without huge
 * pages.
 */
#include "os/lock.h"
#include "os/os.h"
#include "os/syscall.h"

#include <string.h>
#include <sys/prctl.h>

#define SYSFS "/sys/kernel/mm/transparent_hugepage/"

/* Read at start, then constant. */
static enum hk_huge_mode mode;

/* The file contains a line such as "always [madvise] never". Only huge pages of 2 MiB are
 * used: with pages of 64 KiB a huge page has 512 MiB, which is too large for a heap. */
static enum hk_huge_mode read_mode(void)
{
	enum { DISABLED = 1, EXCEPT_ADVISED = 3 };	/* results of prctl(PR_GET_THP_DISABLE) */
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
