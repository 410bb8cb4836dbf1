/* hakmem run --leaks: what a program still holds at its end. */
#ifndef HK_CMD_LEAKS_H
#define HK_CMD_LEAKS_H

#include "cmd/profile.h"

/* suppress.c: which call stacks do not count. */
struct suppression {
	char *pattern;
	const char *module;		/* NULL: of the user; otherwise only frames in such a file count */
	double bytes;
	size_t stacks;
};
struct suppressions {
	struct suppression *list;
	size_t count;
	struct suppression linker;	/* what the dynamic linker keeps */
};
/* path: NULL for only those of the command. False: an error was printed. */
bool suppressions_read(struct suppressions *s, const char *path);
/* Removes the stacks that match from the sums of blocks in use. */
void suppressions_apply(struct suppressions *s, struct profile *p);
void suppressions_free(struct suppressions *s);

/* child.c: runs a program in a child and waits for it, while signals for this process reach the
 * child. become replaces the child by the program, or prints an error and returns an exit status. */
struct child {
	pid_t pid;
	int status;			/* as from waitpid */
	int failed;			/* the program did not start: the exit status; otherwise 0 */
};
struct child child_run(const struct args *a, int (*become)(const struct args *a));
/* Ends this process by the signal that ended the child. */
void child_signal(int number);

/* leaks.c */
struct leaks {
	char *folder;			/* where processes write their profiles */
	struct suppressions suppressions;
};
const char *leaks_contradiction(const struct args *a);	/* NULL: none */
/* Adds settings to those of the options. False: an error was printed. */
bool leaks_begin(struct leaks *leaks, struct args *a);
/* Runs the program and returns the exit status. */
int leaks_run(struct leaks *leaks, const struct args *a, int (*become)(const struct args *a));
void leaks_end(struct leaks *leaks);

#endif
