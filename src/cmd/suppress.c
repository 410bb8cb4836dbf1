/* The suppressions of hakmem run --leaks, in the syntax of LeakSanitizer. */
#include "cmd/leaks.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_PATTERNS = 1000, MOST_PATTERN = 256 };

/* The C library keeps these blocks until the process ends. */
static const struct {
	const char *function, *module;
} kept_by_libc[] = { { "_IO_file_doallocate", "libc.so" }, { "setlocale", "libc.so" } };

static bool starts(const char *name, const char *with)
{
	return !strncmp(name, with, strlen(with));
}

static const char *find(const char *in, const char *part, size_t length)
{
	return length ? memmem(in, strlen(in), part, length) : in;
}

/* * stands for any text, ^ for the start and $ for the end; otherwise the pattern may be
 * anywhere in the name. Each part is searched once, so that the time is limited. */
static bool matches(const char *pattern, const char *name)
{
	bool anchored = *pattern == '^';
	size_t length = strlen(pattern += anchored);
	bool end = length && pattern[length - 1] == '$';
	const char *stop = pattern + length - end, *part, *found;

	for (part = pattern; ; part += length + 1) {
		length = strcspn(part, "*");
		if (part + length >= stop)
			break;
		found = find(name, part, length);
		if (!found || (anchored && found != name))
			return false;
		anchored = false;
		name = found + length;
	}
	length = part < stop ? (size_t)(stop - part) : 0;
	if (end && strlen(name) < length)
		return false;
	if (end && !anchored)
		name += strlen(name) - length;
	if (end)
		return strlen(name) == length && !memcmp(name, part, length);
	found = find(name, part, length);
	return found && (!anchored || found == name);
}

/* Is it in a file with such a name? */
static bool is_in(const struct profile *p, const struct address *a, const char *pattern)
{
	return a && a->map >= 0 && matches(pattern, base_of(p->map[a->map].path));
}

/* ld-linux-x86-64.so.2, ld-2.31.so, ld.so.1 or ld64.so.2, depending on the machine and the version; the names of
 * programs may also begin with ld. The dynamic linker of musl is the C library as well. */
static bool is_linker(const struct profile *p, const struct address *a)
{
	return is_in(p, a, "^ld-linux*.so.*") || is_in(p, a, "^ld-2.*.so$") || is_in(p, a, "^ld.so.*") ||
	       is_in(p, a, "^ld64.so.*");
}

/* The descriptions of the loaded libraries, and the memory for thread-local variables, which is kept with the stack
 * of a thread that has ended. The caller of malloc decides, because the stack of a call of dlopen contains functions
 * of the program. */
static bool is_kept_by_linker(const struct profile *p, const struct site *site)
{
	return site->depth && is_linker(p, profile_address(p, p->frame[site->first]));
}

static void add(struct suppressions *s, const char *pattern, const char *module)
{
	s->list = grow(s->list, (s->count + 1) * sizeof *s->list);
	s->list[s->count++] = (struct suppression){ .pattern = text("%s", pattern), .module = module };
}

static const char *refuses(const struct suppressions *s, const char *line)
{
	if (!starts(line, "leak:"))
		return "neither a comment nor leak:PATTERN";
	if (!line[5] || !line[5 + strspn(line + 5, "*^$")])
		return "the pattern would suppress everything";
	if (strlen(line + 5) > MOST_PATTERN)
		return "the pattern is too long";
	return s->count == MOST_PATTERNS ? "there are too many patterns" : NULL;
}

static char *trimmed(char *line, size_t length)
{
	while (length && strchr(" \t\r", line[length - 1]))
		line[--length] = 0;
	return line + strspn(line, " \t");
}

bool suppressions_read(struct suppressions *s, const char *path)
{
	const char *wrong = NULL;
	struct envfile file;
	size_t length, i;
	char *line;

	*s = (struct suppressions){ 0 };
	if (path) {
		if (!envfile_open(&file, path))
			return false;
		while (!wrong && (line = envfile_line(&file, &length))) {
			line = trimmed(line, length);
			if (!*line || *line == '#')
				continue;
			wrong = refuses(s, line);
			if (!wrong)
				add(s, line + 5, NULL);
		}
		if (wrong)
			warn("%s:%u: %s", path, file.number, wrong);
		envfile_close(&file);
	}
	for (i = 0; i < sizeof kept_by_libc / sizeof *kept_by_libc; i++)
		add(s, kept_by_libc[i].function, kept_by_libc[i].module);
	return !wrong;
}

static bool applies(const struct suppression *one, const struct profile *p, const struct address *a)
{
	const char *path = a->map >= 0 ? p->map[a->map].path : "";
	unsigned i;

	if (one->module && !starts(base_of(path), one->module))
		return false;
	if (!one->module && matches(one->pattern, path))
		return true;
	for (i = 0; i < a->places; i++)
		if ((a->place[i].function && matches(one->pattern, a->place[i].function)) ||
		    (!one->module && a->place[i].file && matches(one->pattern, a->place[i].file)))
			return true;
	return false;
}

static struct suppression *applying(struct suppressions *s, const struct profile *p, const struct address *a)
{
	size_t i;

	for (i = 0; i < s->count; i++)
		if (applies(&s->list[i], p, a))
			return &s->list[i];
	return NULL;
}

/* What the dynamic linker and the C++ library allocate for themselves, while no function of the
 * program runs, is there in every program. */
static bool is_of_runtime(const struct profile *p, const struct address *a)
{
	return is_linker(p, a) || is_in(p, a, "^ld-musl-*.so.*") || is_in(p, a, "^libstdc++.so*");
}

static bool only_runtime(const struct profile *p, const struct site *site)
{
	uint32_t i;

	for (i = 0; i < site->depth; i++)
		if (!is_of_runtime(p, profile_address(p, p->frame[site->first + i])))
			return false;
	return true;
}

void suppressions_apply(struct suppressions *s, struct profile *p)
{
	struct suppression **of = grow(NULL, p->addresses * sizeof *of + 1), *one;
	bool runtime;
	size_t i;
	uint32_t j;

	for (i = 0; i < p->addresses; i++)
		of[i] = applying(s, p, &p->address[i]);
	for (i = 0; i < p->sites; i++) {
		struct site *site = &p->site[i];

		if (!(site->live.samples > 0))
			continue;
		for (one = NULL, j = 0; j < site->depth && !one; j++)
			one = of[profile_address(p, p->frame[site->first + j]) - p->address];
		runtime = only_runtime(p, site);
		if (!one && !runtime && is_kept_by_linker(p, site))
			one = &s->linker;
		if (one) {
			one->bytes += site->live.weight;
			one->stacks++;
		}
		if (one || runtime)
			site->live = (struct sum){ 0 };
	}
	free(of);
}

void suppressions_free(struct suppressions *s)
{
	size_t i;

	for (i = 0; i < s->count; i++)
		free(s->list[i].pattern);
	free(s->list);
	*s = (struct suppressions){ 0 };
}
