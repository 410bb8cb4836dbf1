/* The limits of control groups, for the library and the command. */
#ifndef HK_OS_LIMIT_H
#define HK_OS_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

enum { HK_GROUPS_TEXT = 2048, HK_GROUP_PATH = 1024 };

/* What a look at the files found: the lowest limit, or UINT64_MAX; the number of files that
 * were read; the last negated errno other than that a file does not exist. */
struct hk_groups_look {
	uint64_t least;
	unsigned files;
	long error;
};

/* Reads the names of the process's groups from the files below root. */
void hk_groups_read(const char *root, char groups[HK_GROUPS_TEXT]);
/* Reads the limits of these groups and of those above them. */
struct hk_groups_look hk_groups_look(const char *root, const char *groups);
/* The path of a file of the group of version 2. False: there is none, or it is too long. */
bool hk_groups_path(const char *groups, const char *file, char path[HK_GROUP_PATH]);

/* The names of the process's own groups, read at the start. */
extern char hk_own_groups[HK_GROUPS_TEXT];

#endif
