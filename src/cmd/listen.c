/* Determines whether a server waits for its first client. */
#include "cmd/compare.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST_SOCKETS = 65536 };

static int by_number(const void *a, const void *b)
{
	unsigned long x = *(const unsigned long *)a, y = *(const unsigned long *)b;

	return (x > y) - (x < y);
}

/* The inodes of the listening sockets in a table of the kernel. */
static unsigned listeners_in(pid_t pid, const char *table, unsigned long *inode, unsigned count)
{
	char path[64], line[512];
	unsigned state, flags, type;
	FILE *in;

	snprintf(path, sizeof path, "/proc/%d/net/%s", (int)pid, table);
	in = fopen(path, "re");
	while (in && count < MOST_SOCKETS && fgets(line, sizeof line, in)) {
		if (!strcmp(table, "unix")) {
			enum { ACCEPTS = 0x10000, DATAGRAMS = 2 };

			if (sscanf(line, "%*s %*x %*x %x %x %*x %lu", &flags, &type, &inode[count]) == 3 &&
			    (flags & ACCEPTS || type == DATAGRAMS))
				count++;
		} else {
			enum { LISTENS = 10, UNCONNECTED = 7 };

			if (sscanf(line, "%*s %*s %*s %x %*s %*s %*s %*s %*s %lu", &state, &inode[count]) == 2 &&
			    state == (*table == 't' ? LISTENS : UNCONNECTED))
				count++;
		}
	}
	if (in)
		fclose(in);
	return count;
}

static bool has_one(pid_t pid, const unsigned long *inode, unsigned count)
{
	char path[96], name[64];
	struct dirent *entry;
	bool found = false;
	DIR *files;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	files = opendir(path);
	while (files && !found && (entry = readdir(files))) {
		ssize_t length = readlinkat(dirfd(files), entry->d_name, name, sizeof name - 1);
		unsigned long number;

		name[length > 0 ? length : 0] = 0;
		found = sscanf(name, "socket:[%lu]", &number) == 1 &&
			bsearch(&number, inode, count, sizeof *inode, by_number);
	}
	if (files)
		closedir(files);
	return found;
}

static bool listens(const pid_t *pid, unsigned processes)
{
	static const char *const tables[] = { "tcp", "tcp6", "udp", "udp6", "unix" };
	static unsigned long inode[MOST_SOCKETS];
	unsigned count = 0, i;

	for (i = 0; i < sizeof tables / sizeof *tables; i++)
		count = listeners_in(pid[0], tables[i], inode, count);
	qsort(inode, count, sizeof *inode, by_number);
	for (i = 0; i < processes; i++)
		if (has_one(pid[i], inode, count))
			return true;
	return false;
}

static bool is_asleep(pid_t pid)
{
	char path[64], line[512], *end;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
	end = slurp(path, line, sizeof line) ? strrchr(line, ')') : NULL;
	return end && !strncmp(end, ") S", 3);
}

/* A server that listens and has slept for a while has finished its start. If it listens but
 * never sleeps, the wait ends after patience seconds. */
bool is_ready(const pid_t *pid, unsigned count, double now)
{
	static double listens_since, asleep_since;
	const double asleep = 0.1, patience = 5;

	if (!listens_since && listens(pid, count))
		listens_since = now;
	if (!listens_since)
		return false;
	if (!is_asleep(pid[0]))
		asleep_since = 0;
	else if (!asleep_since)
		asleep_since = now;
	return (asleep_since && now - asleep_since > asleep) || now - listens_since > patience;
}
