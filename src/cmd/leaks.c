/* hakmem run --leaks: the library samples the program and writes a heap profile at its exit. */
#include "cmd/leaks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROWS = 20, LEAK_STATUS = 23, MOST_FOLDER = 200 };
/* Of blocks of 4 KiB, 63 % are sampled. */
static const char usual_rate[] = "4096";

const char *leaks_contradiction(const struct args *a)
{
	if (!a->leaks && (a->suppressions || a->leak_status_given || a->rate || a->rows_given))
		return "--suppressions, --leak-status, --rate and --rows need --leaks";
	if (a->rate && !profile_rate_good(a->rate))
		return "--rate takes bytes, up to 1073741824";
	return NULL;
}

/* The setting takes printable ASCII of limited length, in which % is special. The program may
 * change its directory, so that the path must be absolute. */
static const char *place(void)
{
	const char *given = getenv("TMPDIR"), *c = given;

	while (c && *c > ' ' && *c <= '~' && *c != '%')
		c++;
	return given && *given == '/' && !*c && c - given <= MOST_FOLDER ? given : "/tmp";
}

bool leaks_begin(struct leaks *leaks, struct args *a)
{
	*leaks = (struct leaks){ 0 };
	if (!suppressions_read(&leaks->suppressions, a->suppressions))
		return false;
	leaks->folder = text("%s/hakmem-leaks-XXXXXX", place());
	if (!mkdtemp(leaks->folder)) {
		warn("cannot make a directory in %s: %s", place(), strerror(errno));
		free(leaks->folder);
		leaks->folder = NULL;
		return false;
	}
	args_add_setting(a, text("HAKMEM_SAMPLE=%s", a->rate ? a->rate : usual_rate));
	args_add_setting(a, text("HAKMEM_SAMPLE_DUMP=%s/%%p", leaks->folder));
	return true;
}

static void empty(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;

	while (folder && (entry = readdir(folder)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			unlinkat(dirfd(folder), entry->d_name, 0);
	if (folder)
		closedir(folder);
}

void leaks_end(struct leaks *leaks)
{
	enum { TIMES = 8 };
	unsigned i;

	suppressions_free(&leaks->suppressions);
	if (!leaks->folder)
		return;
	/* Processes that the program has started may still write their profiles. */
	for (i = 0; i < TIMES; i++) {
		empty(leaks->folder);
		if (rmdir(leaks->folder) == 0 || errno != ENOTEMPTY)
			break;
	}
	if (access(leaks->folder, F_OK) == 0)
		warn("cannot remove %s", leaks->folder);
	free(leaks->folder);
	leaks->folder = NULL;
}

static void say_one(const struct suppression *one, const char *by, const char *built_in)
{
	if (one->stacks)
		warn("suppressed: %s, in %zu call stack%s, by %s%s", SIZE(size_of_double(one->bytes)), one->stacks,
		     plural((double)one->stacks), by, built_in);
}

static void say_suppressed(const struct suppressions *s)
{
	size_t i;

	for (i = 0; i < s->count; i++) {
		char *by = text("leak:%s", s->list[i].pattern);

		say_one(&s->list[i], by, s->list[i].module ? " (built in)" : "");
		free(by);
	}
	say_one(&s->linker, "the dynamic linker", " (built in)");
}

static bool is_left(const struct profile *p)
{
	struct row total, *row;
	size_t count;

	row = profile_rows(p, VIEW_LIVE, &count, &total);
	free(row);
	return count;
}

/* False: there is no profile; otherwise *left says whether there are leaks. */
static bool report(struct leaks *leaks, const struct args *a, pid_t pid, bool *left)
{
	char *path = text("%s/%d", leaks->folder, (int)pid);
	struct profile p = { 0 };
	struct shown shown = { .profile = &p, .view = VIEW_LIVE, .rows = a->rows_given ? a->rows : ROWS };
	bool good = access(path, F_OK) == 0 && profile_load(&p, path);

	free(path);
	if (good) {
		free(p.name);
		path = printable(a->argv[0], 256);
		p.name = text("%s at its exit", path);
		free(path);
		profile_symbolize(&p);
		suppressions_apply(&leaks->suppressions, &p);
		*left = is_left(&p);
		if (*left)
			profile_write_table(stderr, &shown);
		else if (!a->quiet)
			warn("no sampled block is left at the exit of %s; samples are one every %s on average", a->argv[0],
			     SIZE(size_of_double((double)p.mean)));
		if (!a->quiet)
			say_suppressed(&leaks->suppressions);
	}
	profile_free(&p);
	return good;
}

static void say_missing(const struct args *a, int status)
{
	if (WIFSIGNALED(status))
		warn("%s was ended by signal %d, so that it wrote no heap profile: leaks are not known", a->argv[0],
		     WTERMSIG(status));
	else
		warn("%s wrote no heap profile: leaks are not known; it ended by _exit, or runs without the library "
		     "(see hakmem check)", a->argv[0]);
}

int leaks_run(struct leaks *leaks, const struct args *a, int (*become)(const struct args *a))
{
	struct child child = child_run(a, become);
	bool left = false, known;
	int status = child.failed;

	if (!status) {
		known = report(leaks, a, child.pid, &left);
		if (!known)
			say_missing(a, child.status);
		status = WEXITSTATUS(child.status);
		if (!status && left)
			status = a->leak_status_given ? (int)a->leak_status : LEAK_STATUS;
		else if (!status && !known)
			status = RUN_FAILED;
	}
	leaks_end(leaks);
	if (!child.failed && WIFSIGNALED(child.status)) {
		child_signal(WTERMSIG(child.status));
		status = 128 + WTERMSIG(child.status);
	}
	return status;
}
