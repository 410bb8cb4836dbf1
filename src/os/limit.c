/*
 * The memory limit of the control group that the process is in: Linux,
 * Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst. A group
 * above it may have a smaller one, so each on the way up is asked. In a
 * container the path may be the host's: what is not there is passed over.
 */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { TEXT = 2048, PATH = 1024 };

/* By system calls of its own: an open of some other preloaded library may use
 * the heap, whose locks are held here. */
void hk_os_read_text(const char *path, char *text, size_t size)
{
	long fd = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	long n = fd < 0 ? -1 : syscall(SYS_read, fd, text, size - 1);

	if (fd >= 0)
		syscall(SYS_close, fd);
	text[n > 0 ? n : 0] = 0;
}

/* "max" is no number, and version 1 says "none" by one near the largest. */
static size_t limit_in(const char *path)
{
	char text[32];
	uint64_t bytes = 0;
	unsigned i;

	hk_os_read_text(path, text, sizeof text);
	for (i = 0; text[i] >= '0' && text[i] <= '9'; i++)
		bytes = bytes < UINT64_MAX / 16 ? bytes * 10 + (uint64_t)(text[i] - '0') : UINT64_MAX;
	return !bytes || bytes >= SIZE_MAX / 8 ? SIZE_MAX : (size_t)bytes;
}

/* The least from this group, of `length` bytes and not ended, up to the root. */
static size_t least_above(const char *mount, const char *group, size_t length, const char *file)
{
	size_t root = strlen(mount), name = strlen(file) + 1, least = SIZE_MAX, limit;
	char path[PATH];

	if (root + length + 1 + name > sizeof path)
		return SIZE_MAX;
	memcpy(path, mount, root);
	memcpy(path + root, group, length);
	for (;;) {
		path[root + length] = '/';
		memcpy(path + root + length + 1, file, name);
		limit = limit_in(path);
		least = limit < least ? limit : least;
		if (!length)
			return least;
		while (length && group[--length] != '/')
			;
	}
}

/* Lines as "4:memory:/group", of version 2 "0::/group". */
static size_t read_limit(void)
{
	char text[TEXT], *line, *list, *group, *end;
	size_t least = SIZE_MAX, limit = SIZE_MAX;

	hk_os_read_text("/proc/self/cgroup", text, sizeof text);
	for (line = text; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = 0;
		list = strchr(line, ':');
		group = list ? strchr(list + 1, ':') : NULL;
		if (!group)
			continue;
		*group++ = 0;
		if (!list[1])
			limit = least_above("/sys/fs/cgroup", group, (size_t)(end - group), "memory.max");
		else if (!strcmp(list + 1, "memory"))
			limit = least_above("/sys/fs/cgroup/memory", group, (size_t)(end - group),
					    "memory.limit_in_bytes");
		least = limit < least ? limit : least;
	}
	return least;
}

size_t hk_os_memory_limit = SIZE_MAX;

void hk_os_read_limit(void)
{
	int saved = errno;

	hk_os_memory_limit = read_limit();
	errno = saved;
}
