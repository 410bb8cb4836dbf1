/*
 * The heap of another process, read through its statistics page. Nothing that
 * is read from there is trusted: sizes and pointers may be anything, and the
 * worst that follows is a wrong figure.
 */
#ifndef HK_CMD_HEAP_H
#define HK_CMD_HEAP_H

#include "cmd/cmd.h"
#include "stats/page.h"

struct heap {
	pid_t pid;
	struct hk_stats_page page;	/* a copy */
	char *command;			/* its name, of /proc/PID/comm */
};

/* NULL: found. Else why not, for a message; the caller's to free. */
char *heap_find(struct heap *heap, pid_t pid);
void heap_forget(struct heap *heap);

/* False: the process is gone, or what is there makes no sense. *exact: the
 * figures are those of one moment; else some moved while they were read. */
bool heap_read(const struct heap *heap, struct hk_snapshot *s, bool *exact);

/* find.c: every process that has the library and that we may read. */
struct heap *heap_find_all(unsigned *count);

#endif
