#include "cmd/cmd.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Asks the dynamic linker itself, in a child, since a malloc that was loaded
 * stays. Where it looks depends on caches and paths that only it knows. */
bool linker_finds(const char *name, char *path, size_t size)
{
	int ends[2], status;
	ssize_t got = 0;
	pid_t child;

	if (pipe(ends))
		return false;
	fflush(NULL);
	child = fork();
	if (child == 0) {
		void *handle = dlopen(name, RTLD_LAZY);
		struct link_map *map = NULL;

		if (handle && !dlinfo(handle, RTLD_DI_LINKMAP, &map) && map)
			got = write(ends[1], map->l_name, strlen(map->l_name));
		_exit(got <= 0);
	}
	close(ends[1]);
	if (child > 0) {
		got = read(ends[0], path, size - 1);
		waitpid(child, &status, 0);
	}
	close(ends[0]);
	path[got > 0 ? got : 0] = 0;
	return got > 0;
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

	if (a->profile && profile_find(a->profile) < 0)
		return false;
	for (i = 0; a->file && a->file[i]; i++)
		if (!source_add_named(&s, a->file[i]))
			return false;
	if (a->profile)
		source_add_named(&s, a->profile);
	for (i = 0; a->set && a->set[i]; i++)
		source_add(&s, a->set[i], "option");
	if (!source_good(&s) || !library_find(a->library, library, sizeof library))
		return false;
	/* A later one wins, as a later EnvironmentFile does. */
	for (i = 0; i < s.count; i++)
		if (strncmp(s.entry[i], "LD_PRELOAD=", 11) != 0)
			putenv(s.entry[i]);
	return preload(library);
}

char *program_find(const char *name)
{
	const char *path = getenv("PATH");
	char *copy, *next, *dir, *full;

	if (strchr(name, '/'))
		return access(name, F_OK) == 0 ? text("%s", name) : NULL;
	next = copy = text("%s", path ? path : "/usr/local/bin:/usr/bin:/bin");
	while ((dir = strsep(&next, ":"))) {
		full = text("%s/%s", *dir ? dir : ".", name);
		if (access(full, X_OK) == 0) {
			free(copy);
			return full;
		}
		free(full);
	}
	free(copy);
	return NULL;
}
