/* Finds and reads the heaps of several processes, each in a child. */
#include "cmd/heap.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct list {
	struct heap *heap;
	unsigned count;
	bool all;		/* all processes were asked for: keep those on HAKMEM */
	unsigned hidden;		/* how many of these may not be read */
};

static void read_one(pid_t pid, void *reply)
{
	struct hk_stats_page page;

	if (heap_find(pid, &page, reply))
		heap_read(pid, &page, reply);
}

static char *command_of(pid_t pid)
{
	char *path = text("/proc/%d/comm", (int)pid), *line = file_line(path), *command = printable(line ? line : "?", 64);

	free(path);
	free(line);
	return command;
}

/* When all processes are read: is this one on HAKMEM, or did reading it fail although it
 * still exists? */
static bool is_shown(struct list *list, const struct heap_reply *reply, unsigned long long started)
{
	if (reply && reply->state == HEAP_HIDDEN)
		list->hidden++;
	return reply && reply->state <= HEAP_READ ? reply->state == HEAP_READ : started;
}

static void add(pid_t pid, const void *reply, const char *fault, void *argument)
{
	unsigned long long started = process_started(pid);
	struct list *list = argument;
	struct heap *heap;

	if (list->all && !is_shown(list, reply, started))
		return;
	list->heap = grow(list->heap, (list->count + 1) * sizeof *heap);
	heap = &list->heap[list->count++];
	*heap = (struct heap){ .pid = pid, .started = started, .command = command_of(pid) };
	if (reply) {
		heap_accept(heap, reply);
	} else {
		heap->state = HEAP_FAULT;
		heap->why = text("%s", fault);
	}
}

static int by_id(const void *a, const void *b)
{
	pid_t x = ((const struct heap *)a)->pid, y = ((const struct heap *)b)->pid;

	return (x > y) - (x < y);
}

static bool read_list(struct list *list, const pid_t *pid, unsigned count, const struct reader *watch)
{
	struct reader r = watch ? *watch : (struct reader){ 0 };
	unsigned i;

	r.size = sizeof(struct heap_reply);
	r.read = read_one;
	r.done = add;
	r.argument = list;
	list->heap = grow(NULL, sizeof *list->heap);
	if (!reader_run(&r, pid, count)) {
		heaps_free(list->heap, list->count);
		return false;
	}
	qsort(list->heap, list->count, sizeof *list->heap, by_id);
	for (i = 0; i < list->count; i++)
		list->heap[i].s.version = list->heap[i].version;
	return true;
}

struct heap *heaps_read(const pid_t *pid, unsigned count, const struct reader *watch)
{
	struct list list = { 0 };

	return read_list(&list, pid, count, watch) ? list.heap : NULL;
}

/* Kernel threads and zombies have neither a program nor memory, and every user may see that.
 * If the program of a process must not be seen, nothing else of the process can be read: it
 * is hidden. */
static bool shows_program(pid_t pid, unsigned *hidden)
{
	int error = process_program_error(pid);
	size_t rss, anonymous;

	*hidden += (error == EACCES || error == EPERM) && memory_quick(pid, &rss, &anonymous);
	return !error;
}

struct heap *heaps_read_all(unsigned *count, unsigned *hidden, const struct reader *watch)
{
	struct list list = { .all = true };
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	pid_t *pid = NULL, id;
	bool whole;

	*count = 0;
	while (proc && (entry = readdir(proc))) {
		id = isdigit((unsigned char)*entry->d_name) ? process_thread((pid_t)atoi(entry->d_name)) : 0;
		if (!id || !shows_program(id, &list.hidden))
			continue;
		pid = grow(pid, (*count + 1) * sizeof *pid);
		pid[(*count)++] = id;
	}
	if (proc)
		closedir(proc);
	whole = read_list(&list, pid, *count, watch);
	free(pid);
	*count = list.count;
	*hidden = list.hidden;
	return whole ? list.heap : NULL;
}

void heaps_free(struct heap *list, unsigned count)
{
	unsigned i;

	for (i = 0; i < count; i++) {
		free(list[i].command);
		free(list[i].why);
		memory_forget(&list[i].memory);
	}
	free(list);
}

size_t heap_slow_paths(const struct heap *heap)
{
	size_t sum = 0;
	unsigned i;

	for (i = 0; i < HK_CLASSES; i++)
		sum += heap->s.class[i].refills + heap->s.class[i].flushes;
	return sum;
}

char *heap_fault(const struct heap *heap)
{
	return text("process %d (%s): %s", (int)heap->pid, heap->command, heap->why);
}
