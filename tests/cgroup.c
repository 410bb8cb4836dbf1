/*
 * For tests/cgroup.sh: a heap of 200 MiB that is in use and 40 MiB more that
 * come and go. Prints the KiB of huge pages, and those that stay of the 40 MiB.
 */
#include "tap.h"
#include "heap.h"

enum { SIZE = 128, IN_USE = 200 << 20, MORE = 40 << 20 };
static char *block[(IN_USE + MORE) / SIZE];

static size_t take(size_t from, size_t bytes)
{
	size_t i, end = from + bytes / SIZE;

	for (i = from; i < end; i++)
		memset(block[i] = (char *)malloc(SIZE), 1, SIZE);
	return end;
}

/* "AnonHugePages:    2048 kB", of the whole process. */
static unsigned long huge_pages(void)
{
	static char text[4096];
	int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
	const char *field = n > 0 ? strstr(text, "AnonHugePages:") : NULL;

	if (fd >= 0)
		close(fd);
	return field ? strtoul(field + 14, NULL, 10) : 0;
}

int main(void)
{
	size_t in_use, end, before;

	memset(block, 0, sizeof block);
	in_use = take(0, IN_USE);
	before = resident();
	for (end = take(in_use, MORE); end > in_use;)
		free(block[--end]);
	printf("%lu %lu\n", huge_pages(), (unsigned long)(resident() > before ? resident() - before : 0) / KB);
	return 0;
}
