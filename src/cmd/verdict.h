/* What hakmem check finds out: is the library in a process, or would it be in a program? */
#ifndef HK_CMD_VERDICT_H
#define HK_CMD_VERDICT_H

#include "cmd/cmd.h"

enum presence { ABSENT, PRESENT, UNKNOWN };

struct verdict {
	enum presence present;
	char *what;		/* the file, or the reason; NULL: nothing is found yet */
	const char *advice;	/* or NULL */
};

struct verdict verdict_no(const char *advice, char *why);
struct verdict verdict_unknown(const char *advice, char *why);

/* obstacle.c: what keeps a preload out of the program in this file, or that the library is
 * linked in; what stays NULL if nothing does. */
struct verdict obstacle_in(const char *path);
/* The same for a program as execvp finds it; *path: the file that the kernel would run in
 * the end, or NULL. */
struct verdict obstacle_of(const char *name, char **path);
/* The allocator that the program has inside, if it has one. */
struct verdict allocator_in(const char *path);

/* check.c: a process; it may have chosen the strings in the verdict. */
struct verdict process_verdict(pid_t pid);
json_t *verdict_json(const struct verdict *v);	/* true, false, or null if unknown */

#endif
