/*
 * The files that the library writes are complete or unchanged, and no temporary file is
 * left, whatever exists in their place and whatever limit is reached. The program runs
 * itself again with HAKMEM_STATS_DUMP set to a file in a new directory.
 */
/* A folder is read on a large disk by programs of 32 bits too. */
#define _FILE_OFFSET_BITS 64
#include "emulated.h"

#include <hakmem/hakmem.h>
#include <dirent.h>
#include <sys/stat.h>

enum { OLD = 4 };
static char folder[] = "/tmp/hakmem-files-XXXXXX";
static char path[64], other[64];

static void put_old(const char *name, mode_t mode)
{
	int fd;

	unlink(name);
	fd = open(name, O_WRONLY | O_CREAT | O_EXCL, 0600);
	if (fd < 0 || write(fd, "old\n", OLD) != OLD || fchmod(fd, mode) != 0)
		bail("cannot write %s: errno %d", name, errno);
	close(fd);
}

/* Reads the start of a file, as much as fits. */
static size_t read_start(const char *name, char *text, size_t size)
{
	int fd = open(name, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, size - 1);

	close(fd);
	text[n < 0 ? 0 : n] = 0;
	return n < 0 ? 0 : (size_t)n;
}

static bool is_old(const char *name)
{
	char text[64];

	return read_start(name, text, sizeof text) == OLD && !strcmp(text, "old\n");
}

static bool is_report(const char *name)
{
	static char text[1 << 20];
	size_t n = read_start(name, text, sizeof text);

	return n > 100 && !strncmp(text, "{\"schema\":", 10) && !strcmp(text + n - 3, "]}\n") &&
	       !strstr(text + 1, "{\"schema\":");
}

static mode_t mode_of(const char *name)
{
	struct stat s;

	return lstat(name, &s) == 0 ? s.st_mode : 0;
}

static ino_t number_of(const char *name)
{
	struct stat s;

	return lstat(name, &s) == 0 ? s.st_ino : 0;
}

/* Counts the entries of the directory. */
static unsigned entries(void)
{
	DIR *list = opendir(folder);
	unsigned n = 0;

	while (list && readdir(list))
		n++;
	closedir(list);
	return n - 2;
}

static void clear(void)
{
	unlink(path);
	unlink(other);
}

/* Drops standard error, where a failed report prints a message. */
static int dump(void)
{
	int kept = dup(STDERR_FILENO), nowhere = open("/dev/null", O_WRONLY), result;

	dup2(nowhere, STDERR_FILENO);
	close(nowhere);
	result = hak_stats_dump();
	dup2(kept, STDERR_FILENO);
	close(kept);
	return result;
}

static void replaced(void)
{
	ino_t before;

	clear();
	umask(0);
	ok(dump() == 0 && is_report(path) && mode_of(path) == (S_IFREG | 0600), "a new file is for its owner alone");
	umask(022);
	put_old(path, 0644);
	before = number_of(path);
	ok(dump() == 0 && is_report(path) && mode_of(path) == (S_IFREG | 0644), "the mode of an old one stays");
	ok(number_of(path) != before && entries() == 1, "another file takes its place");
	put_old(path, 0644);
	if (link(path, other))
		bail("cannot make a link");
	ok(dump() == 0 && is_old(other), "what the old one holds is not written over");
	clear();
	if (geteuid() == 0) {
		skip("a file that may not be written stays", "root may write all");
		return;
	}
	put_old(path, 0444);
	ok(dump() == -1 && is_old(path), "a file that may not be written stays");
	clear();
}

static void limit_size(rlim_t bytes)
{
	struct rlimit limit;

	getrlimit(RLIMIT_FSIZE, &limit);
	limit.rlim_cur = bytes;
	setrlimit(RLIMIT_FSIZE, &limit);
}

static volatile sig_atomic_t handled;

static void note(int number)
{
	(void)number;
	handled++;
}

static bool pends(int number)
{
	sigset_t set;

	sigpending(&set);
	return sigismember(&set, number);
}

static void dump_limited(void)
{
	limit_size(0);
	dump();
	limit_size(RLIM_INFINITY);
}

static void limited(void)
{
	static const rlim_t sizes[] = { 0, 1, 300, 600 };
	bool good = true;
	sigset_t set;
	int result;
	size_t i;

	signal(SIGXFSZ, note);
	for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		put_old(path, 0600);
		limit_size(sizes[i]);
		result = dump();
		limit_size(RLIM_INFINITY);
		if (result != -1 || !is_old(path) || entries() != 1) {
			diag("  limit %lu: result %d, %u entries", (unsigned long)sizes[i], result, entries());
			good = false;
		}
	}
	ok(good, "over RLIMIT_FSIZE: the old file is as it was, and nothing beside it");
	ok(!handled, "the program gets no SIGXFSZ");
	sigemptyset(&set);
	sigaddset(&set, SIGXFSZ);
	sigprocmask(SIG_BLOCK, &set, NULL);
	dump_limited();
	ok(!pends(SIGXFSZ), "nor is one left to a program that blocks it");
	raise(SIGXFSZ);
	dump_limited();
	ok(pends(SIGXFSZ), "one that the program had waiting waits still");
	sigprocmask(SIG_UNBLOCK, &set, NULL);
	ok(handled == 1, "and comes once");
	signal(SIGXFSZ, SIG_DFL);
	clear();
}

/* The message about a failed file is written to a file that is full too. */
static void message_limited(void)
{
	int log = open(other, O_WRONLY | O_CREAT, 0600), kept = dup(STDERR_FILENO);
	int result;

	signal(SIGXFSZ, note);
	handled = 0;
	dup2(log, STDERR_FILENO);
	limit_size(0);
	result = hak_stats_dump();
	limit_size(RLIM_INFINITY);
	dup2(kept, STDERR_FILENO);
	close(log);
	close(kept);
	signal(SIGXFSZ, SIG_DFL);
	ok(result == -1 && !handled, "the message about it does not end the program either");
	clear();
}

static void special(void)
{
	static char text[1 << 20];
	int reader;
	ssize_t n;

	clear();
	mkfifo(path, 0600);
	ok(dump() == -1, "a FIFO without a reader is not waited for");
	reader = open(path, O_RDONLY | O_NONBLOCK);
	fcntl(reader, F_SETPIPE_SZ, 1 << 20);
	n = dump() == 0 ? read(reader, text, sizeof text) : 0;
	ok(n > 100 && !strncmp(text, "{\"schema\":", 10) && !memcmp(text + n - 3, "]}\n", 3),
	   "a FIFO with a reader gets the report");
	ok(S_ISFIFO(mode_of(path)) && entries() == 1, "and stays a FIFO");
	fcntl(reader, F_SETPIPE_SZ, 4096);
	ok(dump() == -1, "a reader that does not read is not waited for for ever");
	close(reader);
	clear();
	mkdir(path, 0700);
	ok(dump() == -1 && entries() == 1, "a directory in its place stays");
	rmdir(path);
}

static void link_to(const char *target)
{
	if (symlink(target, path))
		bail("cannot make a link");
}

static void linked(void)
{
	clear();
	put_old(other, 0600);
	link_to(other);
	ok(dump() == -1 && is_old(other), "a link is not followed");
	ok(S_ISLNK(mode_of(path)) && entries() == 2, "and stays a link");
	clear();
	link_to("other");
	ok(dump() == -1 && entries() == 1, "nor one that leads nowhere");
	clear();
}

/* Files that another user created. */
static void foreign(void)
{
	enum { NOBODY = 65534 };
	char text[8];
	int reader;

	if (geteuid() != 0) {
		skip("another user's FIFO in a folder that all may write gets nothing", "not root");
		return;
	}
	chmod(folder, 01777);
	mkfifo(path, 0666);
	if (chown(path, NOBODY, NOBODY) != 0)
		bail("cannot change an owner: errno %d", errno);
	reader = open(path, O_RDONLY | O_NONBLOCK);
	ok(dump() == -1 && read(reader, text, sizeof text) <= 0,
	   "another user's FIFO in a folder that all may write gets nothing");
	close(reader);
	chmod(folder, 0700);
	clear();
}

static void closed_standard_error(void)
{
	int kept = dup(STDERR_FILENO);
	bool good;

	clear();
	close(STDERR_FILENO);
	good = hak_stats_dump() == 0 && fcntl(STDERR_FILENO, F_GETFD) == -1;
	dup2(kept, STDERR_FILENO);
	close(kept);
	ok(good && is_report(path), "with standard error closed");
	clear();
}

/* Several processes write the same file at exit. */
static void together(void)
{
	enum { ROUNDS = 20, CHILDREN = 8 };
	int round, i, ends[2], status;
	bool good = true;

	for (round = 0; round < ROUNDS; round++) {
		if (pipe(ends) != 0)
			bail("no pipe");
		for (i = 0; i < CHILDREN; i++)
			if (fork() == 0) {
				close(ends[1]);
				status = (int)read(ends[0], &i, 1);
				exit(status);
			}
		close(ends[0]);
		close(ends[1]);
		while (wait(&status) > 0)
			good = good && status == 0;
		good = good && is_report(path) && entries() == 1;
	}
	ok(good, "eight processes that end at once leave one whole report");
	clear();
}

static bool dump_keeps_thread_mask(void)
{
	sigset_t before, after;
	int i;

	sigprocmask(SIG_BLOCK, NULL, &before);
	dump();
	sigprocmask(SIG_BLOCK, NULL, &after);
	for (i = 1; i < NSIG; i++)
		if (sigismember(&before, i) != sigismember(&after, i))
			return false;
	return true;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		char *made = mkdtemp(folder);

		snprintf(path, sizeof path, "%s/report.json", folder);
		setenv("HAKMEM_STATS_DUMP", path, 1);
		exec_self("files", made, NULL);
		return 98;
	}
	tap_start();
	memcpy(folder, argv[1], sizeof folder);
	snprintf(path, sizeof path, "%s/report.json", folder);
	snprintf(other, sizeof other, "%s/other", folder);
	replaced();
	limited();
	message_limited();
	special();
	linked();
	foreign();
	closed_standard_error();
	ok(dump_keeps_thread_mask(), "the signals that the thread blocks are as they were");
	together();
	clear();
	rmdir(folder);
	/* The directory is gone, so this process must not write a report at exit. */
	_exit(tap_end());
}
