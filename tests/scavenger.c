/*
 * Memory that goes back while the program does not call, by a thread of the
 * library. Each case is a program of its own, with HAKMEM_SCAVENGER=1.
 */
#include "child.h"
#include "heap.h"

#include <dirent.h>
#include <hakmem/hakmem.h>
#include <pthread.h>

enum { SIZE = 1000, BLOCKS = 300 * 1024 };
static char *block[BLOCKS];

static struct hak_stats now(void)
{
	struct hak_stats s;

	hak_stats(&s, sizeof s);
	return s;
}

static size_t start;

/* The first moments of a process, or of the child of a fork, are without it. */
static void pass_first_moments(void)
{
	usleep(300000);
}

static void begin(void)
{
	pass_first_moments();
	memset(block, 0, sizeof block);
	free(hide(malloc(100)));
	start = resident();
}

static void fill_all(void)
{
	size_t i;

	for (i = 0; i < BLOCKS; i++)
		if (!block[i])
			fill(block[i] = (char *)malloc(SIZE), SIZE, i);
}

static void free_but(unsigned kept)
{
	uint64_t seed = 1;
	size_t i;

	for (i = 0; i < BLOCKS; i++)
		if (block[i] && (!kept || random_below(&seed, kept))) {
			free(block[i]);
			block[i] = NULL;
		}
}

/* Without a call of malloc, however long it takes, within reason. */
static void idle_until(size_t most, const char *what)
{
	int wait;

	for (wait = 0; wait < 600 && resident() > start + most; wait++)
		usleep(100000);
	if (resident() > start + most)
		fail("%s: %zu KiB stay", what, (resident() - start) / KB);
}

static void check_all(void)
{
	size_t i;

	for (i = 0; i < BLOCKS; i++)
		if (block[i] && !filled(block[i], SIZE, i))
			fail("block %zu is damaged", i);
}

static void idle(void)
{
	fill_all();
	free_but(0);
	idle_until(15 * MB, "of 300 MiB");
	if (!now().scavenger)
		fail("it is not said to run");
}

static void survivors(void)
{
	fill_all();
	free_but(20);
	idle_until(75 * MB, "of 285 MiB");
	check_all();
	fill_all();
	check_all();
}

static void *free_rest(void *arg)
{
	free_but(0);
	return arg;
}

static void in_thread(void *(*body)(void *))
{
	pthread_t t;

	if (pthread_create(&t, NULL, body, NULL) != 0)
		fail("cannot start a thread");
	pthread_join(t, NULL);
}

/* What others freed lies in the mailbox of a thread that sleeps. */
static void elsewhere(void)
{
	fill_all();
	in_thread(free_rest);
	idle_until(15 * MB, "freed by another thread");
}

static void large(void)
{
	int i;

	for (i = 0; i < 10; i++)
		memset(block[i] = (char *)malloc(6 * MB), 1, 6 * MB);
	for (i = 0; i < 10; i++)
		free(hide(block[i]));
	idle_until(10 * MB, "of 10 Large blocks");
}

/* Nobody wakes up in a program that sleeps. */
static void asleep(void)
{
	size_t turns = 0;
	int wait;

	idle();
	for (wait = 0; wait < 60 && now().scavenger_turns != turns; wait++) {
		turns = now().scavenger_turns;
		usleep(1000000);
	}
	if (wait == 60)
		fail("it never sleeps");
	/* And it is woken again. */
	fill_all();
	free_but(0);
	idle_until(15 * MB, "the second time");
	if (now().scavenger_turns == turns)
		fail("it was not that");
}

/* The last turns before it sleeps find nothing yet; then much is set aside. */
static void late(void)
{
	useconds_t ms;

	for (ms = 600; ms <= 1800; ms += 300) {
		fill_all();
		usleep(ms * 1000);
		free_but(0);
		idle_until(15 * MB, "when it was about to sleep");
	}
}

static void little(void)
{
	int i;

	for (i = 0; i < 1000; i++)
		block[i] = (char *)malloc(SIZE);
	free_but(0);
	if (now().scavenger)
		fail("it runs for 1 MB");
}

static void off(void)
{
	fill_all();
	free_but(0);
	if (now().scavenger)
		fail("it runs");
}

static void in_child(void (*body)(void))
{
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		start = resident();
		body();
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		fail("the child ended with %d", status);
}

static void none_at_first(void)
{
	if (now().scavenger)
		fail("it is said to run in a child");
	pass_first_moments();
	idle();
}

static void forked(void)
{
	idle();
	in_child(none_at_first);
	idle();
}

/* The thread's name and mask, from /proc: it takes no signal. */
static void signals(void)
{
	char path[300], text[4096], *mask;
	struct dirent *entry;
	bool found = false;
	ssize_t n;
	DIR *tasks;
	int fd;

	idle();
	tasks = opendir("/proc/self/task");
	while ((entry = readdir(tasks)) != NULL) {
		snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
		if (fd >= 0)
			close(fd);
		if (n <= 0)
			continue;
		text[n] = 0;
		mask = strstr(text, "SigBlk:\t");
		if (!strstr(text, "hakmem-scav\n") || !mask)
			continue;
		found = true;
		/* All but those that nobody can block, and libc's two. */
		if ((strtoull(mask + 8, NULL, 16) | 1u << 8 | 1u << 18 | 3ull << 31) != UINT64_MAX)
			fail("it blocks %.16s", mask + 8);
	}
	closedir(tasks);
	if (!found)
		fail("there is no such thread");
}

/* The process ends with the last thread that the program made. */
static void *outlive_main(void *arg)
{
	usleep(500000);
	return arg;
}

static void last(void)
{
	pthread_t t;

	idle();
	if (pthread_create(&t, NULL, outlive_main, NULL) != 0)
		fail("cannot start a thread");
	pthread_detach(t);
	pthread_exit(NULL);
}

static void refused(void)
{
	fill_all();
	limit(RLIMIT_AS, 64 * KB);
	free_but(0);
	if (now().scavenger)
		fail("it runs");
	free(hide(malloc(100)));
}

/* Threads come and go while it is started, and works. */
static void *come_and_go(void *arg)
{
	void *p[1000];
	int i, round;

	for (round = 0; round < 20; round++) {
		for (i = 0; i < 1000; i++)
			p[i] = malloc(SIZE);
		for (i = 0; i < 1000; i++)
			free(p[i]);
	}
	return arg;
}

static void work_in_child(void)
{
	come_and_go(NULL);
}

static void threads(void)
{
	enum { AT_ONCE = 8 };
	pthread_t t[AT_ONCE];
	unsigned long round, rounds = tap_rounds(300), i;

	for (round = 0; round < rounds; round++) {
		for (i = 0; i < AT_ONCE; i++)
			if (pthread_create(&t[i], NULL, come_and_go, NULL) != 0)
				fail("cannot start a thread");
		for (i = 0; i < AT_ONCE; i++)
			pthread_join(t[i], NULL);
		if (round % 50 == 25)
			in_child(work_in_child);
	}
	free(hide(malloc(100)));
	idle_until(40 * MB, "of threads that ended");
}

static const struct mode {
	const char *name;
	void (*body)(void);
	const char *says;
} modes[] = {
	{ "idle", idle, "memory goes back while the program does not call" },
	{ "survivors", survivors, "pages between survivors go back" },
	{ "elsewhere", elsewhere, "what others freed goes back" },
	{ "large", large, "Large blocks go back" },
	{ "asleep", asleep, "it sleeps when all is back, and is woken again" },
	{ "late", late, "what is set aside when it is about to sleep goes back" },
	{ "little", little, "a program with little memory has no such thread" },
	{ "off", off, "nor has one without the setting" },
	{ "forked", forked, "the child of a fork starts its own" },
	{ "signals", signals, "its thread takes no signals" },
	{ "last", last, "the process ends when its own threads have" },
	{ "refused", refused, "a program that can have no thread goes on" },
	{ "threads", threads, "threads come and go meanwhile" },
};

static void run_again(void *mode)
{
	const char *name = ((const struct mode *)mode)->name;

	setenv("HAKMEM_SCAVENGER", strcmp(name, "off") ? "1" : "0", 1);
	child_exec(name);
}

int main(int argc, char **argv)
{
	size_t i;

	tap_start();
	for (i = 0; i < sizeof modes / sizeof *modes; i++) {
		if (argc < 2) {
			child_ok(run_again, (void *)&modes[i], 120, modes[i].says);
		} else if (!strcmp(argv[1], modes[i].name)) {
			begin();
			modes[i].body();
			return 0;
		}
	}
	return tap_end();
}
