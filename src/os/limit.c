/*
 * The memory limit of the process's control group: see
 * Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of Linux. A parent group
 * may have a lower limit, so each group up to the root is read. In a container the path may
 * be that of the host; groups that do not exist here are skipped.
 */
#include "os/os.h"
#include "os/syscall.h"

#include <fcntl.h>
#include <string.h>

enum { TEXT = 2048, PATH = 1024 };

void hk_os_read_text(const char *path, char *text, size_t size)
{
	long fd = HK_SYS(openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0, 0);
	long n = fd < 0 ? -1 : HK_SYS(read, fd, text, size - 1, 0, 0);

	if (fd >= 0)
		HK_SYS(close, fd, 0, 0, 0, 0);
	text[n > 0 ? n : 0] = 0;
}

/* No limit is "max" in version 2, and a number near the largest one in version 1. */
static uint64_t limit_in(const char *path)
{
	char text[32];
	uint64_t bytes = 0;
	unsigned i;

	hk_os_read_text(path, text, sizeof text);
	for (i = 0; text[i] >= '0' && text[i] <= '9'; i++)
		bytes = bytes < UINT64_MAX / 16 ? bytes * 10 + (uint64_t)(text[i] - '0') : UINT64_MAX;
	return !bytes || bytes >> 60 ? UINT64_MAX : bytes;
}

/* Concatenates the strings; false if they do not fit. */
static bool join(char *path, const char *a, const char *b, const char *c)
{
	size_t n = strlen(a), m = strlen(b), l = strlen(c) + 1;

	if (n + m + l > PATH)
		return false;
	memcpy(path, a, n);
	memcpy(path + n, b, m);
	memcpy(path + n + m, c, l);
	return true;
}

/* The lowest limit from this group up to the root. */
static uint64_t least_above(const char *mount, char *group, const char *file)
{
	uint64_t least = UINT64_MAX, limit;
	char path[PATH], *slash;

	for (;;) {
		limit = join(path, mount, group, file) ? limit_in(path) : UINT64_MAX;
		least = limit < least ? limit : least;
		slash = strrchr(group, '/');
		if (!slash)
			return least;
		*slash = 0;
	}
}

/* A line of version 1 is "4:memory:/group", one of version 2 "0::/group". */
uint64_t hk_os_group_limit(const char *root)
{
	char text[TEXT], path[PATH], *line, *list, *group, *end;
	uint64_t least = UINT64_MAX, limit;
	bool old;

	if (!join(path, root, "/proc/self/cgroup", ""))
		return least;
	hk_os_read_text(path, text, sizeof text);
	for (line = text; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = 0;
		list = strchr(line, ':');
		group = list ? strchr(list + 1, ':') : NULL;
		if (!group)
			continue;
		*group++ = 0;
		old = strcmp(list + 1, "memory") == 0;
		if ((!old && list[1]) || !join(path, root, "/sys/fs/cgroup", old ? "/memory" : ""))
			continue;
		limit = least_above(path, group, old ? "/memory.limit_in_bytes" : "/memory.max");
		least = limit < least ? limit : least;
	}
	return least;
}

size_t hk_os_memory_limit = SIZE_MAX;

void hk_os_read_limit(void)
{
	uint64_t limit = hk_os_group_limit("");

	hk_os_memory_limit = limit < SIZE_MAX ? (size_t)limit : SIZE_MAX;
}
