/*
 * The heap of another process, read through its statistics page. Nothing that
 * is read from there is trusted: sizes and pointers may be anything, and the
 * worst that follows is a wrong figure. A child reads (reader.h), and what it
 * answers is not trusted either.
 */
#ifndef HK_CMD_HEAP_H
#define HK_CMD_HEAP_H

#include "cmd/reader.h"
#include "stats/page.h"

enum heap_state {
	HEAP_NONE,			/* not on HAKMEM, not to be looked at, ended */
	HEAP_READ,
	HEAP_FAULT,			/* what is there cannot be read */
	HEAP_STATES
};

struct heap {
	pid_t pid;
	enum heap_state state;
	char *command;			/* its name, of /proc/PID/comm, printable */
	char *why;			/* NULL if it was read; printable */
	bool exact;			/* of one moment; else some moved while they were read */
	char version[sizeof(((struct hk_stats_page *)0)->library) + 1];
	struct hk_snapshot s;		/* of version and class size, and no decisions */
};

/* In the order of their ids. NULL: stopped; watch may be NULL and has what
 * reader.h says. */
struct heap *heaps_read(const pid_t *pid, unsigned count, const struct reader *watch);
/* Of every process that we may look at, those that are on HAKMEM. */
struct heap *heaps_read_all(unsigned *count, const struct reader *watch);
void heaps_free(struct heap *list, unsigned count);
/* One line about a heap that could not be read; the caller's to free. */
char *heap_fault(const struct heap *heap);

/* Inside of the child. */
struct heap_reply {
	uint8_t state, exact, history;
	char version[sizeof(((struct hk_stats_page *)0)->library) + 1];
	char why[512];
	struct hak_stats all;
	struct hak_class_stats class[HK_CLASSES];
};
/* find.c: the page of a process; else reply says why not. */
bool heap_find(pid_t pid, struct hk_stats_page *page, struct heap_reply *reply);
/* Nothing but the page, and what process_vm_readv gives, goes in. */
void heap_read(pid_t pid, const struct hk_stats_page *page, struct heap_reply *reply);
/* In the parent again: what a reply says, whatever is in it. */
void heap_accept(struct heap *heap, const struct heap_reply *reply);

#endif
