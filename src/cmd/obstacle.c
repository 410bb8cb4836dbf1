/* Why the library cannot be preloaded into a program, as far as its file shows. */
#include "cmd/verdict.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

struct verdict verdict_no(const char *advice, char *why)
{
	return (struct verdict){ .present = ABSENT, .what = why, .advice = advice };
}

struct verdict verdict_unknown(const char *advice, char *why)
{
	return (struct verdict){ .present = UNKNOWN, .what = why, .advice = advice };
}

static const struct {
	const char *symbol, *allocator;
} inside[] = {
	{ "_rjem_malloc", "jemalloc" },
	{ "je_malloc", "jemalloc" },
	{ "mi_malloc", "mimalloc" },
	{ "tc_malloc", "tcmalloc" },
	{ "rpmalloc", "rpmalloc" },
};

static bool is_go(const struct elf *elf)
{
	size_t unused;

	return elf_is_go(elf) || elf_symbol(elf, "runtime.mallocgc", &unused);
}

static struct verdict allocator_linked(const struct elf *elf)
{
	size_t unused;
	unsigned i;

	if (is_go(elf))
		return verdict_no("nothing to do: GOGC and GOMEMLIMIT control its heap",
				  text("the program is written in Go, whose runtime has an allocator of its own"));
	for (i = 0; i < sizeof inside / sizeof *inside; i++)
		if (elf_symbol(elf, inside[i].symbol, &unused))
			return verdict_no("build the program without it",
					  text("the program has %s inside, under names that a preload does not replace",
					       inside[i].allocator));
	if (elf_symbol(elf, "malloc", &unused))
		return verdict_no("build the program without its own malloc",
				  text("the program has a malloc of its own inside, which comes before any preloaded one"));
	return (struct verdict){ 0 };
}

struct verdict allocator_in(const char *path)
{
	struct elf *elf = elf_open(path);
	struct verdict v = { 0 };

	if (elf && elf_kind_of(elf) == ELF_NATIVE)
		v = allocator_linked(elf);
	if (elf)
		elf_close(elf);
	return v;
}

static struct verdict native_obstacle(const struct elf *elf, const char *path)
{
	const char *interpreter = elf_interpreter(elf);
	struct verdict v;
	size_t unused;

	if (elf_symbol(elf, "hakmem_stats_page", &unused))
		return (struct verdict){ .present = PRESENT, .what = text("%s (linked in)", path) };
	/* A statically linked program contains libc's malloc. */
	if (!interpreter && !is_go(elf))
		return verdict_no("link the program with $(pkg-config --libs --static hakmem)",
				  text("the program is statically linked: nothing can be preloaded"));
	if (interpreter && strstr(interpreter, "musl"))
		return verdict_no("build the library with musl for it", text("the program runs on musl (%s), "
				  "the library on glibc", printable(interpreter, 256)));
	v = allocator_linked(elf);
	if (!v.what && elf_secure(elf))
		return verdict_no("nothing to do", text("the program is set-user-ID or set-group-ID, or has capabilities: "
				  "it cannot be preloaded"));
	return v;
}

struct verdict obstacle_in(const char *path)
{
	struct elf *elf = elf_open(path);
	struct verdict v;

	if (!elf && errno != ENOEXEC)
		return verdict_unknown("ask again as root, or as a user who may read the file",
				       text("cannot read %s: %s", path, strerror(errno)));
	if (!elf || elf_kind_of(elf) == ELF_NONE)
		v = verdict_no("check the program that interprets it", text("%s is no ELF program", path));
	else if (elf_kind_of(elf) == ELF_OTHER)
		v = verdict_unknown("install the library of that architecture, as in apt install libhakmem1:i386",
				    text("the program is for another architecture than this command"));
	else
		v = native_obstacle(elf, path);
	if (elf)
		elf_close(elf);
	return v;
}

static bool is_text(const char *line)
{
	while ((unsigned char)*line >= ' ' || *line == '\t')
		line++;
	return *line == '\n';
}

/* The interpreter in the first line of a script. execvp runs a script without such a line by
 * /bin/sh; the kernel does not, when such a script is the interpreter of another one. */
static char *interpreter_of_script(const char *path, bool by_execvp)
{
	int fd = regular_file(open(path, O_PATH | O_CLOEXEC));
	FILE *in = fd >= 0 ? fdopen(fd, "r") : NULL;
	char line[PATH_MAX] = "", *word, *rest = line + 2, *found = NULL;

	if (in && fgets(line, sizeof line, in) && !strncmp(line, "#!", 2)) {
		while ((word = strsep(&rest, " \t\n")) && !*word)
			;
		if (word && !strcmp(base_of(word), "env"))
			while ((word = strsep(&rest, " \t\n")) && (!*word || *word == '-' || strchr(word, '=')))
				;
		found = word && *word ? program_find(word) : NULL;
	} else if (by_execvp && is_text(line)) {
		found = text("/bin/sh");
	}
	if (in)
		fclose(in);
	return found;
}

struct verdict obstacle_of(const char *name, char **path)
{
	enum { DEPTH = 5 };		/* scripts that run scripts; as in the kernel */
	char *script;
	unsigned i;

	*path = program_find(name);
	if (!*path)
		return verdict_no(strchr(name, ' ') ? "give the program and its arguments as words of their own" :
				  "give its path", text("there is no program \"%s\"", name));
	for (i = 0; i < DEPTH && (script = interpreter_of_script(*path, i == 0)); i++) {
		free(*path);
		*path = script;
	}
	return obstacle_in(*path);
}

bool program_secure(const char *program)
{
	char *path = program_find(program);
	struct elf *elf = path ? elf_open(path) : NULL;
	bool secure = elf && elf_kind_of(elf) != ELF_NONE && elf_secure(elf);

	if (elf)
		elf_close(elf);
	free(path);
	return secure;
}

char *check_obstacle(const char *program)
{
	char *path;
	struct verdict v = obstacle_of(program, &path);

	free(path);
	if (v.present == PRESENT)
		return text("it has HAKMEM linked in");
	return v.what && v.present == ABSENT ? text("%s; next: %s", v.what, v.advice) : NULL;
}
