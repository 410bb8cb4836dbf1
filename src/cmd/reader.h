/* reader.c: a function of one process, in a child that can be ended. */
#ifndef HK_CMD_READER_H
#define HK_CMD_READER_H

#include "cmd/cmd.h"

enum { MOST_WATCHED = 2 };

struct reader {
	size_t size;			/* of a reply, which begins as zeros */
	/* In the child, which may read what it likes and write nothing. */
	void (*read)(pid_t pid, void *reply);
	/* In the parent, in any order: the reply, of which every bit may be wrong,
	 * or NULL and why there is none. */
	void (*done)(pid_t pid, const void *reply, const char *fault, void *argument);
	void *argument;
	/* Asked when one of these is readable, and now and then: true ends all. */
	bool (*stop)(void);
	int watched[MOST_WATCHED];
};
bool reader_run(const struct reader *r, const pid_t *pid, unsigned count);	/* false: stopped */

/* In the child: of the time that it has, this share is over. */
bool reader_late(double share);

#endif
