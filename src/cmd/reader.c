/*
 * Reads other processes, each in a separate child. Code that reads a process may crash or
 * block forever: a page of its memory may never be delivered (userfaultfd), and a path may
 * lead to a file system that the process serves. So the child has resource limits, replies
 * with one record of fixed size, and is killed after a second. On a busy machine, the time in
 * which it waits for a processor does not count.
 *
 * The parent does not wait for a child to end. A child that the kernel cannot kill, for
 * example during a call to a FUSE server, remains. Its process is not read again until that
 * child has ended, not even by another command: the name of the child contains the process
 * id. The child keeps no file of the caller open, because cron and pipelines wait until the
 * last one is closed.
 */
#include "cmd/reader.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { AT_ONCE = 4 };
/* Seconds that a child may take, and the same with the time in which it waits for a processor. */
static const double most = 0.95, enough = 0.75, most_waiting = 5, look_again = 0.05;
#define NAME "hakmem:"
#define MOST_MEMORY ((size_t)256 << 20)

struct reading {
	pid_t pid, child;
	int in;
	double began, until;		/* until: when to look at its time */
	double patience;
	size_t have;
	char *reply;
};

/* Seconds in which a process has run, and in which it has waited for a processor before it ran; 0
 * if the kernel does not count them. */
static void times_of(const char *id, double *ran, double *waited)
{
	char *path = text("/proc/%s/schedstat", id), *line = file_line(path);

	*ran = *waited = 0;
	if (line && sscanf(line, "%lf %lf", ran, waited) == 2) {
		*ran /= 1e9;
		*waited /= 1e9;
	}
	free(path);
	free(line);
}

static double child_began;

bool reader_late(double share)
{
	double most_now = share * enough, spent = seconds_now() - child_began, ran, waited;

	if (!child_began || spent <= most_now)
		return false;
	times_of("self", &ran, &waited);
	return spent - waited > most_now || spent > most_now / most * most_waiting;
}

#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
#define SANITIZED 1		/* sanitizers need unlimited address space */
#elif defined __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* Children that were killed and have not ended yet. */
static pid_t *ending;
static unsigned endings;

static void leave(pid_t child)
{
	ending = grow(ending, (endings + 1) * sizeof *ending);
	ending[endings++] = child;
}

static void reap(void)
{
	unsigned i;

	for (i = endings; i-- > 0; )
		if (waitpid(ending[i], NULL, WNOHANG))
			ending[i] = ending[--endings];
}

/* Processes whose reader could not be killed, whether this command or another one started it. */
static pid_t *held;
static unsigned holds;

static bool is_held(pid_t pid)
{
	unsigned i;

	for (i = 0; i < holds && held[i] != pid; i++)
		;
	return i < holds;
}

static char *program_of(const char *id)
{
	char *link = text("/proc/%s/exe", id), path[PATH_MAX];
	ssize_t length = readlink(link, path, sizeof path);

	free(link);
	return length > 0 ? text("%.*s", (int)length, path) : NULL;
}

/* If this process is a reader that has exceeded its time, returns the id of the process that
 * it reads; otherwise 0. Any process can take such a name, so the user and the program are
 * compared too. */
static pid_t reads_too_long(const char *id)
{
	char *directory = text("/proc/%s", id), *path = text("%s/stat", directory), *line = file_line(path);
	char *program = NULL, *own = NULL;
	unsigned long long started;
	struct timespec now;
	struct stat s;
	char state;
	int pid;

	clock_gettime(CLOCK_BOOTTIME, &now);
	if (!line || sscanf(line, "%*d (" NAME "%d) %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
			    "%*s %*s %llu", &pid, &state, &started) != 3 ||
	    stat(directory, &s) < 0 || s.st_uid != geteuid() ||
	    (double)now.tv_sec - (double)started / (double)sysconf(_SC_CLK_TCK) <
		    1 + (state == 'R' ? most_waiting : 2 * most) ||
	    !(program = program_of(id)) || !(own = program_of("self")) || strcmp(program, own) != 0)
		pid = 0;
	free(directory);
	free(path);
	free(line);
	free(program);
	free(own);
	return pid;
}

static void find_held(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	pid_t pid;

	holds = 0;
	while (proc && (entry = readdir(proc))) {
		pid = isdigit((unsigned char)*entry->d_name) ? reads_too_long(entry->d_name) : 0;
		if (!pid)
			continue;
		held = grow(held, (holds + 1) * sizeof *held);
		held[holds++] = pid;
	}
	if (proc)
		closedir(proc);
}

/* This many processes of a user may use their whole time. After that, each process of the
 * same user gets an eighth of it; otherwise a thousand of them would delay the others for
 * minutes. */
enum { MOST_LATE = 4 };
static uid_t *late;
static unsigned lates;

static uid_t user_of(pid_t pid)
{
	char *path = text("/proc/%d", (int)pid);
	struct stat s = { 0 };

	stat(path, &s);
	free(path);
	return s.st_uid;
}

static void note_late(pid_t pid)
{
	late = grow(late, (lates + 1) * sizeof *late);
	late[lates++] = user_of(pid);
}

static double patience(pid_t pid)
{
	uid_t user = user_of(pid);
	unsigned i, count = 0;

	for (i = 0; i < lates; i++)
		count += late[i] == user;
	return count < MOST_LATE ? most : most / 8;
}

static void set_limit(int which, rlim_t value)
{
	setrlimit(which, &(struct rlimit){ value, value });
}

/* All signals stay blocked until the parent's handlers are gone: that of ncurses would use
 * the terminal. Ctrl-C reaches the child too, but what it means is for the parent to decide,
 * which may want the figures still. If the parent ends, so does the child. */
void child_confine(const char *name, int out, const sigset_t *mask, unsigned cpu, size_t memory)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH, SIGPIPE };
	const unsigned ignored = 5;
	int nothing, fd;
	unsigned i;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, name);
	for (i = 0; i < sizeof signals / sizeof *signals; i++)
		signal(signals[i], i < ignored ? SIG_IGN : SIG_DFL);
	sigprocmask(SIG_SETMASK, mask, NULL);
	dup2(out, CHILD_OUT);
	nothing = open("/dev/null", O_RDWR);
	for (fd = 0; fd < CHILD_OUT; fd++)
		dup2(nothing, fd);
	if (syscall(SYS_close_range, CHILD_OUT + 1u, ~0u, 0) < 0)
		for (fd = CHILD_OUT + 1; fd < 1024; fd++)
			close(fd);
	set_limit(RLIMIT_CORE, 0);
	set_limit(RLIMIT_CPU, cpu);
#ifndef SANITIZED
	set_limit(RLIMIT_AS, memory);
#else
	(void)memory;
#endif
}

static void be_child(pid_t pid, int out, const sigset_t *mask)
{
	char name[16];

	child_began = seconds_now();
	snprintf(name, sizeof name, NAME "%d", (int)pid);
	child_confine(name, out, mask, 2, MOST_MEMORY);
}

pid_t child_start(sigset_t *mask)
{
	sigset_t every;
	pid_t child;

	fflush(stdout);
	sigfillset(&every);
	sigprocmask(SIG_BLOCK, &every, mask);
	child = fork();
	if (child)
		sigprocmask(SIG_SETMASK, mask, NULL);
	return child;
}

static void child(const struct reader *r, pid_t pid, int out, const sigset_t *mask)
{
	char *reply = grow(NULL, r->size);
	size_t done = 0;
	ssize_t n;

	be_child(pid, out, mask);
	memset(reply, 0, r->size);
	r->read(pid, reply);
	while (done < r->size && (n = write(CHILD_OUT, reply + done, r->size - done)) > 0)
		done += (size_t)n;
	_exit(0);
}

/* False: no child was started, and done was called with the reason. */
static bool begin(struct reading *now, const struct reader *r, pid_t pid)
{
	sigset_t mask;
	int ends[2];

	if (is_held(pid)) {
		r->done(pid, NULL, "an earlier reader of it cannot be ended", r->argument);
		return false;
	}
	*now = (struct reading){ .pid = pid, .child = -1, .began = seconds_now(), .patience = patience(pid) };
	now->until = now->began + now->patience;
	if (pipe2(ends, O_CLOEXEC) == 0) {
		now->child = child_start(&mask);
		if (now->child == 0)
			child(r, pid, ends[1], &mask);
		close(ends[1]);
		now->in = ends[0];
		fcntl(now->in, F_SETFL, O_NONBLOCK);
	}
	if (now->child < 0) {
		r->done(pid, NULL, strerror(errno), r->argument);
		return false;
	}
	now->reply = grow(NULL, r->size + 1);
	return true;
}

static void end(struct reading *now)
{
	kill(now->child, SIGKILL);
	leave(now->child);
	close(now->in);
	free(now->reply);
}

/* The kernel does not count yet how long a child has been waiting that is waiting now. */
static bool is_late(struct reading *now)
{
	double time = seconds_now(), ran, waited;
	char *id;

	if (time <= now->until)
		return false;
	id = text("%d", (int)now->child);
	times_of(id, &ran, &waited);
	if (process_runs(now->child) && ran < now->patience)
		now->until = time + look_again;
	else
		now->until = now->began + now->patience + waited;
	free(id);
	return time > now->until || time > now->began + now->patience / most * most_waiting;
}

/* True: the child is finished, and done was called. */
static bool proceed(struct reading *now, const struct reader *r)
{
	const char *fault = NULL;
	ssize_t got;

	/* Reads everything available, because this process may have been stopped for a while. */
	while ((got = read(now->in, now->reply + now->have, r->size + 1 - now->have)) > 0)
		now->have += (size_t)got;
	if (got == 0 || now->have > r->size)
		fault = now->have == r->size ? NULL : "the reader of it crashed";
	else if (is_late(now))
		fault = "reading it takes too long";
	else
		return false;
	r->done(now->pid, fault ? NULL : now->reply, fault, r->argument);
	if (got < 0)
		note_late(now->pid);
	end(now);
	return true;
}

/* False: the caller must stop. */
static bool wait_for_some(const struct reading *now, unsigned count, const struct reader *r)
{
	struct pollfd in[AT_ONCE + MOST_WATCHED];
	double left = most, one;
	unsigned i;

	for (i = 0; i < count; i++) {
		in[i] = (struct pollfd){ .fd = now[i].in, .events = POLLIN };
		one = now[i].until - seconds_now();
		left = one < left ? one : left;
	}
	for (i = 0; r->stop && i < MOST_WATCHED; i++)
		in[count + i] = (struct pollfd){ .fd = r->watched[i], .events = POLLIN };
	poll(in, count + (r->stop ? MOST_WATCHED : 0), left > 0 ? (int)(left * 1000) + 1 : 0);
	return !r->stop || !r->stop();
}

bool reader_run(const struct reader *r, const pid_t *pid, unsigned count)
{
	struct reading now[AT_ONCE];
	unsigned running = 0, next = 0, i;

	reap();
	find_held();
	lates = 0;
	while (running || next < count) {
		while (running < AT_ONCE && next < count)
			running += begin(&now[running], r, pid[next++]);
		if (running && !wait_for_some(now, running, r)) {
			while (running)
				end(&now[--running]);
			return false;
		}
		for (i = running; i-- > 0; )
			if (proceed(&now[i], r))
				now[i] = now[--running];
		reap();
	}
	return true;
}
