/* hakmem compare: finds the profile that suits a program best. */
#include "cmd/compare.h"
#include "config/settings.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

enum { ROUNDS = 5, INTERRUPTED = 130 };

static const struct {
	const char *name, *soname;
} peers[] = {
	{ "jemalloc", "libjemalloc.so.2" },
	{ "mimalloc", "libmimalloc.so.2" },
	{ "tcmalloc", "libtcmalloc_minimal.so.4" },
};

static struct {
	struct args a;
	struct subject subject;
	struct contender *list;
	unsigned count, rounds, done;	/* done: complete rounds */
	int profile[HK_PROFILE_COUNT];
	unsigned profiles;
	char library[PATH_MAX];
	char *program;			/* the file that is run in the end */
	int other;			/* the allocator that the program has itself, or -1 */
	char *fault;			/* failure of the program as it is, or NULL */
	double began;
	unsigned runs;			/* so far; all_runs: in total */
	unsigned all_runs;
} this;

/* The user's environment without the variables that the comparison sets. */
static char **bare_environment(const char *preload, const char *profile)
{
	char **list = NULL;
	unsigned n = 0, i;

	for (i = 0; environ[i]; i++) {
		if (!strncmp(environ[i], "LD_PRELOAD=", 11) ||
		    (!strncmp(environ[i], "HAKMEM_", 7) && strncmp(environ[i], "HAKMEM_TEST_", 12) != 0))
			continue;
		list = grow(list, (n + 4) * sizeof *list);
		list[n++] = environ[i];
	}
	list = grow(list, (n + 4) * sizeof *list);
	if (preload)
		list[n++] = text("LD_PRELOAD=%s", preload);
	if (profile)
		list[n++] = text("HAKMEM_PROFILE=%s", profile);
	list[n] = NULL;
	return list;
}

static char **with_settings(char **list, char **set)
{
	unsigned n = 0;

	while (list[n])
		n++;
	for (; set && *set; set++) {
		list = grow(list, (n + 2) * sizeof *list);
		list[n++] = *set;
		list[n] = NULL;
	}
	return list;
}

static struct contender *add(enum kind kind, const char *name, const char *preload)
{
	struct contender *c;

	this.list = grow(this.list, (this.count + 1) * sizeof *this.list);
	c = &this.list[this.count++];
	*c = (struct contender){ .kind = kind, .name = text("%s", name), .other = -1 };
	c->environment = bare_environment(preload, kind == PROFILE ? name : NULL);
	c->run = calloc(this.rounds, sizeof *c->run);
	if (!c->run)
		exit(fail(RUN_FAILED, "out of memory"));
	return c;
}

static void add_profile(int profile)
{
	struct contender *c = add(PROFILE, hk_profile_table[profile].name, this.library);

	c->environment = with_settings(c->environment, this.a.set);
}

/* The profiles that the options name; false: one is unknown, which was reported. */
static bool choose_profiles(void)
{
	char *copy, *rest, *name;

	for (; !this.a.profile && this.profiles < HK_PROFILE_COUNT; this.profiles++)
		this.profile[this.profiles] = (int)this.profiles;
	if (!this.a.profile)
		return true;
	rest = copy = text("%s", this.a.profile);
	while ((name = strsep(&rest, ","))) {
		int profile = profile_find(name);

		if (profile < 0)
			return false;
		if (this.profiles < HK_PROFILE_COUNT)
			this.profile[this.profiles++] = profile;
	}
	free(copy);
	return true;
}

static void add_peers(void)
{
	char path[PATH_MAX];
	unsigned i;

	for (i = 0; this.a.peers && i < sizeof peers / sizeof *peers; i++) {
		int other = allocator_of(peers[i].soname);

		if (other == this.other)
			continue;
		if (linker_finds(peers[i].soname, path, sizeof path))
			add(PEER, peers[i].name, peers[i].soname)->other = other;
		else if (!this.a.quiet)
			warn("%s is not installed (%s): left out", peers[i].name, peers[i].soname);
	}
}

/* Adds the program as it is. If it brings an allocator of its own, glibc's malloc is added
 * too, with libc preloaded so that its definitions come first. */
static void add_base(void)
{
	char *name = this.other < 0 ? text("glibc") : text("as it is: %s", allocator_name(this.other));

	add(AS_IT_IS, name, NULL)->other = this.other;
	add(AGAIN, "the same again", NULL);
	free(name);
	if (this.other >= 0)
		add(C_LIBRARY, "glibc", "libc.so.6");
}

/* The first allocator in the list is the one that is used. */
static void note_allocator(const char *path, void *argument)
{
	int *other = argument;

	if (*other < 0)
		*other = allocator_of(path);
}

static int allocator_brought(const char *program)
{
	int other = -1;

	linker_list(program, note_allocator, &other);
	return other;
}

/* All runs read the same input from its start. */
static char *input_for_all(void)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	struct stat s;
	char block[65536];
	ssize_t got;
	int copy;

	if (isatty(STDIN_FILENO) || fstat(STDIN_FILENO, &s) < 0 || S_ISCHR(s.st_mode) || S_ISDIR(s.st_mode))
		return text("/dev/null");
	/* A file that another user opened may not be readable when it is opened again. */
	if (S_ISREG(s.st_mode) && access("/proc/self/fd/0", R_OK) == 0)
		return text("/proc/%d/fd/0", (int)getpid());
	if (!this.a.quiet && poll(&in, 1, 1000) == 0)
		warn("note: waiting for the end of standard input, which all runs get; </dev/null if there is none");
	copy = memfd_create("input", MFD_CLOEXEC);
	while ((got = read(STDIN_FILENO, block, sizeof block)) > 0)
		if (write(copy, block, (size_t)got) != got)
			break;
	return text("/proc/%d/fd/%d", (int)getpid(), copy);
}

static char *duration(double seconds)
{
	if (seconds < 90)
		return text("%.0f s", seconds);
	return seconds < 5400 ? text("%.0f min", seconds / 60) : text("%.1f h", seconds / 3600);
}

/* On a terminal, one line that is updated; otherwise a line for each round. */
static void progress(const char *stage, const char *name, bool new_round)
{
	char *left;

	if (this.a.quiet || (!isatty(STDERR_FILENO) && !new_round))
		return;
	left = this.runs ? duration((seconds_now() - this.began) / this.runs * (this.all_runs - this.runs)) : NULL;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, "\r\033[K%s: %s", stage, name);
	else
		fprintf(stderr, "%s", stage);
	if (left)
		fprintf(stderr, ", about %s left", left);
	if (!isatty(STDERR_FILENO))
		fputc('\n', stderr);
	fflush(stderr);
	free(left);
}

static void progress_end(void)
{
	if (!this.a.quiet && isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

static int lowest(uint32_t others)
{
	return others ? __builtin_ctz(others) : -1;
}

/* Was the allocator of this row in the program? A wrapper script between the command and the
 * program may have changed the environment. */
static char *stranger(const struct contender *c, const struct identity *who)
{
	bool good = c->kind == PROFILE ? who->ours : c->kind != PEER || (!who->ours && who->others >> c->other & 1);

	if (!who->valid || good)
		return NULL;
	return text("not measured: %s is in the process instead",
		    who->ours ? "HAKMEM" : allocator_name(lowest(who->others)));
}

static void complain(const struct contender *c, const struct run *r)
{
	char *shown = printable(this.a.argv[0], 200);

	progress_end();
	warn("%s: %s %s%s%s", c->name, shown, c->fault, r->words ? "\n" : "", r->words ? r->words : "");
	free(shown);
}

/* False: the user interrupted it, or it cannot continue. */
static bool measure_one(struct contender *c, struct run *r)
{
	if (!measure(r, &this.subject, c->environment))
		return false;
	this.runs++;
	if (!r->fault)
		r->fault = stranger(c, &r->identity);
	if (r->fault && !c->fault) {
		c->fault = text("%s", r->fault);
		if (!this.fault || strcmp(this.fault, c->fault) != 0)
			complain(c, r);
	}
	return true;
}

static bool run_round(unsigned round, const char *stage)
{
	unsigned i;

	for (i = 0; i < this.count; i++) {
		/* The order is rotated, so that no contender always runs after the same one. */
		struct contender *c = &this.list[(i + round) % this.count];

		progress(stage, c->name, i == 0);
		run_free(&c->run[round]);
		if (c->fault)
			this.all_runs--;
		else if (!measure_one(c, &c->run[round]))
			return false;
	}
	return true;
}

/* The plot shows only the last round. The other curves are freed, because a child of this
 * process starts with its size, which the kernel would report as the peak of a small program. */
static void forget_curves(unsigned round)
{
	unsigned i;

	for (i = 0; i < this.count; i++) {
		struct run *r = &this.list[i].run[round];

		free(r->curve);
		r->curve = NULL;
		r->samples = 0;
	}
}

static bool run_rounds(unsigned rounds, const char *format, bool count)
{
	unsigned round;
	char *stage;
	bool good = true;

	for (round = 0; round < rounds && good; round++) {
		stage = text(format, round + 1, rounds);
		good = run_round(count ? round : 0, stage);
		free(stage);
		this.done += count && good;
		if (count && good && round)
			forget_curves(round - 1);
	}
	return good;
}

/* What a script or a wrapper executes is known only while it runs. */
static void say_what_runs(const struct identity *who)
{
	char *given = program_find(this.a.argv[0]), *file = realpath(given, NULL), *runs = realpath(this.program, NULL);
	char *shown = printable(this.a.argv[0], 200), *by = printable(this.program, 200), *in;

	if (this.a.quiet || !file || !runs)
		return;
	in = who->valid && strcmp(who->program, runs) != 0 ? printable(who->program, 200) : NULL;
	progress_end();
	if (strcmp(file, runs) != 0)
		warn("note: %s is a script, run by %s%s%s", shown, by, in ? "; its largest process is " : "", in ? in : "");
	else if (in)
		warn("note: the largest process of %s is %s", shown, in);
	free(given);
	free(file);
	free(runs);
	free(shown);
	free(by);
	free(in);
}

/* If a server used almost no time, it was perhaps not the one that received the load. */
static void say_if_idle(const struct run *r)
{
	const double least_wall = 0.5, least_share = 0.01;

	if (this.a.quiet || r->figure[WALL] < least_wall || r->figure[CPU] >= least_share * r->figure[WALL])
		return;
	progress_end();
	warn("note: the server used %.3f s of CPU time for a load of %.1f s: does the load reach it?",
	     r->figure[CPU], r->figure[WALL]);
}

static bool is_program(const char *file)
{
	char *own = realpath(this.program, NULL);
	bool same = own && !strcmp(own, file);

	free(own);
	return same;
}

/* The program is on HAKMEM even without a profile, so no row would be what its name says.
 * Always returns false. */
static bool is_on_it(void)
{
	char *shown = printable(this.a.argv[0], 200);

	progress_end();
	warn("%s cannot be compared: it is on HAKMEM without a profile too, by a script that preloads it or by "
	     "/etc/ld.so.preload", shown);
	free(shown);
	return false;
}

/*
 * One run that does not count. It shows which allocator is in the process. If it is too short
 * for that, the list of the dynamic linker has to suffice. The linker is not asked about a
 * program that a process has chosen: it may belong to another user, and the linker would run
 * code that it names.
 */
static bool probe(void)
{
	struct contender first = { .name = text("as it is"), .environment = bare_environment(NULL, NULL) };
	struct run r;
	bool good;

	this.began = seconds_now();
	progress("warming up", "as it is", false);
	good = measure_one(&first, &r);
	if (good)
		say_what_runs(&r.identity);
	if (good && this.subject.load && !first.fault)
		say_if_idle(&r);
	if (good && r.identity.valid && r.identity.ours)
		return is_on_it();
	if (good && r.identity.valid && (r.identity.others || !is_program(r.identity.program)))
		this.other = lowest(r.identity.others);
	/* If the program fails, one round shows whether it fails with all allocators. */
	if (first.fault && this.subject.load)
		return false;
	this.fault = first.fault;
	if (first.fault)
		this.rounds = 1;
	run_free(&r);
	return good;
}

static void add_contenders(void)
{
	unsigned i;

	add_base();
	for (i = 0; i < this.profiles; i++)
		add_profile(this.profile[i]);
	add_peers();
	this.all_runs = this.count * (this.a.warmup + this.rounds) + 1;
}

/* Performs all runs; returns the share of the processors that other processes used meanwhile. */
static double run_all(void)
{
	struct use before = machine_use();

	if (run_rounds(this.a.warmup, "warming up, round %u of %u", false))
		run_rounds(this.rounds, "round %u of %u", true);
	progress_end();
	return used_by_others(&before);
}

static int write_all(const struct outcome *o)
{
	int status = 0;

	if (this.a.plot && !output_made(this.a.plot, plot, o))
		status = FOUND;
	if (this.a.markdown && !output_made(this.a.markdown, report_markdown, o))
		status = FOUND;
	if (this.a.json)
		report_json(o, this.a.argv);
	else
		report_table(o);
	return status;
}

/* If all fail in the same way, the cause is probably the program, not an allocator. */
static bool all_failed(void)
{
	unsigned i;
	char *shown;

	for (i = 0; i < this.count; i++)
		if (!this.list[i].fault || strcmp(this.list[i].fault, this.list[0].fault) != 0)
			return false;
	shown = printable(this.a.argv[0], 200);
	warn("%s %s under all of them", shown, this.list[0].fault);
	free(shown);
	return true;
}

static int conclude(double others)
{
	struct comparison c = { this.list, this.count, this.done, others };
	struct setting setting = describe(&this.a);
	struct advice advice;
	int status;
	unsigned i;

	if (all_failed())
		return FOUND;
	advice = judge(&c);
	status = write_all(&(struct outcome){ &c, &advice, &setting });
	for (i = 0; i < this.count; i++)
		if (this.list[i].fault)
			status = FOUND;
	return status;
}

static bool paths_good(void)
{
	const char *dot = this.a.plot ? strrchr(this.a.plot, '.') : NULL;

	if (this.a.plot && (!dot || strcmp(dot, ".svg") != 0)) {
		warn("--plot draws SVG: the file has to end in .svg, not as %s", this.a.plot);
		return false;
	}
	return (!this.a.plot || output_possible(this.a.plot)) &&
	       (!this.a.markdown || output_possible(this.a.markdown));
}

static int compare(int argc, char **argv)
{
	double others;
	int status;
	char *why;

	if (!args_read(&this.a, &command_compare, argc, argv, &status))
		return status;
	if (!this.a.argc)
		return fail(USAGE, "compare needs a program, as in: hakmem compare -- sort FILE");
	this.rounds = this.a.rounds ? this.a.rounds : ROUNDS;
	why = check_obstacle(this.a.argv[0]);
	if (why)
		return fail(USAGE, "%s cannot be compared: %s", this.a.argv[0], why);
	if (!paths_good() || !settings_good(this.a.set) || !choose_profiles() ||
	    !library_find(this.a.library, this.library, sizeof this.library))
		return USAGE;
	this.program = program_file(this.a.argv[0]);
	this.other = allocator_brought(this.program);
	this.subject = (struct subject){ this.a.argv, this.a.load, this.a.prepare, input_for_all() };
	measure_begin();
	if (!probe())
		return measure_interrupted() ? fail(INTERRUPTED, "interrupted before there is a figure") : FOUND;
	add_contenders();
	others = run_all();
	if (!this.done)
		return measure_interrupted() ? fail(INTERRUPTED, "interrupted before the first round was complete") : FOUND;
	if (measure_interrupted())
		warn("interrupted: complete rounds: %u of %u", this.done, this.rounds);
	else if (this.done < this.rounds)
		return FOUND;
	status = conclude(others);
	return measure_interrupted() ? INTERRUPTED : status;
}

const struct command command_compare = {
	"compare", "AsnPjoLlqRWM", compare, USAGE, "[-p A,B] [-n ROUNDS] [--peers] [--plot FILE] -- PROGRAM [ARGUMENT ...]",
	"which profile suits a program",
	"Runs the program as it is, twice, and under each profile in turn, several rounds,\n"
	"and says which profile suits it, or that there is no clear winner. Its output is\n"
	"dropped; each run gets the same standard input. A server is driven by --load: it\n"
	"is started, the command runs until it succeeds, and the server gets SIGTERM.\n"
	"Ctrl-C ends the measuring and shows the rounds that are complete.\n"
	"Exit status: 0 measured, 1 a run failed, 2 usage, 130 interrupted.",
};
