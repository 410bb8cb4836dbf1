/*
 * The memory limit of the process's control group: see
 * Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of Linux. A parent group
 * may have a lower limit, so each group up to the root is read. In a container the path may
 * be that of the host; groups that do not exist here are skipped.
 */
#include "os/limit.h"

#include "os/os.h"
#include "os/syscall.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

enum { TEXT = HK_GROUPS_TEXT, PATH = HK_GROUP_PATH };

static const char mounted[] = "/sys/fs/cgroup";

long hk_os_read_text(const char *path, char *text, size_t size)
{
	long fd = HK_SYS(openat, AT_FDCWD, path, HK_READ_FLAGS, 0, 0);
	long n = fd < 0 ? fd : HK_SYS(read, fd, text, size - 1, 0, 0);

	if (fd >= 0)
		HK_SYS(close, fd, 0, 0, 0, 0);
	text[n > 0 ? n : 0] = 0;
	return n;
}

/* No limit is "max" in version 2, and a number near the largest one in version 1. */
static void look_in(struct hk_groups_look *look, const char *path)
{
	char text[32];
	uint64_t bytes = 0;
	long n = hk_os_read_text(path, text, sizeof text);
	unsigned i;

	for (i = 0; text[i] >= '0' && text[i] <= '9'; i++)
		bytes = bytes < UINT64_MAX / 16 ? bytes * 10 + (uint64_t)(text[i] - '0') : UINT64_MAX;
	if (bytes && !(bytes >> 60) && bytes < look->least)
		look->least = bytes;
	if (n >= 0)
		look->files++;
	else if (n != -ENOENT && n != -ENOTDIR)
		look->error = n;
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

/* The files of this group and of those up to the root. */
static void look_above(struct hk_groups_look *look, const char *mount, char *group, const char *file)
{
	char path[PATH], *slash;

	for (;;) {
		if (join(path, mount, group, file))
			look_in(look, path);
		slash = strrchr(group, '/');
		if (!slash)
			return;
		*slash = 0;
	}
}

/* A line of version 1 is "4:memory:/group", one of version 2 "0::/group". */
struct hk_groups_look hk_groups_look(const char *root, const char *groups)
{
	struct hk_groups_look look = { UINT64_MAX, 0, 0 };
	char text[TEXT], mount[PATH], again[PATH], *line, *list, *group, *end;
	bool old;

	memcpy(text, groups, strlen(groups) + 1);
	for (line = text; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = 0;
		list = strchr(line, ':');
		group = list ? strchr(list + 1, ':') : NULL;
		if (!group)
			continue;
		*group++ = 0;
		old = strcmp(list + 1, "memory") == 0;
		if ((!old && list[1]) || !join(mount, root, mounted, old ? "/memory" : "") ||
		    !join(again, group, "", ""))
			continue;
		look_above(&look, mount, group, old ? "/memory.limit_in_bytes" : "/memory.max");
		if (!old)
			look_above(&look, mount, again, "/memory.high");
	}
	return look;
}

bool hk_groups_path(const char *groups, const char *file, char path[PATH])
{
	char group[TEXT], *end;
	const char *line = groups;

	while (strncmp(line, "0::", 3) != 0) {
		line = strchr(line, '\n');
		if (!line++)
			return false;
	}
	memcpy(group, line + 3, strlen(line + 3) + 1);
	end = strchr(group, '\n');
	if (!end)
		return false;
	*end = 0;
	return join(path, mounted, group, file);
}

void hk_groups_read(const char *root, char groups[TEXT])
{
	char path[PATH];

	*groups = 0;
	if (join(path, root, "/proc/self/cgroup", ""))
		hk_os_read_text(path, groups, TEXT);
}

uint64_t hk_os_group_limit(const char *root)
{
	char groups[TEXT];

	hk_groups_read(root, groups);
	return hk_groups_look(root, groups).least;
}
