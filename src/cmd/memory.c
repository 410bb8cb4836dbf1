/* The memory of a process as reported by the kernel, and its cgroup and systemd unit. */
#include "cmd/heap.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct reply {
	uint8_t has_rollup, has_cgroup;
	struct rollup rollup;
	char cgroup[1024];
};

/* Approximate: the kernel combines the counters of the processors only from time to time. */
bool memory_quick(pid_t pid, size_t *rss, size_t *anonymous)
{
	char *path = text("/proc/%d/statm", (int)pid), *line = file_line(path);
	size_t all, shared, page = (size_t)sysconf(_SC_PAGESIZE);
	bool good = line && sscanf(line, "%*u %zu %zu", &all, &shared) == 2 && all;

	*rss = good ? all * page : 0;
	*anonymous = good && all > shared ? (all - shared) * page : 0;
	free(path);
	free(line);
	return good;
}

bool rollup_read(pid_t pid, struct rollup *rollup)
{
	static const struct {
		const char *name;
		size_t offset;
	} wanted[] = {
		{ "Rss:", offsetof(struct rollup, rss) }, { "Pss:", offsetof(struct rollup, pss) },
		{ "Anonymous:", offsetof(struct rollup, anonymous) }, { "Swap:", offsetof(struct rollup, swap) },
	};
	enum { WANTED = sizeof wanted / sizeof *wanted };
	char *path = text("/proc/%d/smaps_rollup", (int)pid), line[256], name[32];
	FILE *in = file_open(path);
	unsigned i, found = 0;
	size_t kib;

	free(path);
	while (in && fgets(line, sizeof line, in)) {
		if (sscanf(line, "%31s %zu kB", name, &kib) != 2)
			continue;
		for (i = 0; i < WANTED && strcmp(name, wanted[i].name) != 0; i++)
			;
		if (i == WANTED)
			continue;
		*(size_t *)((char *)rollup + wanted[i].offset) = kib * 1024;
		found++;
	}
	if (in)
		fclose(in);
	return found == WANTED;
}

/* The line of the unified hierarchy or, in version 1, of systemd's hierarchy. */
static void read_cgroup(pid_t pid, struct reply *reply)
{
	char *path = text("/proc/%d/cgroup", (int)pid), *line = NULL;
	FILE *in = file_open(path);
	size_t room = 0;

	free(path);
	while (in && getline(&line, &room, in) > 0) {
		const char *group = strstr(line, ":/");
		bool unified = !strncmp(line, "0::", 3), systemd = strstr(line, ":name=systemd:");

		if (!group || !(unified || systemd) || (unified && reply->has_cgroup && !strcmp(group, ":/\n")))
			continue;
		snprintf(reply->cgroup, sizeof reply->cgroup, "%.*s", (int)strcspn(group + 1, "\n"), group + 1);
		reply->has_cgroup = 1;
	}
	free(line);
	if (in)
		fclose(in);
}

static void read_one(pid_t pid, void *reply)
{
	struct reply *r = reply;

	read_cgroup(pid, reply);
	r->has_rollup = rollup_read(pid, &r->rollup);
}

/* The innermost service or scope; a service may have subgroups. */
static char *unit_of(const char *cgroup)
{
	static const char *const ends[] = { ".service", ".scope" };
	char *unit = NULL;
	size_t length, end;
	unsigned i;

	for (; *cgroup; cgroup += length + (cgroup[length] == '/')) {
		length = strcspn(cgroup, "/");
		for (i = 0; i < 2; i++) {
			end = strlen(ends[i]);
			if (length <= end || strncmp(cgroup + length - end, ends[i], end) != 0)
				continue;
			free(unit);
			unit = text("%.*s", (int)length, cgroup);
		}
	}
	return unit;
}

static void memory_accept(struct memory *m, const void *answer)
{
	struct reply reply = *(const struct reply *)answer;

	reply.cgroup[sizeof reply.cgroup - 1] = 0;
	if (reply.has_rollup == 1) {
		m->rss = reply.rollup.rss;
		m->anonymous = reply.rollup.anonymous < m->rss ? reply.rollup.anonymous : m->rss;
		m->pss = reply.rollup.pss;
		m->swap = reply.rollup.swap;
		m->known = m->exact = true;
	}
	if (reply.has_cgroup == 1) {
		m->cgroup = text("%s", reply.cgroup);
		m->unit = unit_of(reply.cgroup);
	}
}

struct list {
	struct heap *heap;
	unsigned count;
};

static void add(pid_t pid, const void *reply, const char *fault, void *argument)
{
	struct list *list = argument;
	unsigned i;

	for (i = 0; !fault && i < list->count; i++)
		if (list->heap[i].pid == pid)
			memory_accept(&list->heap[i].memory, reply);
}

bool memory_read(struct heap *heap, unsigned count, const struct reader *watch)
{
	struct list list = { heap, count };
	struct reader r = watch ? *watch : (struct reader){ 0 };
	pid_t *pid = grow(NULL, (count + 1) * sizeof *pid);
	unsigned i, readable = 0;
	bool whole;

	for (i = 0; i < count; i++) {
		struct memory *m = &heap[i].memory;

		memory_forget(m);
		*m = (struct memory){ 0 };
		m->known = memory_quick(heap[i].pid, &m->rss, &m->anonymous);
		if (heap[i].state == HEAP_READ)
			pid[readable++] = heap[i].pid;
	}
	r.size = sizeof(struct reply);
	r.read = read_one;
	r.done = add;
	r.argument = &list;
	whole = reader_run(&r, pid, readable);
	free(pid);
	return whole;
}

void memory_forget(struct memory *m)
{
	free(m->cgroup);
	free(m->unit);
	m->cgroup = m->unit = NULL;
}

static size_t take(size_t *left, size_t wanted)
{
	size_t taken = wanted < *left ? wanted : *left;

	*left -= taken;
	return taken;
}

/* The kernel does not report which pages belong to what. Metadata and cached blocks have been
 * written, so they are counted first; blocks in use may have untouched pages. What remains is
 * free memory, or anonymous memory outside the heap. */
struct shares memory_shares(const struct memory *m, const struct hak_stats *a)
{
	size_t left = m->anonymous, heap;
	struct shares s = { .metadata = take(&left, a->metadata) };

	s.cached = take(&left, a->cached);
	s.in_use = take(&left, a->in_use);
	s.free = take(&left, a->free_bytes > a->hole_bytes ? a->free_bytes - a->hole_bytes : 0);
	heap = s.metadata + s.cached + s.in_use + s.free;
	s.other = m->rss - heap;
	s.absent = a->mapped > heap ? a->mapped - heap : 0;
	return s;
}
