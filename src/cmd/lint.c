/* hakmem lint: is a file of settings read in the same way by every program that reads such
 * files, and does the library accept each line of it? */
#include "cmd/cmd.h"
#include "config/settings.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static struct {
	const char *path;
	char *shown;			/* the path, printable */
	unsigned line, found;
	json_t *list;			/* NULL: print text */
} now;

static void finding(const char *what)
{
	now.found++;
	if (now.list)
		json_array_append_new(now.list, json_pack("{so si ss}", "file", json_text(now.path),
			"line", (int)now.line, "problem", what));
	else
		printf("%s%s:%u:%s %s\n", ink(BOLD), now.shown, now.line, ink(PLAIN), what);
}

static bool name_ends(const char *line, size_t *length)
{
	for (*length = 0; isupper((unsigned char)line[*length]) || line[*length] == '_' ||
	     (*length && isdigit((unsigned char)line[*length])); ++*length)
		;
	return *length && line[0] != '_' && line[*length] == '=';
}

/* Each reason says how the programs that read such files differ. */
static bool check_syntax(const char *line, size_t length)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./,:+=@%-";
	size_t i, name;
	const char *value;
	char *what;

	for (i = 0; i < length; i++)
		if (line[i] < ' ' || line[i] > '~') {
			finding(line[i] == '\r' ? "a carriage return: save the file with Unix line ends" :
				"a byte that is not printable ASCII: docker and systemd differ on it");
			return false;
		}
	if (*line == '#') {
		if (strchr(line, '\\'))
			finding("a backslash in a comment: systemd before 254 joins the next line to it");
		return false;
	}
	if (!length)
		return false;
	if (!name_ends(line, &name)) {
		finding(!strncmp(line, "export ", 7) ? "export: only a shell knows it, write NAME=value" :
			"neither a comment (# in the first column) nor NAME=value");
		return false;
	}
	value = line + name + 1;
	if (!*value)
		finding("an empty value: write none, or leave the line out");
	else if (value[strspn(value, allowed)]) {
		what = text("'%c' in a value: sh, systemd and docker read it in different ways",
			    value[strspn(value, allowed)]);
		finding(what);
		free(what);
	}
	return *value;
}

static void check_repeated(char **seen, unsigned count, const char *line)
{
	size_t length = (size_t)(strchr(line, '=') - line) + 1;
	unsigned i;

	for (i = 0; i < count; i++)
		if (!strncmp(seen[i], line, length)) {
			finding("a name for the second time: readers differ on which one counts");
			return;
		}
}

static void check_preload(const char *list)
{
	char *copy = text("%s", list), *rest = copy, *one;

	while ((one = strsep(&rest, ":"))) {
		const char *slash = strrchr(one, '/');

		if (!strncmp(one, "libhakmem.so", 12) && strcmp(one, SONAME) != 0)
			finding("LD_PRELOAD with a file that only libhakmem-dev has: write " SONAME);
		else if (slash && !strncmp(slash + 1, "libhakmem.so", 12))
			finding("LD_PRELOAD with a path: write " SONAME ", which suits every architecture");
	}
	free(copy);
}

static void check_meaning(const char *line)
{
	struct source one = { 0 };

	if (!strncmp(line, "LD_PRELOAD=", 11))
		check_preload(line + 11);
	source_add(&one, line, "");
	source_load(&one, finding);
}

static int lint_file(const char *path)
{
	struct envfile file;
	char *line, **seen = NULL;
	unsigned count = 0;
	size_t length;

	if (!envfile_open(&file, path))
		return USAGE;
	now.path = path;
	free(now.shown);
	now.shown = printable(path, 4 * strlen(path));
	while ((line = envfile_line(&file, &length))) {
		now.line = file.number;
		if (!check_syntax(line, length))
			continue;
		check_meaning(line);
		check_repeated(seen, count, line);
		seen = grow(seen, (count + 1) * sizeof *seen);
		seen[count++] = line;
	}
	if (!file.ended)
		finding("no line feed at the end of the file: some readers lose the line");
	free(seen);
	envfile_close(&file);
	return 0;
}

static int lint(int argc, char **argv)
{
	struct args a;
	int status, i, worst = 0;

	if (!args_read(&a, &command_lint, argc, argv, &status))
		return status;
	if (!a.argc)
		return fail(USAGE, "lint takes files, such as /etc/hakmem/*.env");
	now.list = a.json ? json_array() : NULL;
	for (i = 0; i < a.argc; i++) {
		unsigned before = now.found;

		status = lint_file(a.argv[i]);
		if (status)
			worst = status;
		else if (!a.json && now.found == before)
			printf("%s: %sgood%s\n", now.shown, ink(GOOD), ink(PLAIN));
	}
	if (a.json)
		print_json(json_pack("{si so}", "schema", 1, "problems", now.list));
	return worst ? worst : now.found ? FOUND : 0;
}

const struct command command_lint = {
	"lint", "j", lint, USAGE, "[--json] FILE ...", "check files of settings",
	"Checks files as /etc/hakmem/*.env: the syntax that systemd, sh, docker, compose\n"
	"and Kubernetes read alike, and every name and value of HAKMEM.\n"
	"Exit status: 0 good, 1 something to correct, 2 trouble.",
};
