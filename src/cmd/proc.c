#include "cmd/cmd.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

bool process_hidden(pid_t pid)
{
	char *path = text("/proc/%d", (int)pid);
	bool shown = access(path, F_OK) == 0;

	free(path);
	return !shown && (kill(pid, 0) == 0 || errno == EPERM);
}

int process_program_error(pid_t pid)
{
	char *link = text("/proc/%d/exe", (int)pid), unused;
	int error = readlink(link, &unused, 1) > 0 ? 0 : errno;

	free(link);
	return error;
}

static bool has_program(pid_t pid)
{
	return process_program_error(pid) != ENOENT;
}

pid_t process_thread(pid_t pid)
{
	char *path = text("/proc/%d/task", (int)pid);
	DIR *tasks = has_program(pid) ? NULL : opendir(path);
	struct dirent *entry;
	pid_t found = pid, task;

	while (tasks && found == pid && (entry = readdir(tasks))) {
		task = (pid_t)atoi(entry->d_name);
		if (task > 0 && task != pid && has_program(task))
			found = task;
	}
	if (tasks)
		closedir(tasks);
	free(path);
	return found;
}

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
	there = access(path, F_OK) == 0 || process_hidden(*pid);
	free(path);
	if (!there)
		warn("there is no process %ld", value);
	*pid = process_thread(*pid);
	return there;
}

unsigned long long process_started(pid_t pid)
{
	char *path = text("/proc/%d/stat", (int)pid), *line = file_line(path), *end = line ? strrchr(line, ')') : NULL;
	unsigned long long started;

	if (!end || sscanf(end, ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu",
			   &started) != 1)
		started = 0;
	free(path);
	free(line);
	return started;
}

static char state_of(pid_t pid)
{
	char *path = text("/proc/%d/stat", (int)pid), *line = file_line(path), *end = line ? strrchr(line, ')') : NULL;
	char state = (char)(end && end[1] == ' ' ? end[2] : 0);

	free(path);
	free(line);
	return state;
}

bool process_runs(pid_t pid)
{
	return state_of(pid) == 'R';
}

bool process_stopped(pid_t pid)
{
	char state = state_of(pid);

	return state == 'T' || state == 't';
}

/* Removes what the kernel appends to the name of a deleted file. */
void path_there(char *path)
{
	static const char gone[] = " (deleted)";
	size_t length = strlen(path);

	if (length >= sizeof gone && !strcmp(path + length - (sizeof gone - 1), gone))
		path[length - (sizeof gone - 1)] = 0;
}

/* The kernel writes a newline in a path as \012. */
static void decode(char *path)
{
	char *from = path, *to = path;

	while (*from) {
		bool newline = !strncmp(from, "\\012", 4);

		*to++ = newline ? '\n' : *from;
		from += newline ? 4 : 1;
	}
	*to = 0;
	path_there(path);
}

bool maps_walk(pid_t pid, bool (*each)(const struct mapping *m, void *argument), void *argument)
{
	char *path = text("/proc/%d/maps", (int)pid), *line = NULL;
	FILE *in = fopen(path, "re");
	static struct mapping m;
	unsigned major, minor;
	bool found = false;
	size_t room = 0;

	free(path);
	if (!in)
		return false;
	while (!found && getline(&line, &room, in) > 0) {
		if (sscanf(line, "%zx-%zx %*s %zx %x:%x %llu %4095[^\n]", &m.start, &m.end, &m.offset, &major, &minor,
			   &m.inode, m.path) != 7 || *m.path != '/')
			continue;
		m.device = makedev(major, minor);
		decode(m.path);
		found = each(&m, argument);
	}
	free(line);
	fclose(in);
	return found;
}

bool maps_of_program(pid_t pid, char *program, bool (*each)(const struct mapping *m, void *argument), void *argument)
{
	char link[64], after[PATH_MAX];
	ssize_t length, again;

	snprintf(link, sizeof link, "/proc/%d/exe", (int)pid);
	length = readlink(link, program, PATH_MAX - 1);
	if (length < 0)
		return false;
	program[length] = 0;
	maps_walk(pid, each, argument);
	again = readlink(link, after, sizeof after);
	if (again == length && !memcmp(program, after, (size_t)length))
		return true;
	errno = again < 0 ? errno : EAGAIN;
	return false;
}

int regular_file(int found)
{
	char path[32];
	struct stat s;
	int fd = -1;

	if (found < 0)
		return -1;
	snprintf(path, sizeof path, "/proc/self/fd/%d", found);
	if (fstat(found, &s) < 0 || !S_ISREG(s.st_mode))
		errno = ENOEXEC;
	else	/* non-blocking, because another process may hold a lease */
		fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	close(found);
	return fd;
}

/* For openat2(2), which libc does not have. */
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
enum { NO_MAGICLINKS = 2, NO_SYMLINKS = 4, IN_ROOT = 16 };

/* Opens the mapped file by its path below a root directory, where the process may have put another file. */
static int file_below(const char *directory, const struct mapping *m)
{
	struct { uint64_t flags, mode, resolve; } how = { O_PATH | O_CLOEXEC, 0, IN_ROOT | NO_SYMLINKS | NO_MAGICLINKS };
	int root = open(directory, O_PATH | O_CLOEXEC | O_DIRECTORY), fd;
	struct stat s;

	if (root < 0)
		return -1;
	fd = (int)syscall(SYS_openat2, root, m->path, &how, sizeof how);
	close(root);
	if (fd >= 0 && (fstat(fd, &s) < 0 || s.st_dev != m->device || s.st_ino != m->inode)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* If the root directory of the reader contains the file, the path in maps begins there. */
static int file_at_path(pid_t pid, const struct mapping *m)
{
	char *root = text("/proc/%d/root", (int)pid);
	int fd = file_below(root, m);

	free(root);
	return fd >= 0 ? fd : file_below("/", m);
}

/* map_files leads to the mapped file itself, but only root may use it. */
int mapping_file(pid_t pid, const struct mapping *m)
{
	char *path = text("/proc/%d/map_files/%zx-%zx", (int)pid, m->start, m->end);
	int fd = open(path, O_PATH | O_CLOEXEC);

	free(path);
	return regular_file(fd >= 0 ? fd : file_at_path(pid, m));
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

/* HAKMEM_TEST_ROOT lets tests replace the files of the machine. */
FILE *file_open(const char *path)
{
	const char *root = getenv("HAKMEM_TEST_ROOT");
	char *full = text("%s%s", root ? root : "", path);
	FILE *in = fopen(full, "re");

	free(full);
	return in;
}

char *file_line(const char *path)
{
	FILE *in = file_open(path);
	char *line = NULL;
	size_t room = 0;
	ssize_t length = in ? getline(&line, &room, in) : -1;

	if (in)
		fclose(in);
	if (length < 0) {
		free(line);
		return NULL;
	}
	line[strcspn(line, "\n")] = 0;
	return line;
}
