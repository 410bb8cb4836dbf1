/* hakmem top: all processes on HAKMEM, again and again. */
#include "cmd/heap.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

struct row {
	pid_t pid;
	char *command;
	size_t rss;
	bool exact;
	struct hak_stats s;
	size_t slow;			/* refills and flushes so far */
	double rate;			/* of these per second; < 0: not known yet */
};

struct table {
	struct row *row;
	unsigned count;
	double when;
};

static volatile sig_atomic_t ended, resized;

static void on_signal(int number)
{
	if (number == SIGWINCH)
		resized = 1;
	else
		ended = 1;
}

static double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static size_t resident(pid_t pid)
{
	char *path = text("/proc/%d/statm", (int)pid), *line = file_line(path);
	size_t pages = 0;

	if (!line || sscanf(line, "%*u %zu", &pages) != 1)
		pages = 0;
	free(path);
	free(line);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static int by_mapped(const void *a, const void *b)
{
	size_t x = ((const struct row *)a)->s.mapped, y = ((const struct row *)b)->s.mapped;

	return x < y ? 1 : x > y ? -1 : 0;
}

static double rate_since(const struct table *before, const struct row *now, double when)
{
	unsigned i;

	for (i = 0; i < before->count; i++)
		if (before->row[i].pid == now->pid && now->slow >= before->row[i].slow)
			return (double)(now->slow - before->row[i].slow) / (when - before->when);
	return -1;
}

static struct table take(const struct table *before)
{
	struct table t = { .when = seconds_now() };
	struct hk_snapshot s;
	unsigned found, i, class;
	struct heap *heap = heap_find_all(&found);

	t.row = grow(NULL, (found + 1) * sizeof *t.row);
	for (i = 0; i < found; i++) {
		struct row *row = &t.row[t.count];

		if (!heap_read(&heap[i], &s, &row->exact)) {
			heap_forget(&heap[i]);
			continue;
		}
		row->pid = heap[i].pid;
		row->command = heap[i].command;
		row->rss = resident(row->pid);
		row->s = s.all;
		row->slow = 0;
		for (class = 0; class < HK_CLASSES; class++)
			row->slow += s.class[class].refills + s.class[class].flushes;
		row->rate = rate_since(before, row, t.when);
		t.count++;
	}
	free(heap);
	qsort(t.row, t.count, sizeof *t.row, by_mapped);
	return t;
}

static void forget(struct table *t)
{
	while (t->count)
		free(t->row[--t->count].command);
	free(t->row);
}

static double mib(size_t bytes)
{
	return (double)bytes / (1 << 20);
}

/* A line that is wider than the terminal is cut there. */
static void put(unsigned columns, bool whole, const char *line)
{
	printf("%.*s%s\n", columns ? (int)columns : (int)strlen(line), line, whole ? "\033[K" : "");
}

static void draw(const struct table *t, bool screen)
{
	struct winsize size = { 0 };
	unsigned columns = 0, lines = t->count + 3, i;
	char line[256];

	if (screen && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col) {
		columns = size.ws_col;
		lines = size.ws_row;
	}
	if (screen)
		printf("\033[H");
	snprintf(line, sizeof line, "hakmem top: %u process%s on HAKMEM%s", t->count, t->count == 1 ? "" : "es",
		 screen ? "; q ends, space refreshes" : "");
	put(columns, screen, line);
	printf("%s", ink(BOLD));
	snprintf(line, sizeof line, "%7s %8s %8s %8s %8s %8s %7s %8s %s", "PID", "RSS MiB", "MAPPED", "IN USE",
		 "CACHED", "FREE", "THREADS", "SLOW/S", "COMMAND");
	put(columns, screen, line);
	printf("%s", ink(PLAIN));
	for (i = 0; i < t->count && i + 3 < lines; i++) {
		const struct row *r = &t->row[i];
		char rate[24] = "-";

		if (r->rate >= 0)
			snprintf(rate, sizeof rate, "%.0f", r->rate);
		snprintf(line, sizeof line, "%7d %8.1f %8.1f %8.1f %8.1f %8.1f %7zu %8s %s", (int)r->pid, mib(r->rss),
			 mib(r->s.mapped), mib(r->s.in_use), mib(r->s.cached), mib(r->s.free_bytes), r->s.threads,
			 rate, r->command);
		put(columns, screen, line);
	}
	if (!t->count)
		put(columns, screen, "none yet; start one: hakmem run -- PROGRAM");
	if (screen)
		printf("\033[J");
	fflush(stdout);
}

/* True: the next picture. */
static bool wait_for(double delay, bool keys)
{
	struct pollfd in = { .fd = keys ? STDIN_FILENO : -1, .events = POLLIN };
	double until = seconds_now() + delay, left;
	char key;

	while (!ended && !resized && (left = until - seconds_now()) > 0) {
		if (poll(&in, 1, (int)(left * 1000) + 1) <= 0)
			continue;
		if (read(STDIN_FILENO, &key, 1) != 1 || key == 'q' || key == 'Q')
			return false;
		if (key == ' ')
			break;
	}
	resized = 0;
	return !ended;
}

static void loop(const struct args *a, bool screen, bool keys)
{
	double delay = a->delay > 0 ? a->delay : 2;
	struct table before = { 0 }, now;
	unsigned frame = 0;

	do {
		now = take(&before);
		draw(&now, screen);
		forget(&before);
		before = now;
	} while (++frame != a->frames && !ferror(stdout) && wait_for(delay, keys));
	forget(&before);
}

static void catch(void)
{
	struct sigaction act = { .sa_handler = on_signal };

	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGHUP, &act, NULL);
	sigaction(SIGWINCH, &act, NULL);
}

static int top(int argc, char **argv)
{
	struct termios before, raw;
	struct args a;
	bool screen = isatty(STDOUT_FILENO), keys;
	int status;

	if (!args_read(&a, &command_top, argc, argv, &status))
		return status;
	if (a.argc)
		return fail(USAGE, "top takes no process; for one: hakmem stats %s", a.argv[0]);
	/* Into a file or a pipe one picture is what is wanted. */
	if (!screen && !a.frames)
		a.frames = 1;
	keys = screen && tcgetattr(STDIN_FILENO, &before) == 0;
	catch();
	if (keys) {
		raw = before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	/* The other screen, so that the user's own is there again at the end. */
	if (screen)
		printf("\033[?1049h\033[?25l\033[2J");
	loop(&a, screen, keys);
	if (screen)
		printf("\033[?25h\033[?1049l");
	fflush(stdout);
	if (keys)
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
	return 0;
}

const struct command command_top = {
	"top", "dc", top, USAGE, "[-d SECONDS] [-c N]", "live figures of all processes on HAKMEM",
	"Shows the processes on HAKMEM that you may look at, largest first, every two\n"
	"seconds; SLOW/S are trips to slow paths per second. In a pipe: one picture.",
};
