/* hakmem check: is the library really in a process, or would it be in a
 * program; and if not, why, and what to do. */
#include "cmd/heap.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct verdict {
	bool present;
	char *what;		/* the file, or the reason */
	const char *advice;	/* or NULL */
};

static struct verdict no(const char *advice, char *why)
{
	return (struct verdict){ .what = why, .advice = advice };
}

static const char link_it[] = "link the program with $(pkg-config --libs --static hakmem)";

/* What keeps any preload out of a program; what stays NULL if nothing does. */
static struct verdict obstacle(const char *path)
{
	struct elf *elf = elf_open(path);
	struct verdict v = { 0 };
	const char *interpreter;
	size_t unused;

	if (!elf)
		return no("see that you may read the file", text("cannot read %s: %s", path, strerror(errno)));
	interpreter = elf_interpreter(elf);
	if (elf_kind(elf) == ELF_OTHER)
		v = no("install the library of that architecture, as in apt install libhakmem1:i386",
		       text("the program is for another architecture than this command"));
	else if (elf_kind(elf) == ELF_NONE)
		v = no("check the program that interprets it", text("%s is no ELF program", path));
	else if (elf_symbol(elf, "hakmem_stats_page", &unused))
		v = (struct verdict){ .present = true, .what = text("%s (linked in)", path) };
	else if (!interpreter)
		v = no(link_it, text("the program is statically linked: nothing can be preloaded"));
	else if (strstr(interpreter, "musl"))
		v = no("build the library with musl for it", text("the program runs on musl (%s), "
		       "the library on glibc", printable(interpreter, 256)));
	else if (elf_symbol(elf, "malloc", &unused))
		v = no("build the program without its own malloc",
		       text("the program has a malloc of its own inside, which comes before any preloaded one"));
	else if (elf_mode(elf) & (S_ISUID | S_ISGID))
		v = no(link_it, text("the program is set-user-ID or set-group-ID: the dynamic linker ignores "
				     "LD_PRELOAD there"));
	elf_close(elf);
	return v;
}

static const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static bool is_ours(const char *path)
{
	return !strncmp(base_of(path), "libhakmem.so", 12);
}

static bool is_other_malloc(const char *path)
{
	static const char *const names[] = { "libjemalloc", "libtcmalloc", "libmimalloc", "libsnmalloc",
					     "libhardened_malloc", "libscudo", "librpmalloc", "libasan" };
	unsigned i;

	for (i = 0; i < sizeof names / sizeof *names; i++)
		if (!strncmp(base_of(path), names[i], strlen(names[i])))
			return true;
	return false;
}

struct seen {
	char *ours, *other;
};

static bool look(const struct mapping *m, void *argument)
{
	struct seen *seen = argument;

	if (!seen->ours && is_ours(m->path))
		seen->ours = text("%s", m->path);
	if (!seen->other && is_other_malloc(m->path))
		seen->other = text("%s", m->path);
	return false;
}

/* Of two preloaded ones the first in the list wins; one that is only linked
 * comes after all that are preloaded. */
static bool other_wins(const char *preload, const struct seen *seen)
{
	const char *ours = preload ? strstr(preload, "libhakmem.so") : NULL;
	const char *other = preload && seen->other ? strstr(preload, base_of(seen->other)) : NULL;

	return seen->other && other && (!ours || other < ours);
}

static struct verdict check_process(pid_t pid)
{
	char *link = text("/proc/%d/exe", (int)pid), *preload, exe[PATH_MAX];
	struct seen seen = { 0 };
	struct heap_reply unused;
	struct hk_stats_page page;
	ssize_t length = readlink(link, exe, sizeof exe - 1);
	struct verdict v;

	if (length < 0) {
		if (errno == ENOENT)
			return no(NULL, text("process %d belongs to the kernel", (int)pid));
		return no(process_advice(), text("process %d may not be looked at: %s",
			  (int)pid, strerror(errno)));
	}
	exe[length] = 0;
	maps_walk(pid, look, &seen);
	preload = process_variable(pid, "LD_PRELOAD");
	if (seen.ours && other_wins(preload, &seen))
		return no("take it out of LD_PRELOAD", text("%s comes before it in LD_PRELOAD", seen.other));
	if (seen.ours)
		return (struct verdict){ .present = true, .what = seen.ours };
	/* Linked in, and perhaps stripped: its statistics page tells. */
	if (heap_find(pid, &page, &unused))
		return (struct verdict){ .present = true, .what = text("%s (linked in)", exe) };
	v = obstacle(link);
	if (v.what)
		return v;
	if (process_secure(pid))
		return no(link_it, text("%s was started with another user's rights: the dynamic linker ignores "
					"LD_PRELOAD there", exe));
	if (!preload || !strstr(preload, "libhakmem"))
		return no("start it with hakmem run, or with EnvironmentFile=/etc/hakmem/default.env in its unit",
			  text("%s was started without libhakmem in LD_PRELOAD%s%s", exe,
			       seen.other ? "; its malloc is that of " : "", seen.other ? seen.other : ""));
	return no("install it there (apt install libhakmem1), in the image if it is a container, and restart",
		  text("LD_PRELOAD is %.500s, but the dynamic linker of the process did not find that", preload));
}

struct answer {
	uint8_t there, present;
	char what[2 * PATH_MAX], advice[256];
};

static void ask_process(pid_t pid, void *reply)
{
	struct verdict v = check_process(pid);
	struct answer *a = reply;

	a->there = true;
	a->present = v.present;
	snprintf(a->what, sizeof a->what, "%s", v.what);
	snprintf(a->advice, sizeof a->advice, "%s", v.advice ? v.advice : "");
}

static void answered(pid_t pid, const void *reply, const char *fault, void *argument)
{
	struct answer *a = argument;

	if (reply)
		memcpy(a, reply, sizeof *a);
	else
		fail(USAGE, "cannot tell: process %d: %s", (int)pid, fault);
	a->what[sizeof a->what - 1] = a->advice[sizeof a->advice - 1] = 0;
}

/* False: an error was printed. The process may have chosen the strings in the verdict. */
static bool process_verdict(pid_t pid, struct verdict *v)
{
	static struct answer a;
	const struct reader r = { .size = sizeof a, .read = ask_process, .done = answered, .argument = &a };

	reader_run(&r, &pid, 1);
	*v = (struct verdict){ .present = a.present == 1, .what = a.what, .advice = *a.advice ? a.advice : NULL };
	return a.there;
}

/* As execvp: a script is run by what its first line names. */
static char *interpreter_of_script(const char *path)
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
	}
	if (in)
		fclose(in);
	return found;
}

static void look_at_list(const char *path, void *argument)
{
	struct seen *seen = argument;

	/* Whichever comes first is the one that counts. */
	if (is_other_malloc(path) && !seen->ours && !seen->other)
		seen->other = text("%s", path);
	if (is_ours(path) && !seen->ours)
		seen->ours = text("%s", path);
}

/* The dynamic linker that the program names must not be run, nor the system's linker on
 * the program. So the system's linker is run on this command instead. It finds the same
 * library if it is the linker that the program names. */
static struct verdict ask_linker(const char *path)
{
	char *own = linker_of("/proc/self/exe"), *of_program = linker_of(path);
	bool same = own && of_program && !strcmp(own, of_program);
	const char *preload = getenv("LD_PRELOAD");
	struct seen seen = { 0 };

	free(own);
	linker_list(look_at_list, &seen);
	if (seen.ours && seen.other)
		return no("take it out of LD_PRELOAD", text("%s comes before it", seen.other));
	if (seen.ours && (same || (preload && strstr(preload, seen.ours))))
		return (struct verdict){ .present = true, .what = seen.ours };
	if (seen.ours)
		return no("name the library by its path: --library " LIBDIR "/" SONAME,
			  text("the program has a dynamic linker of its own, %s, which may look for it elsewhere",
			       of_program));
	return no("see what it says: LD_DEBUG=libs", text("the dynamic linker does not load it"));
}

/* The file that the kernel would run in the end, in *path, and what stands
 * against a preload there. */
static struct verdict obstacle_of(const char *name, char **path)
{
	char *script;

	*path = program_find(name);
	if (!*path)
		return no(strchr(name, ' ') ? "give the program and its arguments as words of their own" : "give its path",
			  text("there is no program \"%s\"", name));
	script = interpreter_of_script(*path);
	if (script) {
		free(*path);
		*path = script;
	}
	return obstacle(*path);
}

char *check_obstacle(const char *program)
{
	char *path;
	struct verdict v = obstacle_of(program, &path);

	free(path);
	if (v.present)
		return text("it has HAKMEM linked in");
	return v.what ? text("%s; next: %s", v.what, v.advice) : NULL;
}

static struct verdict check_program(const struct args *a, const char *name)
{
	char *path;
	struct verdict v = obstacle_of(name, &path);

	if (path && !a->json && strcmp(base_of(path), base_of(name)) != 0)
		printf("%s is a script, run by %s\n", name, printable(path, PATH_MAX));
	if (v.what)
		return v;
	return ask_linker(path);
}

static int check(int argc, char **argv)
{
	struct verdict v;
	struct args a;
	int status;
	bool program;
	pid_t pid;

	if (!args_read(&a, &command_check, argc, argv, &status))
		return status;
	program = a.argc && (!strcmp(a.argv[-1], "--") || strspn(a.argv[0], "0123456789") != strlen(a.argv[0]));
	if (!a.argc || (!program && a.argc > 1))
		return fail(USAGE, "check takes a process id, or -- and a program");
	if (program ? !launch_environment(&a) : !process_id(a.argv[0], &pid))
		return USAGE;
	if (program)
		v = check_program(&a, a.argv[0]);
	else if (!process_verdict(pid, &v))
		return USAGE;
	if (a.json) {
		status = print_json(json_pack("{si sb so so}", "schema", 1, "present", v.present,
				    v.present ? "file" : "reason", json_text(v.what), "advice", json_text(v.advice)));
	} else {
		printf("%s%s%s: %s\n", ink(v.present ? GOOD : BAD), v.present ? "yes" : "no", ink(PLAIN),
		       printable(v.what, sizeof ((struct answer *)0)->what));
		if (v.advice)
			printf("next: %s\n", v.advice);
		else if (v.present && !program)
			printf("next: hakmem stats %d\n", (int)pid);
	}
	return v.present ? status : FOUND;
}

const struct command command_check = {
	"check", "Lj", check, USAGE, "[--json] PID | [--library FILE] -- PROGRAM",
	"is HAKMEM really in there, and if not, why",
	"Tells whether a running process has the library, or whether hakmem run would\n"
	"bring it into a program, which is not run for that.\n"
	"Exit status: 0 it is in there, 1 it is not, 2 cannot tell.",
};
