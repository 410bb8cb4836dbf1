/* hakmem top: all processes on HAKMEM, refreshed periodically. */
#include "cmd/top.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *const sort_names[SORTS] = { "memory", "rss", "growth", "slow", "pid" };

static volatile sig_atomic_t ended;
static struct view view;
static struct table shown;		/* the table that was read last */
static bool on_screen;

/* The descriptors that interrupt a wait: keys, if there are any, and signals, each of which
 * writes a byte. */
static struct {
	int keys, signals[2];
} from = { .keys = -1 };

static void on_signal(int number)
{
	int kept = errno;

	(void)number;
	ended = 1;
	if (write(from.signals[1], "", 1) < 0)
		errno = kept;
}

/* POLLHUP: the terminal is gone. */
static short events(int fd)
{
	struct pollfd in = { .fd = fd, .events = POLLIN };

	return poll(&in, 1, 0) > 0 ? in.revents : 0;
}

/* True: a key or a signal ends the command. */
static bool read_keys(void)
{
	char byte;

	while (events(from.signals[0]) && read(from.signals[0], &byte, 1) == 1)
		;
	if (on_screen && screen_keys(&view) && shown.heap)
		screen_draw(&shown, &view);
	return ended || view.ended || (from.keys >= 0 && events(from.keys) & (POLLHUP | POLLERR));
}

/* The order of x and y: negative if x comes first. */
static int compare_sizes(size_t x, size_t y)
{
	return x < y ? 1 : x > y ? -1 : 0;
}

static double growth(const struct row *row)
{
	return (double)row->heap->s.all.in_use - (double)row->in_use_first;
}

static enum sort sorted_by;

/* The largest comes first; unreadable processes come last. */
static int by_sort(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int order = 0;

	if (x->heap->state != y->heap->state)
		return x->heap->state == HEAP_READ ? -1 : y->heap->state == HEAP_READ ? 1 : 0;
	switch (sorted_by) {
	case SORT_MEMORY: order = compare_sizes(x->heap->s.all.mapped, y->heap->s.all.mapped); break;
	case SORT_RSS: order = compare_sizes(x->rss, y->rss); break;
	case SORT_GROWTH: order = (growth(x) < growth(y)) - (growth(x) > growth(y)); break;
	case SORT_SLOW: order = (x->rate < y->rate) - (x->rate > y->rate); break;
	case SORT_PID: case SORTS: break;
	}
	return order ? order : (x->heap->pid > y->heap->pid) - (x->heap->pid < y->heap->pid);
}

void table_sort(struct table *t, enum sort sort)
{
	sorted_by = sort;
	qsort(t->row, t->count, sizeof *t->row, by_sort);
}

bool table_shows(const struct view *v, const struct row *row)
{
	return strcasestr(row->heap->command, v->filter);
}

static const struct row *same_process(const struct table *before, const struct heap *heap)
{
	unsigned i;

	for (i = 0; i < before->count; i++)
		if (before->row[i].heap->pid == heap->pid && before->row[i].heap->started == heap->started &&
		    before->row[i].heap->state == HEAP_READ && heap->state == HEAP_READ)
			return &before->row[i];
	return NULL;
}

static struct row new_row(const struct table *before, struct heap *heap, double seconds)
{
	const struct row *earlier = same_process(before, heap);
	struct row row = { .heap = heap, .in_use_first = heap->s.all.in_use, .rate = -1 };

	memory_quick(heap->pid, &row.rss, &row.anonymous);
	if (!earlier || heap_slow_paths(heap) < heap_slow_paths(earlier->heap))
		return row;
	row.in_use_first = earlier->in_use_first;
	row.rate = (double)(heap_slow_paths(heap) - heap_slow_paths(earlier->heap)) / seconds;
	return row;
}

/* The table has no heaps if the user ended the command meanwhile. */
static struct table take(const struct table *before)
{
	const struct reader watch = { .stop = read_keys, .watched = { from.keys, from.signals[0] } };
	struct table t = { 0 };
	unsigned i;

	t.heap = heaps_read_all(&t.count, &t.hidden, &watch);
	t.when = seconds_now();
	t.row = grow(NULL, (t.count + 1) * sizeof *t.row);
	for (i = 0; t.heap && i < t.count; i++) {
		t.row[i] = new_row(before, &t.heap[i], t.when - before->when);
		t.good += t.heap[i].state == HEAP_READ;
	}
	return t;
}

static void forget(struct table *t)
{
	if (t->heap)
		heaps_free(t->heap, t->count);
	free(t->row);
}

void table_summary(const struct table *t, char line[TOP_LINE])
{
	char failed[40] = "", hidden[60] = "";

	if (t->count > t->good)
		snprintf(failed, sizeof failed, ", %u not readable", t->count - t->good);
	if (t->hidden)
		snprintf(hidden, sizeof hidden, "; %u may not be looked at", t->hidden);
	snprintf(line, TOP_LINE, "hakmem top: %u process%s on HAKMEM%s%s", t->good, t->good == 1 ? "" : "es",
		 failed, hidden);
}

void table_head(char line[TOP_LINE])
{
	snprintf(line, TOP_LINE, "%7s %6s %6s %6s %6s %6s %6s %4s %7s %s", "PID", "RSS", "MAPPED", "IN USE", "GROWTH",
		 "CACHED", "FREE", "THR", "SLOW/S", "COMMAND");
}

void table_row(const struct row *r, char line[TOP_LINE])
{
	const struct heap *heap = r->heap;
	const struct hak_stats *a = &heap->s.all;
	char rate[24] = "-";

	if (r->rate >= 0)
		snprintf(rate, sizeof rate, "%.0f", r->rate);
	if (heap->state == HEAP_READ)
		snprintf(line, TOP_LINE, "%7d %6s %6s %6s %6s %6s %6s %4zu %7s %s", (int)heap->pid, SHORT(r->rss),
			 SHORT(a->mapped), SHORT(a->in_use), CHANGE(r->in_use_first, a->in_use), SHORT(a->cached),
			 SHORT(a->free_bytes), a->threads, rate, heap->command);
	else
		snprintf(line, TOP_LINE, "%7d %6s %s: %s", (int)heap->pid, SHORT(r->rss), heap->command, heap->why);
}

const char *table_none(const struct table *t)
{
	return t->count ? "no command contains this text" : "none yet; start one: hakmem run -- PROGRAM";
}

static void draw_plain(void)
{
	char line[TOP_LINE];
	unsigned i, rows = 0;

	table_summary(&shown, line);
	puts(line);
	table_head(line);
	printf("%s%s%s\n", ink(BOLD), line, ink(PLAIN));
	table_sort(&shown, view.sort);
	for (i = 0; i < shown.count; i++) {
		if (!table_shows(&view, &shown.row[i]))
			continue;
		table_row(&shown.row[i], line);
		puts(line);
		rows++;
	}
	if (!rows)
		puts(table_none(&shown));
	fflush(stdout);
}

/* True: it is time for the next frame. */
static bool wait_for(double delay)
{
	struct pollfd in[] = { { .fd = from.keys, .events = POLLIN }, { .fd = from.signals[0], .events = POLLIN } };
	double until = seconds_now() + delay, left;

	view.refresh = false;
	while (!read_keys()) {
		left = until - seconds_now();
		if (left <= 0 || view.refresh)
			return true;
		poll(in, 2, (int)(left * 1000) + 1);
	}
	return false;
}

/* Returns the number of frames. */
static unsigned loop(const struct args *a)
{
	double delay = a->delay > 0 ? a->delay : 2;
	unsigned frame = 0;
	struct table now;

	do {
		now = take(&shown);
		if (!now.heap) {
			forget(&now);
			break;
		}
		forget(&shown);
		shown = now;
		if (on_screen)
			screen_draw(&shown, &view);
		else
			draw_plain();
	} while (++frame != a->frames && !ferror(stdout) && wait_for(delay));
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
	sigaction(SIGQUIT, &act, NULL);
}

/* False: an error was printed. */
static bool view_from(const struct args *a)
{
	char *filter;
	unsigned i;

	for (i = 0; a->sort && i < SORTS && strcmp(a->sort, sort_names[i]) != 0; i++)
		;
	if (i == SORTS) {
		warn("top sorts by memory, rss, growth, slow or pid, not by \"%s\"", a->sort);
		return false;
	}
	view.sort = (enum sort)i;
	/* The names are made printable too, so the filter must be. */
	filter = printable(a->filter ? a->filter : "", sizeof view.filter);
	snprintf(view.filter, sizeof view.filter, "%s", filter);
	free(filter);
	return true;
}

static int top(int argc, char **argv)
{
	bool terminal = isatty(STDOUT_FILENO);
	struct args a;
	unsigned frames;
	int status;

	if (!args_read(&a, &command_top, argc, argv, &status))
		return status;
	if (a.argc)
		return fail(USAGE, "top takes no process; for one: hakmem stats %s", a.argv[0]);
	if (!view_from(&a))
		return USAGE;
	/* If the output is a file or a pipe, the default is one frame. */
	if (!terminal && !a.frames)
		a.frames = 1;
	catch();
	/* A single frame is printed, so that it remains on the terminal. */
	on_screen = terminal && a.frames != 1 && isatty(STDIN_FILENO) && screen_open();
	if (on_screen)
		from.keys = STDIN_FILENO;
	frames = loop(&a);
	if (on_screen) {
		screen_close();
		if (frames && frames == a.frames)
			draw_plain();
	}
	forget(&shown);
	return frames || terminal ? 0 : FOUND;
}

const struct command command_top = {
	"top", "dcSF", top, USAGE, "[-d SECONDS] [-c N] [--sort KEY] [--filter TEXT]",
	"live figures of all processes on HAKMEM",
	"Shows the processes on HAKMEM that you may look at, every two seconds. GROWTH is\n"
	"that of IN USE since top first saw the process, SLOW/S are trips to slow paths per\n"
	"second. Keys: h shows them all. In a pipe, or with -c 1: one picture.\n"
	"KEY is memory, rss, growth, slow or pid.",
};
