/*
 * Huge pages in the default profile: where the heap grows densely or the
 * program writes to all of its Large blocks, and nowhere else. Without them,
 * as in mode never, the cases that need one are skipped and the others hold
 * all the same.
 */
#include "tap.h"
#include "smaps.h"

#include <hakmem/hakmem.h>
#include <malloc.h>

enum { SMALL = 64, MB = 1 << 20, BLOCKS = 96 * MB / SMALL, HUGE = 2 * MB };

static char *block[BLOCKS];

static size_t huge_kb(void)
{
	return smaps_sum("AnonHugePages:");
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
	return smaps_sum("Rss:");
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
	ok(grown < BUFFERS * SIZE / 1024 / 4,
	   "buffers that are mostly untouched get small pages: %zu KiB", grown);
}

static bool is_on(const char *setting)
{
	char text[2] = "";

	hak_setting(setting, text, sizeof text);
	return !strcmp(text, "1");
}

static bool is_hardened(void)
{
	char text[2] = "";

	hak_setting("HAKMEM_HARDEN", text, sizeof text);
	return *text > '0';
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
	pid = fork();
	if (pid == 0)
		_exit(grow_in_child());
	waitpid(pid, &status, 0);
	ok(status == 0, "none right after fork");
	/* Two blocks are left in each SuperSlab. */
	for (i = 0; i < BLOCKS; i++)
		if (i % (MB / SMALL))
			free(block[i]);
	if (is_on("HAKMEM_SCAVENGER"))
		skip("what is held may stay huge", "the settings have it released");
	else
		ok(smaps_flagged(" hg") > 0, "what is held may stay huge");
	malloc_trim(0);
	ok(smaps_flagged(" hg") == 0, "what was given back in part is not filled up again");
}

enum { LARGE = 10 * MB, LARGES = 24 };

/* Only the ends, or one word of each page. */
static char *large(bool pages)
{
	char *p = (char *)malloc(LARGE);
	size_t at;

	for (at = 0; pages && at < LARGE; at += 4096)
		p[at] = 1;
	p[0] = p[LARGE - 1] = 1;
	return p;
}

static void make_larges(bool pages)
{
	size_t i;

	for (i = 0; i < LARGES; i++)
		block[i] = large(pages);
}

static void free_larges(void)
{
	size_t i;

	for (i = 0; i < LARGES; i++)
		free(block[i]);
	malloc_trim(0);
}

static void grew_little(size_t kb, const char *name)
{
	if (always())
		skip(name, "the kernel gives huge pages to all");
	else
		ok(kb < MB / 1024 * LARGES / 4, "%s: %zu KiB", name, kb);
}

static void test_untouched_larges(void)
{
	size_t before = resident_kb(), i, grown;

	make_larges(false);
	for (i = 0; i < LARGES; i++) {
		free(block[i]);
		block[i] = large(false);
	}
	grown = resident_kb() - before;
	free_larges();
	grew_little(grown, "Large blocks that the program does not fill get no memory");
}

static void test_filled_larges(void)
{
	size_t before = huge_kb(), i;
	char *p;

	make_larges(true);
	if (is_hardened())
		skip("Large blocks get huge pages if the program fills them", "not with HAKMEM_HARDEN");
	else
		ok(huge_kb() > before, "Large blocks get huge pages if the program fills them");
	p = (char *)calloc(1, LARGE);
	for (i = 0; i < LARGE && !p[i]; i++)
		;
	ok(i == LARGE, "they read as zero for calloc");
	free(p);
	free_larges();
}

/* Needs no huge page: small ones are populated too. */
static void test_no_longer_filled(void)
{
	enum { ROUNDS = 3 };
	size_t before, grown = 0, i;

	make_larges(true);
	free_larges();
	for (i = 0; i < ROUNDS; i++) {
		before = resident_kb();
		make_larges(false);
		grown = resident_kb() - before;
		free_larges();
	}
	grew_little(grown, "no more memory after the program has stopped filling them");
}

/* As a program does that detects writes to its own heap. */
static void test_inaccessible_larges(void)
{
	size_t i;

	for (i = 0; i < LARGES; i++) {
		block[i] = large(true);
		mprotect(block[i] + 4096, LARGE - 8192, PROT_NONE);
	}
	for (i = 0; i < LARGES; i++)
		mprotect(block[i] + 4096, LARGE - 8192, PROT_READ | PROT_WRITE);
	free_larges();
	ok(true, "a live block that is not accessible is not touched");
}

/* Nor one that is about to be freed and reads as zero. */
static void test_protected_page(void)
{
	size_t i;

	for (i = 0; i < LARGES; i++) {
		char *page = (char *)(((uintptr_t)(block[i] = large(false)) + LARGE / 2) & -(uintptr_t)4096) + 8192;

		mprotect(page, 4096, PROT_NONE);
		free(block[i]);
		block[i] = NULL;
	}
	free_larges();
	ok(true, "a page in the middle of a freed block may be inaccessible");
}

static void skip_dense(const char *reason)
{
	skip("Large blocks get huge pages if the program fills them", reason);
	skip("they read as zero for calloc", reason);
	skip("a heap that grows densely gets huge pages", reason);
	skip("none right after fork", reason);
	skip("what is held may stay huge", reason);
	skip("what was given back in part is not filled up again", reason);
}

int main(void)
{
	tap_start();
	test_untouched_larges();
	test_no_longer_filled();
	test_inaccessible_larges();
	test_protected_page();
	test_sparse();
	if (!mode_is_told()) {
		skip_dense("no /sys tells of them");
	} else if (!available()) {
		skip_dense("there are none");
	} else {
		test_filled_larges();
		test_dense();
	}
	return tap_end();
}
