/*
 * Huge pages in the default profile: where the heap grows densely, and
 * nowhere else. Without them, as in mode never, the cases that need one are
 * skipped and the others hold all the same.
 */
#include "tap.h"

#include <hakmem/hakmem.h>
#include <malloc.h>

enum { SMALL = 64, MB = 1 << 20, BLOCKS = 96 * MB / SMALL, HUGE = 2 * MB };

static char *block[BLOCKS];

/* Sums a field of /proc/self/smaps over all mappings; with a flag, counts
 * those that have it in the field. */
static size_t smaps(const char *field, const char *flag)
{
	static char text[16 * MB];
	size_t length = 0, sum = 0;
	int fd = open("/proc/self/smaps", O_RDONLY);
	char *line, *end;
	ssize_t n;

	while ((n = read(fd, text + length, sizeof text - 1 - length)) > 0)
		length += (size_t)n;
	close(fd);
	text[length] = 0;
	for (line = text; (end = strchr(line, '\n')) != NULL; line = end + 1) {
		*end = 0;
		if (!strncmp(line, field, strlen(field)))
			sum += flag ? strstr(line, flag) != NULL :
			       strtoul(line + strlen(field), NULL, 10);
	}
	return sum;
}

static size_t huge_kb(void)
{
	return smaps("AnonHugePages:", NULL);
}

/* The library asks for none where the kernel does not say its mode. */
static bool mode_is_told(void)
{
	return access("/sys/kernel/mm/transparent_hugepage/enabled", R_OK) == 0;
}

/* Does the kernel give one to a program that asks itself? */
static bool available(void)
{
	char *p = (char *)mmap(NULL, 2 * HUGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before = huge_kb();
	bool given;

	madvise(p, 2 * HUGE, MADV_HUGEPAGE);
	memset(p, 1, 2 * HUGE);
	given = huge_kb() > before;
	munmap(p, 2 * HUGE);
	return given;
}

static bool always(void)
{
	char text[64] = "";
	int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);

	close(fd);
	return n > 0 && strstr(text, "[always]");
}

static size_t resident_kb(void)
{
	return smaps("Rss:", NULL);
}

static void grow(void)
{
	size_t i;

	for (i = 0; i < BLOCKS; i++) {
		block[i] = (char *)malloc(SMALL);
		block[i][0] = 1;
	}
}

/* Buffers of which the program uses a page each. */
static void test_sparse(void)
{
	enum { BUFFERS = 2048, SIZE = 64 * 1024 };
	size_t before = resident_kb(), i, grown;

	for (i = 0; i < BUFFERS; i++) {
		block[i] = (char *)malloc(SIZE);
		block[i][0] = 1;
	}
	grown = resident_kb() - before;
	for (i = 0; i < BUFFERS; i++)
		free(block[i]);
	malloc_trim(0);
	if (always())
		skip("buffers that are mostly untouched get small pages", "the kernel gives huge ones to all");
	else
		ok(grown < BUFFERS * SIZE / 1024 / 4,
		   "buffers that are mostly untouched get small pages: %zu KiB", grown);
}

static bool is_on(const char *setting)
{
	char text[2] = "";

	hak_setting(setting, text, sizeof text);
	return !strcmp(text, "1");
}

/* MEM learning tries them after a quarter as many SuperSlabs, and undoes those that
 * did not pay. */
static int grow_in_child(void)
{
	size_t before = huge_kb(), size = is_on("HAKMEM_MEM_LEARN") ? 6 * MB : 16 * MB, i;

	for (i = 0; i < size / SMALL; i++)
		((char *)malloc(SMALL))[0] = 1;
	return huge_kb() > before;
}

static void test_dense(void)
{
	int status = -1;
	size_t i;
	pid_t pid;

	grow();
	ok(huge_kb() > 0, "a heap that grows densely gets huge pages");
	if (always()) {
		skip("none right after fork", "the kernel gives them to all");
	} else {
		pid = fork();
		if (pid == 0)
			_exit(grow_in_child());
		waitpid(pid, &status, 0);
		ok(status == 0, "none right after fork");
	}
	/* Two blocks are left in each SuperSlab. */
	for (i = 0; i < BLOCKS; i++)
		if (i % (MB / SMALL))
			free(block[i]);
	if (is_on("HAKMEM_SCAVENGER"))
		skip("what is held may stay huge", "the settings have it released");
	else
		ok(smaps("VmFlags:", " hg") > 0, "what is held may stay huge");
	malloc_trim(0);
	ok(smaps("VmFlags:", " hg") == 0, "what was given back in part is not filled up again");
}

static void skip_dense(const char *reason)
{
	skip("a heap that grows densely gets huge pages", reason);
	skip("none right after fork", reason);
	skip("what is held may stay huge", reason);
	skip("what was given back in part is not filled up again", reason);
}

int main(void)
{
	tap_start();
	test_sparse();
	if (!mode_is_told())
		skip_dense("no /sys tells of them");
	else if (!available())
		skip_dense("there are none");
	else
		test_dense();
	return tap_end();
}
