/* The options of all subcommands, in one table, so that a letter means the same in each of
 * them. */
#include "cmd/cmd.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

static const struct row {
	struct option option;
	const char *value, *help;
} rows[] = {
	{ { "profile", required_argument, NULL, 'p' }, "NAME", "the profile; see hakmem profiles" },
	{ { "profiles", required_argument, NULL, 'A' }, "A,B", "only these profiles" },
	{ { "set", required_argument, NULL, 's' }, "NAME=VALUE", "a setting, with or without HAKMEM_ before it" },
	{ { "file", required_argument, NULL, 'f' }, "FILE", "settings of a file, as /etc/hakmem/*.env" },
	{ { "library", required_argument, NULL, 'L' }, "FILE", "this library instead of the installed one" },
	{ { "rounds", required_argument, NULL, 'n' }, "N", "rounds" },
	{ { "peers", no_argument, NULL, 'P' }, "", "installed jemalloc, mimalloc, tcmalloc too" },
	{ { "load", required_argument, NULL, 'l' }, "COMMAND", "drive the program, a server, by this command" },
	{ { "prepare", required_argument, NULL, 'R' }, "COMMAND", "run this command before each run" },
	{ { "warmup", required_argument, NULL, 'W' }, "N", "rounds before those that count" },
	{ { "plot", required_argument, NULL, 'o' }, "FILE", "draw memory over time, as SVG" },
	{ { "export-markdown", required_argument, NULL, 'M' }, "FILE", "write the table as Markdown too" },
	{ { "delay", required_argument, NULL, 'd' }, "SECONDS", "time between two pictures or lines" },
	{ { "wait", required_argument, NULL, 't' }, "SECONDS", "how long to wait for the process, 5 by default" },
	{ { "frames", required_argument, NULL, 'c' }, "N", "end after this number of pictures or lines" },
	{ { "sort", required_argument, NULL, 'S' }, "KEY", "the order of the rows" },
	{ { "filter", required_argument, NULL, 'F' }, "TEXT", "only commands that contain this" },
	{ { "watch", no_argument, NULL, 'w' }, "", "a line now and then, until the process ends" },
	{ { "names", no_argument, NULL, 'N' }, "", "names only" },
	{ { "json", no_argument, NULL, 'j' }, "", "write JSON" },
	{ { "prometheus", no_argument, NULL, 'm' }, "", "write a Prometheus textfile" },
	{ { "output", required_argument, NULL, 'O' }, "FILE", "write to this file, replaced atomically" },
	{ { "output", required_argument, NULL, 'G' }, "FILE", "write to this file, replaced atomically" },
	{ { "live", no_argument, NULL, 'V' }, "", "the blocks in use (the default)" },
	{ { "allocated", no_argument, NULL, 'C' }, "", "all blocks that were allocated" },
	{ { "base", required_argument, NULL, 'B' }, "FILE", "the change since this profile" },
	{ { "leak", required_argument, NULL, 'K' }, "SECONDS", "the blocks in use for at least this time" },
	{ { "seconds", required_argument, NULL, 'T' }, "SECONDS", "wait, and show what has changed meanwhile" },
	{ { "rate", required_argument, NULL, 'E' }, "BYTES", "mean distance of samples, 524288 by default" },
	{ { "format", required_argument, NULL, 'Y' }, "FORMAT", "table, json, flame, folded, pprof, text" },
	{ { "rows", required_argument, NULL, 'X' }, "N", "rows of the table; 0: all" },
	{ { "leaks", no_argument, NULL, 'D' }, "", "show what is left at the program's exit" },
	{ { "suppressions", required_argument, NULL, 'U' }, "FILE", "leave out what lines leak:PATTERN match" },
	{ { "leak-status", required_argument, NULL, 'I' }, "N", "exit status if something is left, usually 23" },
	{ { "rate", required_argument, NULL, 'H' }, "BYTES", "mean distance of samples, usually 4096" },
	{ { "quiet", no_argument, NULL, 'q' }, "", "no notes on standard error" },
	{ { "help", no_argument, NULL, 'h' }, "", "show this" },
};
enum { ROWS = sizeof rows / sizeof *rows };

static bool takes(const struct command *command, int letter)
{
	return letter == 'h' || strchr(command->takes, letter);
}

/* The short form of an option, or 0. Those with capital letters have none, except -p, which
 * compare uses for several profiles, and -o, which profile uses for any output. */
static int short_of(int letter)
{
	return letter >= 'a' ? letter : letter == 'A' ? 'p' : letter == 'G' ? 'o' : 0;
}

void command_help(const struct command *command)
{
	unsigned i;

	printf("usage: hakmem %s %s\n%s\n\n", command->name, command->synopsis, command->help);
	for (i = 0; i < ROWS; i++) {
		const struct row *row = &rows[i];
		char left[40];

		if (!takes(command, row->option.val))
			continue;
		snprintf(left, sizeof left, "--%s %s", row->option.name, row->value);
		if (short_of(row->option.val))
			printf("  -%c, %-22s %s\n", short_of(row->option.val), left, row->help);
		else
			printf("      %-22s %s\n", left, row->help);
	}
}

static char **append(char **list, char *item)
{
	size_t n = 0;

	while (list && list[n])
		n++;
	list = grow(list, (n + 2) * sizeof *list);
	list[n] = item;
	list[n + 1] = NULL;
	return list;
}

/* Users write HAKMEM_STATS=1, STATS=1 and stats=1, and mean the same. */
char *args_setting(const char *given)
{
	const char *end = strchr(given, '=');
	char *out, *c;

	if (!end || end == given)
		return NULL;
	out = text("%s%s", strncmp(given, "HAKMEM_", 7) ? "HAKMEM_" : "", given);
	for (c = out; *c != '='; c++)
		if (*c >= 'a' && *c <= 'z')
			*c = (char)(*c - 'a' + 'A');
	return out;
}

void args_add_setting(struct args *a, char *entry)
{
	a->set = append(a->set, entry);
}

static bool number(const char *given, unsigned *out)
{
	char *end;
	unsigned long value = strtoul(given, &end, 10);

	*out = (unsigned)value;
	return given[0] >= '1' && given[0] <= '9' && !*end && value <= 1000000;
}

static bool seconds(const char *given, double *out)
{
	char *end;

	*out = strtod(given, &end);
	return end != given && !*end && *out >= 0.05 && *out <= 86400;
}

static bool take(struct args *a, int letter, char *value)
{
	switch (letter) {
	case 'A':
	case 'p': a->profile = value; return true;
	case 's':
		value = args_setting(value);
		if (value)
			args_add_setting(a, value);
		return value;
	case 'f': a->file = append(a->file, value); return true;
	case 'L': a->library = value; return true;
	case 'n': return number(value, &a->rounds);
	case 'c': return number(value, &a->frames);
	case 'd': return seconds(value, &a->delay);
	case 't': return seconds(value, &a->wait);
	case 'P': a->peers = true; return true;
	case 'o': a->plot = a->output = value; return true;
	case 'l': a->load = value; return true;
	case 'R': a->prepare = value; return true;
	case 'W': return number(value, &a->warmup);
	case 'M': a->markdown = value; return true;
	case 'O':
	case 'G': a->output = value; return true;
	case 'V': a->live = true; return true;
	case 'C': a->allocated = true; return true;
	case 'B': a->base = value; return true;
	case 'K': return seconds(value, &a->leak);
	case 'T': return seconds(value, &a->seconds);
	case 'H':
	case 'E': a->rate = value; return true;
	case 'D': a->leaks = true; return true;
	case 'U': a->suppressions = value; return true;
	case 'I':
		a->leak_status_given = true;
		return !strcmp(value, "0") || (number(value, &a->leak_status) && a->leak_status <= 255);
	case 'Y': a->format = value; return true;
	case 'X':
		a->rows_given = true;
		return !strcmp(value, "0") || number(value, &a->rows);
	case 'N': a->names = true; return true;
	case 'j': a->json = true; return true;
	case 'm': a->prometheus = true; return true;
	case 'S': a->sort = value; return true;
	case 'F': a->filter = value; return true;
	case 'w': a->watch = true; return true;
	case 'q': a->quiet = true; return true;
	}
	return false;
}

static const char *long_name(int letter)
{
	const struct row *row = rows;

	while (row->option.val != letter)
		row++;
	return row->option.name;
}

/* Called after getopt has reported an unknown option; suggests the option that was probably
 * meant. */
static void suggest_option(const char *typed, const struct option *longs)
{
	const char *names[ROWS + 1], *name;
	unsigned i;

	for (i = 0; longs[i].name; i++)
		names[i] = longs[i].name;
	names[i] = NULL;
	name = strncmp(typed, "--", 2) == 0 ? nearest(typed + 2, names) : NULL;
	if (name)
		warn("did you mean --%s?", name);
}

bool args_read(struct args *a, const struct command *command, int argc, char **argv, int *status)
{
	struct option longs[ROWS + 1];
	char shorts[2 * ROWS + 3] = "+";
	int letter, n = 0;
	unsigned i;

	memset(a, 0, sizeof *a);
	for (i = 0; i < ROWS; i++) {
		int value = rows[i].option.val;

		if (!takes(command, value))
			continue;
		longs[n++] = rows[i].option;
		if (!short_of(value))
			continue;
		strncat(shorts, &(char){ (char)short_of(value) }, 1);
		if (rows[i].option.has_arg)
			strcat(shorts, ":");
	}
	memset(&longs[n], 0, sizeof longs[n]);
	*status = 0;
	/* getopt's messages begin with argv[0]. */
	argv[0] = text("hakmem %s", command->name);
	while ((letter = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (letter == 'h') {
			command_help(command);
			return false;
		}
		if (letter != '?' && take(a, letter, optarg))
			continue;
		if (letter == '?' && !optopt)
			suggest_option(argv[optind - 1], longs);
		if (letter != '?')
			warn("%s: --%s does not take \"%s\"", command->name, long_name(letter), optarg);
		*status = fail(command->usage, "try 'hakmem %s --help'", command->name);
		return false;
	}
	a->argc = argc - optind;
	a->argv = argv + optind;
	return true;
}
