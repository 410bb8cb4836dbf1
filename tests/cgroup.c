/*
 * For tests/cgroup.sh: a heap of 200 MiB that is in use and 40 MiB more that
 * come and go. Prints the KiB of huge pages, and those that stay of the 40 MiB.
 * With the name of a file and a text, it writes the text into the file first, and
 * repeats the 40 MiB until less than 16000 KiB stay, or more if the text is "max", at
 * most a hundred times.
 */
#include "tap.h"
#include "heap.h"

#include <malloc.h>

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

/* The bytes that stay of those that came and went. */
static size_t come_and_go(size_t in_use)
{
	size_t before = resident(), end;

	for (end = take(in_use, MORE); end > in_use;)
		free(block[--end]);
	return resident() > before ? resident() - before : 0;
}

int main(int argc, char **argv)
{
	size_t in_use, stays;
	int tries;
	bool limited = argc > 2 && strcmp(argv[2], "max") != 0;

	memset(block, 0, sizeof block);
	in_use = take(0, IN_USE);
	stays = come_and_go(in_use);
	if (argc > 2)
		rewrite_file(argv[1], argv[2]);
	for (tries = 0; argc > 2 && tries < 100 && (stays / KB < 16000) != limited; tries++) {
		usleep(50000);
		malloc_trim(0);
		stays = come_and_go(in_use);
	}
	printf("%lu %lu\n", huge_pages(), (unsigned long)stays / KB);
	return 0;
}
