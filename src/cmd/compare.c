/* hakmem compare: which profile is mine? */
#include "cmd/compare.h"
#include "config/settings.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

enum { ROUNDS = 5 };

static const struct {
	const char *name, *soname;
} peers[] = {
	{ "jemalloc", "libjemalloc.so.2" },
	{ "mimalloc", "libmimalloc.so.2" },
	{ "tcmalloc", "libtcmalloc_minimal.so.4" },
};

static struct {
	struct args a;
	struct contender *list;
	unsigned count, rounds;
	char *input;
} this;

/* The user's environment without what this comparison is about. */
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

static void add(const char *name, int profile, const char *preload)
{
	const char *of_profile = profile >= 0 ? name : NULL;
	struct contender *c;

	this.list = grow(this.list, (this.count + 1) * sizeof *this.list);
	c = &this.list[this.count++];
	*c = (struct contender){ .name = text("%s", name), .profile = profile };
	c->environment = bare_environment(preload, of_profile);
	if (profile >= 0)
		c->environment = with_settings(c->environment, this.a.set);
	c->run = grow(NULL, this.rounds * sizeof *c->run);
}

static bool add_profiles(const char *library)
{
	char *copy, *rest, *name;
	unsigned i;

	for (i = 0; !this.a.profile && i < HK_PROFILE_COUNT; i++)
		add(hk_profile_table[i].name, (int)i, library);
	if (!this.a.profile)
		return true;
	rest = copy = text("%s", this.a.profile);
	while ((name = strsep(&rest, ","))) {
		int profile = profile_find(name);

		if (profile < 0)
			return false;
		add(name, profile, library);
	}
	free(copy);
	return true;
}

static bool add_contenders(void)
{
	char library[PATH_MAX], path[PATH_MAX];
	unsigned i;

	if (!settings_good(this.a.set) || !library_find(this.a.library, library, sizeof library))
		return false;
	add("glibc", -1, NULL);
	if (!add_profiles(library))
		return false;
	for (i = 0; this.a.peers && i < sizeof peers / sizeof *peers; i++) {
		if (linker_finds(peers[i].soname, path, sizeof path))
			add(peers[i].name, -1, peers[i].soname);
		else if (!this.a.quiet)
			warn("%s is not installed (%s): left out", peers[i].name, peers[i].soname);
	}
	return true;
}

/* Every run reads the same input from its start. */
static char *input_for_all(void)
{
	struct stat s;
	char block[65536];
	ssize_t got;
	int copy;

	if (isatty(STDIN_FILENO) || fstat(STDIN_FILENO, &s) < 0 || S_ISCHR(s.st_mode))
		return text("/dev/null");
	if (S_ISREG(s.st_mode))
		return text("/proc/%d/fd/0", (int)getpid());
	copy = memfd_create("input", MFD_CLOEXEC);
	while ((got = read(STDIN_FILENO, block, sizeof block)) > 0)
		if (write(copy, block, (size_t)got) != got)
			break;
	return text("/proc/%d/fd/%d", (int)getpid(), copy);
}

static void progress(unsigned round, const char *name, bool last)
{
	if (this.a.quiet)
		return;
	if (isatty(STDERR_FILENO))
		fprintf(stderr, last ? "\r\033[K" : "\r\033[Kround %u of %u: %s", round, this.rounds, name);
	else if (!strcmp(name, this.list[0].name) && round)
		fprintf(stderr, "round %u of %u\n", round, this.rounds);
	fflush(stderr);
}

/* False: the program cannot be run at all. */
static bool run_all(void)
{
	struct run first;
	unsigned round, i;

	progress(0, "warming up", false);
	first = measure(this.a.argv, &this.list[0], this.a.load, this.input);
	free(first.curve);
	if (this.a.load && first.status) {
		progress(0, "", true);
		warn("the load does not succeed with glibc either: try it by hand while %s runs", this.a.argv[0]);
		return false;
	}
	for (round = 0; round < this.rounds; round++)
		for (i = 0; i < this.count; i++) {
			/* Nobody is always first after another. */
			struct contender *c = &this.list[(i + round) % this.count];

			progress(round + 1, c->name, false);
			c->run[round] = measure(this.a.argv, c, this.a.load, this.input);
			if (c->run[round].status != first.status) {
				progress(0, "", true);
				warn("%s: %s ended with status %d, not %d", c->name, this.a.argv[0],
				     c->run[round].status, first.status);
				c->broken = true;
			}
		}
	progress(0, "", true);
	if (first.status && !this.a.quiet)
		warn("note: %s ends with status %d under all of them", this.a.argv[0], first.status);
	return true;
}

static const struct {
	const char *name, *head;
	double unit;
	int places;
} columns[FIGURES] = {
	{ "wall_seconds", "wall s", 1, 3 },
	{ "cpu_seconds", "CPU s", 1, 3 },
	{ "peak_rss_bytes", "peak MiB", 1 << 20, 1 },
	{ "average_rss_bytes", "average MiB", 1 << 20, 1 },
	{ "page_faults", "faults", 1, 0 },
};

static void table(const struct advice *advice)
{
	unsigned i, f;

	printf("%s%-10s", ink(BOLD), "");
	for (f = 0; f < FIGURES; f++)
		printf(" %15s", columns[f].head);
	printf("%s\n", ink(PLAIN));
	for (i = 0; i < this.count; i++) {
		const struct contender *c = &this.list[i];

		printf("%s%-10s", ink((int)i == advice->best ? GOOD : c->broken ? BAD : PLAIN), c->name);
		for (f = 0; f < FIGURES; f++)
			printf(" %10.*f +-%2.0f%%", columns[f].places, median_of(c, this.rounds, f) / columns[f].unit,
			       spread_of(c, this.rounds, f) * 100);
		printf("%s%s\n", c->broken ? "  FAILED" : "", ink(PLAIN));
	}
}

static json_t *figures_json(const struct contender *c)
{
	json_t *object = json_pack("{ss sb sb}", "name", c->name, "profile", c->profile >= 0, "failed", c->broken);
	unsigned f, i;

	for (f = 0; f < FIGURES; f++) {
		json_t *runs = json_array();

		for (i = 0; i < this.rounds; i++)
			json_array_append_new(runs, json_real(c->run[i].figure[f]));
		json_object_set_new(object, columns[f].name, json_pack("{sf sf so}", "median",
			median_of(c, this.rounds, f), "spread", spread_of(c, this.rounds, f), "runs", runs));
	}
	return object;
}

static void as_json(const struct advice *advice)
{
	json_t *list = json_array(), *program = json_array();
	int i;

	for (i = 0; i < (int)this.count; i++)
		json_array_append_new(list, figures_json(&this.list[i]));
	for (i = 0; i < this.a.argc; i++)
		json_array_append_new(program, json_string(this.a.argv[i]));
	print_json(json_pack("{si so si so ss? ss}", "schema", 1, "program", program, "rounds", (int)this.rounds,
			     "contenders", list, "recommended",
			     advice->best < 0 ? NULL : this.list[advice->best].name, "reason", advice->reason));
}

static void report(const struct advice *advice)
{
	table(advice);
	if (median_of(&this.list[0], this.rounds, WALL) < 0.05)
		printf("\n%sa run is shorter than 0.05 s: starting counts more than the program; give it more work%s\n",
		       ink(BAD), ink(PLAIN));
	else if (spread_of(&this.list[0], this.rounds, WALL) > 0.1)
		printf("\n%sthe machine is busy, or the program differs from run to run: take more rounds (-n %u)%s\n",
		       ink(BAD), 3 * this.rounds, ink(PLAIN));
	printf("\nmedian of %u rounds, +- half the distance between the quartiles\n", this.rounds);
	printf("%s%s%s\n", ink(BOLD), advice->reason, ink(PLAIN));
	if (advice->best < 0)
		return;
	if (this.a.set)
		printf("with the settings of -s after it, the line for the unit file, in [Service]:\n");
	else
		printf("the line for the unit file, in [Service]:\n");
	printf("EnvironmentFile=/etc/hakmem/%s.env\n", this.list[advice->best].name);
}

static int compare(int argc, char **argv)
{
	struct advice advice;
	unsigned i;
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
	if ((this.a.plot && !can_plot(this.a.plot)) || !add_contenders())
		return USAGE;
	this.input = input_for_all();
	if (!run_all())
		return FOUND;
	advice = judge(this.list, this.count, this.rounds);
	if (this.a.plot && !plot(this.a.plot, this.list, this.count, this.rounds - 1, this.a.argv[0]))
		status = FOUND;
	if (this.a.json)
		as_json(&advice);
	else
		report(&advice);
	for (i = 0; i < this.count; i++)
		if (this.list[i].broken)
			status = FOUND;
	return status;
}

const struct command command_compare = {
	"compare", "AsnPjoLlq", compare, USAGE, "[-p A,B] [-n ROUNDS] [--peers] [--plot FILE] -- PROGRAM [ARGUMENT ...]",
	"which profile suits a program",
	"Runs the program under glibc and each profile in turn, several rounds, and says\n"
	"which profile suits it, or that there is no clear winner. Its output is dropped;\n"
	"each run gets the same standard input. A server is driven by --load: it is\n"
	"started, the command runs until it succeeds, and the server gets SIGTERM.\n"
	"Exit status: 0 measured, 1 a run failed, 2 usage.",
};
