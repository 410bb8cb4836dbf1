/* reader.c: runs a function that reads one process, in a child that can be killed. */
#ifndef HK_CMD_READER_H
#define HK_CMD_READER_H

#include "cmd/cmd.h"

#include <signal.h>

enum { MOST_WATCHED = 2 };

struct reader {
	size_t size;			/* of a reply, which is initially zero */
	/* Called in the child, which may read anything but must not write. */
	void (*read)(pid_t pid, void *reply);
	/* Called in the parent, in any order, with the reply, which may have any contents; or
	 * with NULL and the reason. */
	void (*done)(pid_t pid, const void *reply, const char *fault, void *argument);
	void *argument;
	/* Called when one of these is readable, and from time to time; true stops the
	 * reading. */
	bool (*stop)(void);
	int watched[MOST_WATCHED];
};
bool reader_run(const struct reader *r, const pid_t *pid, unsigned count);	/* false: stopped */

/* Called in the child: has it used this share of its time? */
bool reader_late(double share);

/* For other children that do what may crash or never end. child_start forks with all signals
 * blocked; in the child, child_confine then makes `out` CHILD_OUT, the only descriptor that it
 * keeps, and limits its seconds of CPU time and its bytes of address space. */
enum { CHILD_OUT = 3 };
pid_t child_start(sigset_t *mask);
void child_confine(const char *name, int out, const sigset_t *mask, unsigned cpu, size_t memory);

#endif
