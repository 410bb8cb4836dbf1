#include "cmd/cmd.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const struct command *const commands[] = {
	&command_run, &command_profiles, &command_show, &command_diff, &command_lint,
	&command_config, &command_check, &command_doctor,
	&command_stats, &command_top, &command_profile, &command_set,
	&command_trim, &command_compare, &command_version,
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static const struct command *find(const char *name)
{
	unsigned i;

	for (i = 0; i < COMMANDS; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i];
	return NULL;
}

static void help(FILE *out)
{
	unsigned i;

	fprintf(out, "usage: hakmem COMMAND [option ...] [argument ...]\n\n");
	for (i = 0; i < COMMANDS; i++)
		fprintf(out, "  %-9s %s\n", commands[i]->name, commands[i]->brief);
	fprintf(out, "\nhakmem COMMAND --help tells about each, hakmem(1) about all.\n");
}

static int version(int argc, char **argv)
{
	struct args a;
	int status;

	if (!args_read(&a, &command_version, argc, argv, &status))
		return status;
	if (a.argc)
		return fail(USAGE, "version takes no argument");
	puts("hakmem " PACKAGE_VERSION);
	return 0;
}

const struct command command_version = {
	"version", "", version, USAGE, "", "the version of this command",
	"Shows the version of this command. The version of the library in a process:\n"
	"hakmem stats PID.",
};

static int unknown(const char *name)
{
	const char *names[COMMANDS + 1], *meant;
	unsigned i;

	for (i = 0; i < COMMANDS; i++)
		names[i] = commands[i]->name;
	names[COMMANDS] = NULL;
	meant = nearest(name, names);
	if (meant)
		return fail(USAGE, "there is no command \"%s\"; did you mean \"%s\"? See: hakmem --help", name, meant);
	warn("there is no command \"%s\"", name);
	help(stderr);
	return USAGE;
}

/* A file that is opened later must not get the descriptor of a closed standard stream. Reads
 * and writes on the placeholder that is opened here fail as on a closed descriptor, and
 * programs do not inherit it. */
static void keep_streams_closed(void)
{
	int fd;

	do
		fd = open("/", O_PATH | O_CLOEXEC);
	while (fd >= 0 && fd < STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

int main(int argc, char **argv)
{
	const char *name = argc > 1 ? argv[1] : "";
	const struct command *command = find(name);

	keep_streams_closed();
	if (command)
		return finish(command->run(argc - 1, argv + 1));
	if (!strcmp(name, "--version") || !strcmp(name, "-V"))
		return finish(command_version.run(1, argv));
	if (!strcmp(name, "help") && argc > 2 && find(argv[2])) {
		command_help(find(argv[2]));
		return finish(0);
	}
	if (!strcmp(name, "--help") || !strcmp(name, "-h") || !strcmp(name, "help")) {
		help(stdout);
		return finish(0);
	}
	if (*name)
		return unknown(name);
	help(stderr);
	return USAGE;
}
