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
	HEAP_NONE,			/* not on HAKMEM, or has ended */
	HEAP_HIDDEN,			/* access denied: not known whether on HAKMEM */
	HEAP_READ,
	HEAP_FAULT,			/* on HAKMEM, but cannot be read */
	HEAP_STATES
};

/* The memory of a process as reported by the kernel; see memory.c. */
struct memory {
	bool known;			/* rss and anonymous are known */
	bool exact;			/* they are exact, and pss and swap are known too */
	size_t rss, anonymous, pss, swap;
	char *cgroup, *unit;		/* not escaped for printing; NULL: unknown, or none */
};

/* The lists of one thread. */
struct heap_thread {
	size_t number;			/* of its cache; threads may reuse it */
	size_t cached;			/* bytes */
	size_t refills, flushes, sent, received;
};
enum { HEAP_THREADS = 64 };

struct heap {
	pid_t pid;
	unsigned long long started;	/* see process_started() */
	enum heap_state state;
	char *command;			/* its name from /proc/PID/comm, printable */
	char *why;			/* NULL if it was read; printable */
	bool exact;			/* false: figures changed while they were read */
	char version[sizeof(((struct hk_stats_page *)0)->library) + 1];
	struct hk_snapshot s;		/* without decisions */
	struct heap_thread thread[HEAP_THREADS];	/* largest lists first */
	unsigned threads;
	size_t shared_cached;		/* bytes in lists of the shared cache */
	struct memory memory;
};

/* Reads these processes; the result is in the order of their ids. NULL: stopped by watch,
 * which may be NULL; see reader.h. */
struct heap *heaps_read(const pid_t *pid, unsigned count, const struct reader *watch);
/* Reads all processes on HAKMEM that may be read; hidden: how many processes may not. */
struct heap *heaps_read_all(unsigned *count, unsigned *hidden, const struct reader *watch);
void heaps_free(struct heap *list, unsigned count);
size_t heap_slow_paths(const struct heap *heap);	/* refills and flushes so far */
/* One line about a heap that could not be read; the caller frees it. */
char *heap_fault(const struct heap *heap);

/* memory.c: fills in the memory of these heaps, in children. False: stopped by watch. */
bool memory_read(struct heap *heap, unsigned count, const struct reader *watch);
void memory_forget(struct memory *m);
/* Splits RSS by use; free has at most that size. The sum of all members but absent is RSS. */
struct shares {
	size_t in_use, cached, free, metadata;
	size_t other;			/* not part of the heap */
	size_t absent;			/* part of the heap, but not resident */
};
struct shares memory_shares(const struct memory *m, const struct hak_stats *a);

/* metrics.c: heaps in the text format of Prometheus. */
void metrics_write(FILE *out, const struct heap *heap, unsigned count, unsigned hidden);

/* The reply of the child. */
struct heap_reply {
	uint8_t state, exact, history;
	char version[sizeof(((struct hk_stats_page *)0)->library) + 1];
	char why[512];
	struct hak_stats all;
	struct hak_class_stats class[HK_CLASSES];
	struct heap_thread thread[HEAP_THREADS];
	size_t shared_cached;
};
/* find.c: finds the page of a process; if false, the reply has the reason. */
bool heap_find(pid_t pid, struct hk_stats_page *page, struct heap_reply *reply);
/* Reads only the page and, with process_vm_readv, the memory of the process. */
void heap_read(pid_t pid, const struct hk_stats_page *page, struct heap_reply *reply);
/* In the parent: converts a reply, which may have any contents. */
void heap_accept(struct heap *heap, const struct heap_reply *reply);

#endif
