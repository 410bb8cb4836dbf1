#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

char *linker_of(const char *path)
{
	struct elf *elf = elf_open(path);
	const char *linker = elf ? elf_interpreter(elf) : NULL;
	char *copy = linker ? text("%s", linker) : NULL;

	if (elf)
		elf_close(elf);
	return copy;
}

static void start_linker(const char *linker, const char *program, int out, bool bare)
{
	int quiet = open("/dev/null", O_WRONLY);

	if (bare)
		unsetenv("LD_PRELOAD");
	dup2(out, STDOUT_FILENO);
	dup2(quiet, STDERR_FILENO);
	execl(linker, linker, "--list", program, (char *)NULL);
	_exit(RUN_CANNOT);
}

void linker_list(const char *program, void (*each)(const char *path, void *argument), void *argument)
{
	char line[PATH_MAX + 64], own[PATH_MAX] = "", *linker = linker_of(program ? program : "/proc/self/exe");
	int ends[2], status;
	pid_t child;
	FILE *in;

	if (!program && readlink("/proc/self/exe", own, sizeof own - 1) > 0)
		program = own;
	if (!linker || !program || pipe2(ends, O_CLOEXEC) < 0) {
		free(linker);
		return;
	}
	fflush(NULL);
	child = fork();
	if (child == 0)
		start_linker(linker, program, ends[1], program != own);
	close(ends[1]);
	in = fdopen(ends[0], "r");
	while (in && fgets(line, sizeof line, in)) {
		char *file = strchr(line, '/'), *end = file ? strpbrk(file, " \n") : NULL;

		if (!end)
			continue;
		*end = 0;
		each(file, argument);
	}
	if (in)
		fclose(in);
	waitpid(child, &status, 0);
	free(linker);
}

struct wanted {
	const char *name;
	char *path;
	size_t size;
};

static void compare_name(const char *path, void *argument)
{
	struct wanted *w = argument;

	if (!strcmp(strrchr(path, '/') + 1, w->name))
		snprintf(w->path, w->size, "%s", path);
}

/* Linux 6.18. libc may not define it yet. */
#ifndef PR_THP_DISABLE_EXCEPT_ADVISED
#define PR_THP_DISABLE_EXCEPT_ADVISED 2
#endif

/* If the kernel uses huge pages for all memory, it would use them also for ranges without the
 * library's advice. A restriction that is already in force is kept. */
void huge_pages_advised(void)
{
	if (prctl(PR_GET_THP_DISABLE, 0L, 0L, 0L, 0L) == 0)
		prctl(PR_SET_THP_DISABLE, 1L, (long)PR_THP_DISABLE_EXCEPT_ADVISED, 0L, 0L);
}

bool huge_pages_by_advice(void)
{
	int before = prctl(PR_GET_THP_DISABLE, 0L, 0L, 0L, 0L);
	bool can;

	if (before)
		return before == (PR_THP_DISABLE_EXCEPT_ADVISED | 1);
	can = prctl(PR_SET_THP_DISABLE, 1L, (long)PR_THP_DISABLE_EXCEPT_ADVISED, 0L, 0L) == 0;
	if (can)
		prctl(PR_SET_THP_DISABLE, 0L, 0L, 0L, 0L);
	return can;
}

void preload_restore(const char *before)
{
	if (before)
		setenv("LD_PRELOAD", before, 1);
	else
		unsetenv("LD_PRELOAD");
}

/* The dynamic linker searches in caches and paths that only it knows, so it is asked what it
 * would preload. */
bool linker_finds(const char *name, char *path, size_t size)
{
	struct wanted w = { name, path, size };
	const char *old = getenv("LD_PRELOAD");
	char *kept = old ? text("%s", old) : NULL;

	*path = 0;
	setenv("LD_PRELOAD", name, 1);
	linker_list(NULL, compare_name, &w);
	preload_restore(kept);
	free(kept);
	return *path;
}

bool library_find(const char *given, char *path, size_t size)
{
	if (given) {
		char *here = *given == '/' ? NULL : getcwd(NULL, 0);

		snprintf(path, size, "%s%s%s", here ? here : "", here ? "/" : "", given);
		free(here);
		if (access(path, R_OK) == 0)
			return true;
		warn("cannot use the library %s: %s", given, strerror(errno));
		return false;
	}
	if (linker_finds(SONAME, path, size)) {
		snprintf(path, size, SONAME);
		return true;
	}
	if (access(LIBDIR "/" SONAME, R_OK) == 0) {
		snprintf(path, size, LIBDIR "/" SONAME);
		return true;
	}
	warn(SONAME " is not installed here; install it (apt install libhakmem1), "
	     "or name one with --library FILE");
	return false;
}

static bool preload(const char *library)
{
	const char *old = getenv("LD_PRELOAD");
	char *all = text("%s%s%s", library, old && *old ? ":" : "", old ? old : "");
	int failed = setenv("LD_PRELOAD", old && strstr(old, library) ? old : all, 1);

	free(all);
	return !failed;
}

static unsigned problems;

static void count_problem(const char *line)
{
	problems++;
	say_problem(line);
}

static bool source_good(const struct source *s)
{
	problems = 0;
	source_load(s, count_problem);
	return !problems;
}

bool settings_good(char *const *set)
{
	struct source s = { 0 };

	source_add(&s, "", "");
	for (; set && *set; set++)
		source_add(&s, *set, "option");
	return source_good(&s);
}

bool launch_environment(const struct args *a)
{
	char library[PATH_MAX];
	struct source s = { 0 };
	unsigned i;

	if (!source_add_options(&s, a) || !source_good(&s) || !library_find(a->library, library, sizeof library))
		return false;
	for (i = s.count; i--;)
		if (setting_find(s.entry[i], strcspn(s.entry[i], "=")) >= 0)
			putenv(s.entry[i]);
	return preload(library);
}

/* As in execvp, a directory is not a program. */
static bool is_file(const char *path, int mode)
{
	struct stat s;

	return stat(path, &s) == 0 && !S_ISDIR(s.st_mode) && access(path, mode) == 0;
}

static char *search(const char *name, int mode)
{
	const char *path = getenv("PATH");
	char *copy, *next, *dir, *full;

	next = copy = text("%s", path ? path : "/usr/local/bin:/usr/bin:/bin");
	while ((dir = strsep(&next, ":"))) {
		full = text("%s/%s", *dir ? dir : ".", name);
		if (is_file(full, mode)) {
			free(copy);
			return full;
		}
		free(full);
	}
	free(copy);
	return NULL;
}

char *program_find(const char *name)
{
	if (strchr(name, '/'))
		return access(name, F_OK) == 0 ? text("%s", name) : NULL;
	return search(name, X_OK);
}

int program_error(const char *name, int error)
{
	char *there;

	/* A directory of PATH may have caused the error. */
	if (error != EACCES || strchr(name, '/'))
		return error;
	there = search(name, F_OK);
	free(there);
	return there ? error : ENOENT;
}
