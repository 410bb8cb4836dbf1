/* hakmem run: starts a program with the library. It execs the program, so exit status,
 * signals and standard streams are those of the program. */
#include "cmd/verdict.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int run(int argc, char **argv)
{
	const char *preload = getenv("LD_PRELOAD");
	struct args a;
	struct verdict v;
	int status;
	char *path;

	if (!args_read(&a, &command_run, argc, argv, &status))
		return status;
	if (!a.argc)
		return fail(RUN_FAILED, "run needs a program, as in: hakmem run -- sort FILE");
	preload = preload ? text("%s", preload) : NULL;
	if (!launch_environment(&a))
		return RUN_FAILED;
	/* For such a program the dynamic linker would report that it cannot preload the
	 * library. */
	if (program_secure(a.argv[0]))
		preload_restore(preload);
	v = obstacle_of(a.argv[0], &path);
	if (path && v.what && v.present == ABSENT && !a.quiet)
		warn("note: %s will run without HAKMEM: %s; next: %s", a.argv[0], v.what, v.advice);
	if (v.present != ABSENT || !v.what)
		huge_pages_advised();
	execvp(a.argv[0], a.argv);
	status = program_error(a.argv[0], errno);
	return fail(status == ENOENT ? RUN_NOWHERE : RUN_CANNOT, "cannot run %s: %s",
		    a.argv[0], strerror(status));
}

const struct command command_run = {
	"run", "psfLq", run, RUN_FAILED,
	"[-p PROFILE] [-s NAME=VALUE] [-f FILE] [--] PROGRAM [ARGUMENT ...]",
	"run a program on HAKMEM",
	"Becomes the program, with the library preloaded. Settings that the environment\n"
	"already has stay in force and win over those of the profile. Of a file the\n"
	"settings of HAKMEM are used, and nothing else.\n"
	"Exit status: the program's; 125 bad options, 126 it cannot be run, 127 there is\n"
	"no such program.",
};
