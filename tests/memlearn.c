/*
 * MEM learning: SuperSlabs that are dense become huge pages, those that get
 * sparse lose them, and free memory waits as long as it pays. Each case is a
 * program of its own with short windows. Where the kernel has no huge pages,
 * the cases that need one are skipped.
 */
#include "child.h"
#include "heap.h"

#include <hakmem/hakmem.h>

enum { SIZE = 64, BLOCKS = 6 * 1024 * 1024 / SIZE, PATIENCE_S = 60 };
static char *block[BLOCKS];

static struct hak_stats now(void)
{
	struct hak_stats s;

	hak_stats_get(&s, sizeof s);
	return s;
}

/* So that windows end. */
static void turn_over(void)
{
	static void *p[4000];
	int i;

	for (i = 0; i < 4000; i++)
		p[i] = hide(malloc(SIZE));
	for (i = 0; i < 4000; i++)
		free(p[i]);
	usleep(1000);
}

static bool soon(const size_t *figure, size_t before, struct hak_stats *s)
{
	double end = tap_seconds(CLOCK_MONOTONIC) + PATIENCE_S;

	do {
		turn_over();
		*s = now();
	} while (*figure == before && tap_seconds(CLOCK_MONOTONIC) < end);
	return *figure != before;
}

static void fill_blocks(void)
{
	size_t i;

	for (i = 0; i < BLOCKS; i++)
		fill(block[i] = (char *)malloc(SIZE), SIZE, i);
}

static void dense(void)
{
	struct hak_stats s = now();
	size_t i;

	fill_blocks();
	if (!soon(&s.promoted, 0, &s) || !s.superslabs_huge)
		fail("%zu of %zu are huge", s.superslabs_huge, s.superslabs);
	for (i = 0; i < BLOCKS; i++)
		if (!filled(block[i], SIZE, i))
			fail("a block is damaged");
}

static bool huge_come_to(size_t least, size_t most)
{
	double end = tap_seconds(CLOCK_MONOTONIC) + PATIENCE_S;
	size_t huge;

	do {
		turn_over();
		huge = now().superslabs_huge;
	} while ((huge < least || huge > most) && tap_seconds(CLOCK_MONOTONIC) < end);
	return huge >= least && huge <= most;
}

static void sparse(void)
{
	struct hak_stats s;
	bool gone;
	enum { APART = 4096 };
	size_t i;

	dense();
	for (i = 0; i < BLOCKS; i++)
		if (i % APART)
			free(block[i]);
	/* If little of it was used for a while, as on a slow machine, it is not demoted but undone. */
	gone = huge_come_to(0, 0);
	s = now();
	if (!gone || s.demoted + s.reverted == 0)
		fail("%zu of %zu are huge still, %zu demoted, %zu reverted", s.superslabs_huge, s.superslabs, s.demoted,
		     s.reverted);
	for (i = 0; i < BLOCKS; i += APART)
		if (!filled(block[i], SIZE, i))
			fail("a survivor is damaged");
}

/* Pages of each are released and used again. */
static void dense_again(void)
{
	enum { PAGE = 4096 / SIZE };
	size_t i;

	fill_blocks();
	if (!huge_come_to(2, SIZE_MAX))
		fail("%zu are huge", now().superslabs_huge);
	for (i = 0; i < BLOCKS; i++)
		if (i / PAGE % 5 < 2)
			free(block[i]);
	if (!huge_come_to(0, 0))
		fail("%zu are huge still", now().superslabs_huge);
	for (i = 0; i < BLOCKS; i++)
		if (i / PAGE % 5 < 2)
			block[i] = (char *)hide(malloc(SIZE));
	if (!huge_come_to(2, SIZE_MAX))
		fail("%zu are huge again", now().superslabs_huge);
}

/* Half of a SuperSlab is enough here, and nothing more of it is ever used. */
static void unused(void)
{
	struct hak_stats s = now();
	size_t i;

	for (i = 0; i < 1024 * 1024 / SIZE; i++)
		fill(block[i] = (char *)malloc(SIZE), SIZE, i);
	if (!soon(&s.promoted, 0, &s))
		fail("none is huge");
	if (!soon(&s.reverted, 0, &s))
		fail("%zu promoted, and none taken back", s.promoted);
	while (i--)
		if (!filled(block[i], SIZE, i))
			fail("a block is damaged");
}

static void forked(void)
{
	size_t before;
	int status = -1, i;
	pid_t pid;

	fill_blocks();
	before = now().promoted;
	pid = fork();
	for (i = 0; i < 500; i++)
		turn_over();
	if (pid == 0)
		_exit(now().promoted != before);
	waitpid(pid, &status, 0);
	if (now().promoted != before || status != 0)
		fail("in %s", status ? "the child" : "the parent");
}

static void not_wanted(void)
{
	struct hak_stats s = now();
	size_t i;

	fill_blocks();
	for (i = 0; i < BLOCKS; i++)
		free(block[i]);
	if (!soon(&s.purge_delay, 500, &s) || s.purge_delay > 500)
		fail("it is %zu ms", s.purge_delay);
}

static size_t released(void)
{
	struct hak_stats s = now();

	return s.purged_bytes + s.hole_purged_bytes + s.superslabs_unmapped * 2 * MB;
}

/* Needed again as soon as it has been released: later, it may be too late on a slow machine. */
static void again(void)
{
	double end = tap_seconds(CLOCK_MONOTONIC) + PATIENCE_S;
	size_t before, i;

	while (now().purge_delay <= 20 && tap_seconds(CLOCK_MONOTONIC) < end) {
		fill_blocks();
		before = released();
		for (i = 0; i < BLOCKS; i++)
			free(block[i]);
		do
			turn_over();
		while (released() - before < BLOCKS * SIZE / 2 && tap_seconds(CLOCK_MONOTONIC) < end);
	}
	if (now().purge_delay <= 20)
		fail("it is %zu ms", now().purge_delay);
}

/* Empty SuperSlabs serve Large blocks, and their ranges small ones: nothing is released. */
static void given(void)
{
	enum { ROUNDS = 60, LARGE = 4 };
	static char *large[LARGE];
	struct hak_stats s = now();
	int round, i;

	for (round = 0; round < ROUNDS; round++) {
		fill_blocks();
		usleep(20000);
		for (i = 0; i < BLOCKS; i++)
			free(block[i]);
		for (i = 0; i < LARGE; i++)
			memset(large[i] = (char *)malloc(1900 * KB), 1, 1900 * KB);
		usleep(20000);
		for (i = 0; i < LARGE; i++)
			free(large[i]);
	}
	s = now();
	if (s.purge_delay < 500 && s.purged_bytes + s.hole_purged_bytes < 1 * MB && s.mapped == s.mapped_peak)
		fail("it is %zu ms, and %zu SuperSlabs were unmapped", s.purge_delay, s.superslabs_unmapped);
}

static void none(void)
{
	struct hak_stats s = now();
	int i;

	fill_blocks();
	for (i = 0; i < 500; i++)
		turn_over();
	s = now();
	if (s.promoted || s.demoted || s.reverted || s.purge_delay != 500)
		fail("%zu promoted, %zu demoted, %zu ms", s.promoted, s.demoted, s.purge_delay);
}

static void basic(void)
{
	char text[32];

	if (hak_setting("HAKMEM_MEM_LEARN_DELAY", text, sizeof text) != 3 || strcmp(text, "500") ||
	    now().purge_delay != 500)
		fail("%s, %zu ms", text, now().purge_delay);
}

static const struct mode {
	const char *name, *setting, *value;
	void (*body)(void);
	bool pages;		/* huge ones are needed */
	const char *says;
} modes[] = {
	{ "dense", NULL, NULL, dense, true, "what is dense becomes a huge page" },
	{ "sparse", NULL, NULL, sparse, true, "what gets sparse loses it" },
	{ "dense_again", NULL, NULL, dense_again, true, "what gets dense again is huge again" },
	{ "unused", "HAKMEM_MEM_LEARN_THRESHOLD", "0.3", unused, true, "huge pages that are not used are undone" },
	{ "forked", NULL, NULL, forked, false, "nothing is made huge soon after a fork" },
	{ "not", NULL, NULL, not_wanted, false, "memory that is not needed is released sooner" },
	{ "again", "HAKMEM_MEM_LEARN_DELAY", "20", again, false, "memory that is needed again is released later" },
	{ "given", NULL, NULL, given, false, "what serves Large blocks was not released" },
	{ "none", "HAKMEM_MEM_LEARN", "0", none, false, "with HAKMEM_MEM_LEARN=0 nothing happens" },
	{ "basic", "HAKMEM_LEARN_ADVANCED", "0", basic, false,
	  "an advanced parameter is in force with HAKMEM_LEARN_ADVANCED=1 alone" },
};

static void run_again(void *argument)
{
	const struct mode *mode = (const struct mode *)argument;

	unsetenv("HAKMEM_PROFILE");
	setenv("HAKMEM_MEM_LEARN", "1", 1);
	setenv("HAKMEM_MEM_LEARN_WINDOW", "1000", 1);
	/* Blocks that go to and fro reach the slabs. */
	setenv("HAKMEM_TINY_PRESET", "ultra-tight", 1);
	setenv("HAKMEM_LEARN_ADVANCED", "1", 1);
	setenv("HAKMEM_MEM_LEARN_STABLE", "10", 1);
	if (!strcmp(mode->name, "basic"))
		setenv("HAKMEM_MEM_LEARN_DELAY", "50", 1);
	if (mode->setting)
		setenv(mode->setting, mode->value, 1);
	child_exec(mode->name);
}

/* Of the size that the library uses. */
static bool have_huge_pages(void)
{
	char text[64] = "", size[32] = "";
	int on = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY);
	int fd = open("/sys/kernel/mm/transparent_hugepage/hpage_pmd_size", O_RDONLY);
	bool have = on >= 0 && read(on, text, sizeof text - 1) > 0 && !strstr(text, "[never]") &&
		    fd >= 0 && read(fd, size, sizeof size - 1) > 0 && !strcmp(size, "2097152\n");

	close(on);
	close(fd);
	return have && !emulator();
}

int main(int argc, char **argv)
{
	size_t i;

	tap_start();
	for (i = 0; i < sizeof modes / sizeof *modes; i++) {
		if (argc < 2 && modes[i].pages && !have_huge_pages()) {
			skip(modes[i].says, "there are none");
		} else if (argc < 2) {
			child_ok(run_again, (void *)&modes[i], 120, modes[i].says);
		} else if (!strcmp(argv[1], modes[i].name)) {
			usleep(200000);		/* then the scavenger may start */
			modes[i].body();
			return 0;
		}
	}
	return tap_end();
}
