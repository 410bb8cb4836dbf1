#include "cmd/cmd.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool process_id(const char *given, pid_t *pid)
{
	char *end, *path;
	long value = strtol(given, &end, 10);
	bool there;

	if (*given < '1' || *given > '9' || *end || value > INT32_MAX) {
		warn("\"%s\" is no process id", given);
		return false;
	}
	*pid = (pid_t)value;
	path = text("/proc/%ld", value);
	there = access(path, F_OK) == 0;
	free(path);
	if (!there)
		warn("there is no process %ld", value);
	return there;
}

bool maps_walk(pid_t pid, bool (*each)(const struct mapping *m, void *argument), void *argument)
{
	char *path = text("/proc/%d/maps", (int)pid), *line = NULL;
	FILE *in = fopen(path, "re");
	static struct mapping m;
	bool found = false;
	size_t room = 0;

	free(path);
	if (!in)
		return false;
	while (!found && getline(&line, &room, in) > 0) {
		char *deleted;

		if (sscanf(line, "%zx-%zx %*s %zx %*s %*s %4095[^\n]", &m.start, &m.end, &m.offset, m.path) != 4)
			continue;
		deleted = strstr(m.path, " (deleted)");
		if (deleted)
			*deleted = 0;
		found = *m.path == '/' && each(&m, argument);
	}
	free(line);
	fclose(in);
	return found;
}

bool process_secure(pid_t pid)
{
	char *path = text("/proc/%d/auxv", (int)pid);
	FILE *in = fopen(path, "re");
	ElfW(auxv_t) entry;
	bool secure = false;

	free(path);
	if (!in)
		return false;
	while (fread(&entry, sizeof entry, 1, in) == 1)
		if (entry.a_type == AT_SECURE)
			secure = entry.a_un.a_val;
	fclose(in);
	return secure;
}

const char *process_advice(void)
{
	return geteuid() == 0 ? "ask from outside this container, or with CAP_SYS_PTRACE" :
				"ask again as root or as its user";
}

char *process_variable(pid_t pid, const char *name)
{
	char *path = text("/proc/%d/environ", (int)pid), *entry = NULL, *value = NULL;
	FILE *in = fopen(path, "re");
	size_t room = 0, length = strlen(name);

	free(path);
	while (in && !value && getdelim(&entry, &room, 0, in) > 0)
		if (!strncmp(entry, name, length) && entry[length] == '=')
			value = text("%s", entry + length + 1);
	free(entry);
	if (in)
		fclose(in);
	return value;
}

char *process_path(pid_t pid, const char *path)
{
	return text("/proc/%d/root%s", (int)pid, path);
}

/* Tests show it other machines than this one. */
char *file_line(const char *path)
{
	const char *root = getenv("HAKMEM_TEST_ROOT");
	char *full = text("%s%s", root ? root : "", path), *line = NULL;
	FILE *in = fopen(full, "re");
	size_t room = 0;
	ssize_t length = in ? getline(&line, &room, in) : -1;

	free(full);
	if (in)
		fclose(in);
	if (length < 0) {
		free(line);
		return NULL;
	}
	line[strcspn(line, "\n")] = 0;
	return line;
}
