/* hakmem top: all processes on HAKMEM, again and again. */
#include "cmd/heap.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

struct row {
	struct heap *heap;
	size_t rss, anonymous;
	size_t slow;			/* refills and flushes so far */
	double rate;			/* of these per second; < 0: not known yet */
};

struct table {
	struct heap *heap;
	struct row *row;
	unsigned count, good, hidden;
	double when;
};

static volatile sig_atomic_t ended, resized, refresh;

/* What may interrupt a wait: keys, unless there are none, and signals, each of which
 * writes a byte. */
static struct {
	int keys, signals[2];
} from = { .keys = -1 };

static void on_signal(int number)
{
	int kept = errno;

	if (number == SIGWINCH)
		resized = 1;
	else
		ended = 1;
	if (write(from.signals[1], "", 1) < 0)
		errno = kept;
}

static bool readable(int fd)
{
	struct pollfd in = { .fd = fd, .events = POLLIN };

	return poll(&in, 1, 0) > 0;
}

/* True: a key or a signal ends the command. */
static bool read_keys(void)
{
	char key;

	while (readable(from.signals[0]) && read(from.signals[0], &key, 1) == 1)
		;
	while (!ended && from.keys >= 0 && readable(from.keys)) {
		if (read(from.keys, &key, 1) != 1 || key == 'q' || key == 'Q')
			ended = 1;
		refresh |= key == ' ';
	}
	return ended;
}

/* The largest first, unreadable ones last. */
static int by_mapped(const void *a, const void *b)
{
	const struct heap *x = ((const struct row *)a)->heap, *y = ((const struct row *)b)->heap;

	if (x->state != y->state)
		return x->state == HEAP_READ ? -1 : 1;
	return x->s.all.mapped < y->s.all.mapped ? 1 : x->s.all.mapped > y->s.all.mapped ? -1 : 0;
}

static double rate_since(const struct table *before, const struct row *now, double when)
{
	unsigned i;

	for (i = 0; i < before->count; i++)
		if (before->row[i].heap->pid == now->heap->pid && now->slow >= before->row[i].slow)
			return (double)(now->slow - before->row[i].slow) / (when - before->when);
	return -1;
}

/* Has no heaps if the user ended the command meanwhile. */
static struct table take(const struct table *before)
{
	const struct reader watch = { .stop = read_keys, .watched = { from.keys, from.signals[0] } };
	struct table t = { 0 };
	unsigned i, class;

	t.heap = heaps_read_all(&t.count, &t.hidden, &watch);
	t.when = seconds_now();
	t.row = grow(NULL, (t.count + 1) * sizeof *t.row);
	for (i = 0; t.heap && i < t.count; i++) {
		struct row *row = &t.row[i];

		*row = (struct row){ .heap = &t.heap[i] };
		memory_quick(t.heap[i].pid, &row->rss, &row->anonymous);
		for (class = 0; class < HK_CLASSES; class++)
			row->slow += row->heap->s.class[class].refills + row->heap->s.class[class].flushes;
		row->rate = rate_since(before, row, t.when);
		t.good += row->heap->state == HEAP_READ;
	}
	if (t.heap)
		qsort(t.row, t.count, sizeof *t.row, by_mapped);
	return t;
}

static void forget(struct table *t)
{
	if (t->heap)
		heaps_free(t->heap, t->count);
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

static void put_row(const struct row *r, char *line, size_t size)
{
	const struct heap *heap = r->heap;
	const struct hak_stats *a = &heap->s.all;
	char rate[24] = "-";

	if (r->rate >= 0)
		snprintf(rate, sizeof rate, "%.0f", r->rate);
	if (heap->state == HEAP_READ)
		snprintf(line, size, "%7d %8.1f %8.1f %8.1f %8.1f %8.1f %7zu %8s %s", (int)heap->pid, mib(r->rss),
			 mib(a->mapped), mib(a->in_use), mib(a->cached), mib(a->free_bytes), a->threads, rate,
			 heap->command);
	else
		snprintf(line, size, "%7d %8.1f %s: %s", (int)heap->pid, mib(r->rss), heap->command, heap->why);
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
	snprintf(line, sizeof line, "hakmem top: %u process%s on HAKMEM%s", t->good, t->good == 1 ? "" : "es",
		 screen ? "; q ends, space refreshes" : "");
	put(columns, screen, line);
	printf("%s", ink(BOLD));
	snprintf(line, sizeof line, "%7s %8s %8s %8s %8s %8s %7s %8s %s", "PID", "RSS MiB", "MAPPED", "IN USE",
		 "CACHED", "FREE", "THREADS", "SLOW/S", "COMMAND");
	put(columns, screen, line);
	printf("%s", ink(PLAIN));
	for (i = 0; i < t->count && i + 3 < lines; i++) {
		put_row(&t->row[i], line, sizeof line);
		put(columns, screen, line);
	}
	if (!t->count)
		put(columns, screen, "none yet; start one: hakmem run -- PROGRAM");
	if (screen)
		printf("\033[J");
	fflush(stdout);
}

/* True: the next picture. */
static bool wait_for(double delay)
{
	struct pollfd in[] = { { .fd = from.keys, .events = POLLIN }, { .fd = from.signals[0], .events = POLLIN } };
	double until = seconds_now() + delay, left;

	while (!read_keys() && !resized && !refresh && (left = until - seconds_now()) > 0)
		poll(in, 2, (int)(left * 1000) + 1);
	resized = refresh = 0;
	return !ended;
}

/* Returns the number of pictures. */
static unsigned loop(const struct args *a, bool screen)
{
	double delay = a->delay > 0 ? a->delay : 2;
	struct table before = { 0 }, now;
	unsigned frame = 0;

	do {
		now = take(&before);
		forget(&before);
		before = now;
		if (!now.heap)
			break;
		draw(&now, screen);
	} while (++frame != a->frames && !ferror(stdout) && wait_for(delay));
	forget(&before);
	return frame;
}

static void catch(void)
{
	struct sigaction act = { .sa_handler = on_signal };

	if (pipe2(from.signals, O_CLOEXEC | O_NONBLOCK) < 0)
		exit(fail(FOUND, "cannot make a pipe: %s", strerror(errno)));
	sigaction(SIGINT, &act, NULL);
	sigaction(SIGTERM, &act, NULL);
	sigaction(SIGHUP, &act, NULL);
	sigaction(SIGWINCH, &act, NULL);
}

static int top(int argc, char **argv)
{
	struct termios before, raw;
	struct args a;
	bool screen = isatty(STDOUT_FILENO);
	int status;

	if (!args_read(&a, &command_top, argc, argv, &status))
		return status;
	if (a.argc)
		return fail(USAGE, "top takes no process; for one: hakmem stats %s", a.argv[0]);
	/* Into a file or a pipe one picture is what is wanted. */
	if (!screen && !a.frames)
		a.frames = 1;
	from.keys = screen && tcgetattr(STDIN_FILENO, &before) == 0 ? STDIN_FILENO : -1;
	catch();
	if (from.keys >= 0) {
		raw = before;
		raw.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		tcsetattr(STDIN_FILENO, TCSANOW, &raw);
	}
	/* The other screen, so that the user's own is there again at the end. */
	if (screen)
		printf("\033[?1049h\033[?25l\033[2J");
	status = loop(&a, screen) || screen ? 0 : FOUND;
	if (screen)
		printf("\033[?25h\033[?1049l");
	fflush(stdout);
	if (from.keys >= 0)
		tcsetattr(STDIN_FILENO, TCSANOW, &before);
	return status;
}

const struct command command_top = {
	"top", "dc", top, USAGE, "[-d SECONDS] [-c N]", "live figures of all processes on HAKMEM",
	"Shows the processes on HAKMEM that you may look at, largest first, every two\n"
	"seconds; SLOW/S are trips to slow paths per second. In a pipe: one picture.",
};
