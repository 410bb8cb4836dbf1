/* The result of hakmem check: is the library in a process, or would it be in a program? */
#ifndef HK_CMD_VERDICT_H
#define HK_CMD_VERDICT_H

#include "cmd/cmd.h"

enum presence { ABSENT, PRESENT, UNKNOWN };

struct verdict {
	enum presence present;
	char *what;		/* the file, or the reason; NULL: nothing was found yet */
	const char *advice;	/* or NULL */
};

struct verdict verdict_no(const char *advice, char *why);
struct verdict verdict_unknown(const char *advice, char *why);

/* obstacle.c: why nothing can be preloaded into the program in this file, or that the library
 * is linked in. If neither is the case, the member what is NULL. */
struct verdict obstacle_in(const char *path);
/* The same for a program that is looked up as execvp does; *path: the file that the kernel
 * would run in the end, or NULL. */
struct verdict obstacle_of(const char *name, char **path);
/* The allocator that the program contains, if any. */
struct verdict allocator_in(const char *path);

/* check.c: the verdict on a process, which may have chosen the strings in it. */
struct verdict process_verdict(pid_t pid);
json_t *verdict_json(const struct verdict *v);	/* true, false, or null if unknown */

#endif
