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

/* The file contains a line such as "always [madvise] never". */
static enum hk_huge_mode chosen(const char *text)
{
	enum { DISABLED = 1, EXCEPT_ADVISED = 3 };	/* results of prctl(PR_GET_THP_DISABLE) */
	long exempt;

	if (strstr(text, "[always]")) {
		exempt = HK_SYS(prctl, PR_GET_THP_DISABLE, 0, 0, 0, 0);
		return exempt == EXCEPT_ADVISED ? HK_HUGE_MADVISE : exempt == DISABLED ? HK_HUGE_NEVER : HK_HUGE_ALWAYS;
	}
	return strstr(text, "[madvise]") ? HK_HUGE_MADVISE : HK_HUGE_NEVER;
}

/*
 * Only pages of 2 MiB are used. From Linux 6.8 on, that size has a mode of its own, even if
 * the largest huge page of the machine is larger: 512 MiB with pages of 64 KiB. An older
 * kernel has one mode, and one size.
 */
static enum hk_huge_mode read_mode(void)
{
	char text[64], size[32];

	if (hk_os_read_text(SYSFS "hugepages-2048kB/enabled", text, sizeof text) >= 0) {
		if (!strstr(text, "[inherit]"))
			return chosen(text);
	} else {
		hk_os_read_text(SYSFS "hpage_pmd_size", size, sizeof size);
		if (strcmp(size, "2097152\n") != 0)
			return HK_HUGE_NEVER;
	}
	hk_os_read_text(SYSFS "enabled", text, sizeof text);
	return chosen(text);
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
