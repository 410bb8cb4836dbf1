/*
 * The heap of another process, read through its statistics page. Nothing that is read
 * from the process is trusted: sizes and pointers may have any value, and the worst
 * consequence is a wrong figure. A child reads it (reader.h), and its reply is not
 * trusted either.
 */
#ifndef HK_CMD_HEAP_H
#define HK_CMD_HEAP_H

#include "cmd/reader.h"
#include "stats/page.h"

enum heap_state {
	HEAP_NONE,			/* not on HAKMEM, access denied, or ended */
	HEAP_READ,
	HEAP_FAULT,			/* on HAKMEM, but cannot be read */
	HEAP_STATES
};

struct heap {
	pid_t pid;
	enum heap_state state;
	char *command;			/* its name from /proc/PID/comm, printable */
	char *why;			/* NULL if it was read; printable */
	bool exact;			/* false: figures changed while they were read */
	char version[sizeof(((struct hk_stats_page *)0)->library) + 1];
	struct hk_snapshot s;		/* without decisions */
};

/* Reads these processes; the result is in the order of their ids. NULL: stopped by watch,
 * which may be NULL; see reader.h. */
struct heap *heaps_read(const pid_t *pid, unsigned count, const struct reader *watch);
/* Reads all processes on HAKMEM that may be read. */
struct heap *heaps_read_all(unsigned *count, const struct reader *watch);
void heaps_free(struct heap *list, unsigned count);
/* One line about a heap that could not be read; the caller frees it. */
char *heap_fault(const struct heap *heap);

/* The reply of the child. */
struct heap_reply {
	uint8_t state, exact, history;
	char version[sizeof(((struct hk_stats_page *)0)->library) + 1];
	char why[512];
	struct hak_stats all;
	struct hak_class_stats class[HK_CLASSES];
};
/* find.c: finds the page of a process; if false, the reply has the reason. */
bool heap_find(pid_t pid, struct hk_stats_page *page, struct heap_reply *reply);
/* Reads only the page and, with process_vm_readv, the memory of the process. */
void heap_read(pid_t pid, const struct hk_stats_page *page, struct heap_reply *reply);
/* In the parent: converts a reply, which may have any contents. */
void heap_accept(struct heap *heap, const struct heap_reply *reply);

#endif
