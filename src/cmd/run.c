/* hakmem run: starts a program with the library. It execs the program, so exit status,
 * signals and standard streams are those of the program. */
#include "cmd/leaks.h"
#include "cmd/verdict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int become(const struct args *a)
{
	int status;

	execvp(a->argv[0], a->argv);
	status = program_error(a->argv[0], errno);
	return fail(status == ENOENT ? RUN_NOWHERE : RUN_CANNOT, "cannot run %s: %s",
		    a->argv[0], strerror(status));
}

/* Sets up this process for the program. False: an error was printed. */
static bool prepare(const struct args *a)
{
	const char *preload = getenv("LD_PRELOAD");
	struct verdict v;
	char *path;

	preload = preload ? text("%s", preload) : NULL;
	if (!launch_environment(a))
		return false;
	/* For such a program the dynamic linker would report that it cannot preload the
	 * library. */
	if (program_secure(a->argv[0]))
		preload_restore(preload);
	v = obstacle_of(a->argv[0], &path);
	if (path && v.what && v.present == ABSENT && !a->quiet)
		warn("note: %s will run without HAKMEM: %s; next: %s", a->argv[0], v.what, v.advice);
	if (v.present != ABSENT || !v.what)
		huge_pages_advised();
	return true;
}

static int run(int argc, char **argv)
{
	struct leaks leaks = { 0 };
	const char *wrong;
	struct args a;
	int status;

	if (!args_read(&a, &command_run, argc, argv, &status))
		return status;
	if (!a.argc)
		return fail(RUN_FAILED, "run needs a program, as in: hakmem run -- sort FILE");
	wrong = leaks_contradiction(&a);
	if (wrong)
		return fail(RUN_FAILED, "run: %s", wrong);
	if ((a.leaks && !leaks_begin(&leaks, &a)) || !prepare(&a)) {
		leaks_end(&leaks);
		return RUN_FAILED;
	}
	return a.leaks ? leaks_run(&leaks, &a, become) : become(&a);
}

const struct command command_run = {
	"run", "psfLqDUIHX", run, RUN_FAILED,
	"[-p PROFILE] [-s NAME=VALUE] [-f FILE] [--leaks] [--] PROGRAM [ARGUMENT ...]",
	"run a program on HAKMEM",
	"Becomes the program, with the library preloaded. Settings that the environment\n"
	"already has stay in force and win over those of the profile. Of a file the\n"
	"settings of HAKMEM are used, and nothing else.\n"
	"With --leaks the program runs as a child, and at its exit the calls that allocated\n"
	"what is left are shown on standard error, estimated from samples.\n"
	"Exit status: the program's; 125 bad options, 126 it cannot be run, 127 there is\n"
	"no such program; with --leaks, if the program's is 0: 23 something is left, 125 it\n"
	"is not known.",
};
