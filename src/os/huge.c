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
static bool has_64k;

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

/* From Linux 6.8 on, each size has a mode of its own, which may be that of all. False: the file does not exist. */
static bool read_mode_of(const char *file, enum hk_huge_mode *result)
{
	char text[64];

	if (hk_os_read_text(file, text, sizeof text) < 0)
		return false;
	if (strstr(text, "[inherit]"))
		hk_os_read_text(SYSFS "enabled", text, sizeof text);
	*result = chosen(text);
	return true;
}

/*
 * Pages of 2 MiB are used even if the largest huge page of the machine is larger: 512 MiB with
 * pages of 64 KiB. A kernel without a mode for each size has one mode, and one size.
 */
static enum hk_huge_mode read_mode(void)
{
	enum hk_huge_mode result;
	char text[64];

	if (read_mode_of(SYSFS "hugepages-2048kB/enabled", &result))
		return result;
	hk_os_read_text(SYSFS "hpage_pmd_size", text, sizeof text);
	if (strcmp(text, "2097152\n") != 0)
		return HK_HUGE_NEVER;
	return read_mode_of(SYSFS "enabled", &result) ? result : HK_HUGE_NEVER;
}

void hk_os_read_huge_mode(void)
{
	enum hk_huge_mode of_64k = HK_HUGE_NEVER;

	mode = read_mode();
	read_mode_of(SYSFS "hugepages-64kB/enabled", &of_64k);
	has_64k = of_64k != HK_HUGE_NEVER;
}

bool hk_os_has_64k(void)
{
	return has_64k;
}

enum hk_huge_mode hk_os_huge_mode(void)
{
	return mode;
}

bool hk_os_huge(void *addr, size_t size)
{
	return mode != HK_HUGE_NEVER && hk_os_advise(addr, size, HK_MADV_HUGEPAGE) == 0;
}

bool hk_os_64k(void *addr, size_t size)
{
	return hk_os_advise(addr, size, HK_MADV_HUGEPAGE) == 0;
}

bool hk_os_collapse(void *addr, size_t size)
{
	return hk_os_advise(addr, size, HK_MADV_COLLAPSE) == 0;
}

bool hk_os_small(void *addr, size_t size)
{
	return hk_os_advise(addr, size, HK_MADV_NOHUGEPAGE) == 0;
}
