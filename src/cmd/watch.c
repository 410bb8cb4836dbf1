/*
 * Observes the memory of a program and its descendants while it runs, and reads the rest that
 * is needed from /proc. A child of the command does this, because a read may block: the
 * command kills the child when the run is over. To disturb the program as little as possible,
 * each kind of reading takes at most one percent of the time. It takes more only if it would
 * otherwise happen less than once a second, or if processes start and end all the time.
 *
 * PSS is exact, but for a large process the kernel needs milliseconds to compute it. Between
 * two such readings the change of RSS is added, which is cheap, unless a process has started
 * or ended.
 */
#include "cmd/compare.h"

#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { MOST_PROCESSES = 4096, REST = 99 };

struct tree {
	pid_t pid[MOST_PROCESSES];
	unsigned count;
	double rss, largest_rss;
	pid_t largest;
};

size_t slurp(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t have = 0;
	ssize_t got;

	while (fd >= 0 && have < size - 1 && (got = read(fd, to + have, size - 1 - have)) > 0)
		have += (size_t)got;
	if (fd >= 0)
		close(fd);
	to[have] = 0;
	return have;
}

/* Calls use with the contents of a file of each thread of a process. */
static void each_thread(pid_t pid, const char *file, void (*use)(char *content, void *argument), void *argument)
{
	static char content[65536];
	struct dirent *entry;
	char path[96];
	DIR *threads;

	snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
	threads = opendir(path);
	while (threads && (entry = readdir(threads))) {
		snprintf(path, sizeof path, "/proc/%d/task/%.20s/%s", (int)pid, entry->d_name, file);
		if (isdigit((unsigned char)*entry->d_name) && slurp(path, content, sizeof content))
			use(content, argument);
	}
	if (threads)
		closedir(threads);
}

struct list {
	pid_t *pid;
	unsigned count;
};

static void add_to_list(char *content, void *argument)
{
	struct list *list = argument;
	char *end;

	for (; list->count < MOST_PROCESSES; content = end) {
		long child = strtol(content, &end, 10);

		if (end == content || child <= 0)
			break;
		list->pid = grow(list->pid, (list->count + 2) * sizeof *list->pid);
		list->pid[list->count++] = (pid_t)child;
	}
}

/* The kernel lists the children of each thread separately. */
pid_t *children_of(pid_t pid)
{
	struct list list = { grow(NULL, sizeof *list.pid), 0 };

	each_thread(pid, "children", add_to_list, &list);
	list.pid[list.count] = 0;
	return list.pid;
}

bool is_among(const pid_t *list, pid_t pid)
{
	while (*list && *list != pid)
		list++;
	return *list;
}

static double resident(pid_t pid)
{
	size_t rss, anonymous;

	memory_quick(pid, &rss, &anonymous);
	return (double)rss;
}

static void add(struct tree *t, pid_t pid)
{
	if (t->count < MOST_PROCESSES)
		t->pid[t->count++] = pid;
}

/* Processes that have ended have no memory. */
static void look_for_processes(struct tree *t, const struct watcher *what)
{
	pid_t own = getpid(), *list, *at;
	unsigned i, count = 0;

	t->count = 0;
	t->rss = t->largest_rss = 0;
	add(t, what->program);
	list = children_of(getppid());
	for (at = list; what->orphans && *at; at++)
		if (*at != own && *at != what->program && !is_among(what->apart, *at))
			add(t, *at);
	free(list);
	for (i = 0; i < t->count; i++) {
		double bytes = resident(t->pid[i]);

		list = children_of(t->pid[i]);
		for (at = list; *at; at++)
			add(t, *at);
		free(list);
		t->rss += bytes;
		if (bytes > t->largest_rss) {
			t->largest_rss = bytes;
			t->largest = t->pid[i];
		}
		if (bytes > 0)
			t->pid[count++] = t->pid[i];
	}
	t->count = count;
}

static bool same_processes(const struct tree *a, const struct tree *b)
{
	return a->count == b->count && !memcmp(a->pid, b->pid, a->count * sizeof *a->pid);
}

/* For processes whose PSS cannot be read (of other users, or not dumpable), RSS is used. */
static double proportional_of(const struct tree *t, bool *partly)
{
	struct rollup rollup;
	double sum = 0;
	unsigned i;

	for (i = 0; i < t->count; i++) {
		bool exact = rollup_read(t->pid[i], &rollup);
		double bytes = exact ? (double)rollup.pss : resident(t->pid[i]);

		*partly |= !exact && bytes > 0;
		sum += bytes;
	}
	return sum;
}

static void add_delay(char *content, void *argument)
{
	double *sum = argument, nanoseconds;

	if (sscanf(content, "%*s %lf", &nanoseconds) == 1)
		*sum += nanoseconds / 1e9;
}

/* How long the current processes were runnable without a processor. */
static double delay_of(const struct tree *t)
{
	double sum = 0;
	unsigned i;

	for (i = 0; i < t->count; i++)
		each_thread(t->pid[i], "schedstat", add_delay, &sum);
	return sum;
}

/* The dynamic linker maps preloaded libraries, and most others, before libc. So once libc is
 * mapped, the allocator is known. */
static bool look_at_mapping(const struct mapping *m, void *argument)
{
	struct identity *found = argument;

	found->ours |= is_library(m->path);
	if (allocator_of(m->path) >= 0)
		found->others |= 1u << allocator_of(m->path);
	found->valid |= strstr(m->path, "/libc.so.") || strstr(m->path, "/libc-2.");
	return false;
}

static void identify(const struct tree *t, struct identity *out)
{
	struct identity found = { 0 };

	if (maps_of_program(t->largest, found.program, look_at_mapping, &found) && found.valid)
		*out = found;
}

static void report(int out, const struct sight *s)
{
	if (write(out, s, sizeof *s) != (ssize_t)sizeof *s)
		_exit(0);
}

static void rest(double seconds)
{
	nanosleep(&(struct timespec){ (time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9) }, NULL);
}

/* The processor time of reading: the elapsed time would be longer on a busy machine. */
static double own_time(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* PSS, and RSS at about the same time. If processes start or end meanwhile, memory that they
 * share would be counted more than once, so they are read again. */
struct exact {
	double pss, rss, delay;
	bool partly;
};

static void read_exactly(struct exact *e, struct tree *now, const struct watcher *what)
{
	static struct tree after;
	unsigned tries;

	for (tries = 0; tries < 3; tries++) {
		e->pss = proportional_of(now, &e->partly);
		e->delay = fmax(e->delay, delay_of(now));
		look_for_processes(&after, what);
		e->rss = (now->rss + after.rss) / 2;
		if (same_processes(now, &after))
			break;
		*now = after;
	}
}

static _Noreturn void be_watcher(const struct watcher *what, struct identity *identity, int out)
{
	static struct tree now, before;
	const double began = seconds_now();
	struct exact exact = { 0 };
	double next = 0, largest = 0;
	bool ready = !what->ready;

	for (;;) {
		double cost = -own_time(), exact_cost = 0, pause;
		struct sight s = { .when = seconds_now() };
		bool changed;

		look_for_processes(&now, what);
		changed = !same_processes(&now, &before);
		if (now.count && (s.when >= next || changed)) {
			exact_cost = -own_time();
			read_exactly(&exact, &now, what);
			if (now.largest_rss >= largest) {
				largest = now.largest_rss;
				identify(&now, identity);
			}
			before = now;
			exact_cost += own_time();
			next = seconds_now() + REST * exact_cost;
			s.bytes = exact.pss;
		} else {
			s.bytes = exact.pss + now.rss - exact.rss;
		}
		if (now.count) {
			s.shared = exact.rss - exact.pss;
			s.delay = exact.delay;
			s.several = now.count > 1;
			s.partly = exact.partly;
			s.ready = ready = ready || is_ready(now.pid, now.count, s.when);
			report(out, &s);
		}
		cost += own_time() - (changed ? 0 : exact_cost);
		/* The pause is short at first and grows with the length of the run. */
		pause = fmin(fmax((s.when - began) / 500, 0.001), 0.02);
		rest(!ready ? 0.02 : fmin(fmax(pause, REST * cost), 1));
	}
}

bool watch_begin(struct watch *w, const struct watcher *what)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGCHLD };
	pid_t parent = getpid();
	int ends[2];
	unsigned i;

	w->child = w->in = -1;
	w->identity = mmap(NULL, sizeof *w->identity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (w->identity == MAP_FAILED || pipe2(ends, O_CLOEXEC) < 0)
		return false;
	w->child = fork();
	if (w->child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (i = 0; i < sizeof signals / sizeof *signals; i++)
			signal(signals[i], i ? SIG_DFL : SIG_IGN);
		if (getppid() == parent)
			be_watcher(what, w->identity, ends[1]);
		_exit(0);
	}
	close(ends[1]);
	w->in = ends[0];
	fcntl(w->in, F_SETFL, O_NONBLOCK);
	return w->child > 0;
}

void watch_end(struct watch *w)
{
	if (w->child > 0)
		kill(w->child, SIGKILL);
	if (w->in >= 0)
		close(w->in);
	if (w->identity != MAP_FAILED)
		munmap(w->identity, sizeof *w->identity);
	w->in = -1;
	w->identity = MAP_FAILED;
}
