/* reader.c: runs a function that reads one process, in a child that can be killed. */
#ifndef HK_CMD_READER_H
#define HK_CMD_READER_H

#include "cmd/cmd.h"

enum { MOST_WATCHED = 2 };

struct reader {
	size_t size;			/* of a reply, which is initially zero */
	/* Called in the child, which may read anything and write nothing. */
	void (*read)(pid_t pid, void *reply);
	/* Called in the parent, in any order: the reply, which may have any contents, or
	 * NULL and the reason why there is none. */
	void (*done)(pid_t pid, const void *reply, const char *fault, void *argument);
	void *argument;
	/* Called when one of these is readable, and from time to time: true ends all. */
	bool (*stop)(void);
	int watched[MOST_WATCHED];
};
bool reader_run(const struct reader *r, const pid_t *pid, unsigned count);	/* false: stopped */

/* In the child: has it used this share of its time? */
bool reader_late(double share);

#endif
