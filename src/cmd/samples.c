/*
 * Reads the table of samples of a process, in a child (reader.h). The reply of the child has a
 * fixed size; the parent checks all that it contains.
 */
#include "cmd/heap.h"
#include "cmd/profile.h"
#include "sample/table.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

enum { MOST_MAPS = 1 << 13, MOST_PATHS = 1 << 20 };

struct reply_map {
	uint64_t start, end, offset, device, inode;
	uint64_t path;			/* where it begins in the reply's paths */
};

struct samples_reply {
	struct heap_reply heap;		/* only state and why */
	uint64_t mean, now, taken, lost;
	uint32_t sites, samples, frames, maps, paths;
	uint8_t whole, mixed, on;
	struct hk_sample_site site[HK_SAMPLE_SITES];
	struct hk_sample sample[HK_SAMPLE_BLOCKS];
	uintptr_t frame[HK_SAMPLE_FRAMES];
	struct reply_map map[MOST_MAPS];
	char path[MOST_PATHS];
};

static const char *get(pid_t pid, const void *address, void *to, size_t size)
{
	struct iovec here = { to, size }, there = { (void *)(uintptr_t)address, size };

	if (!size || process_vm_readv(pid, &here, 1, &there, 1, 0) == (ssize_t)size)
		return NULL;
	memset(to, 0, size);
	return errno == ESRCH ? "it has ended" : "its table of samples leads to memory that is not there";
}

static bool known(const struct hk_sample_table *t)
{
	return !memcmp(t->magic, HK_SAMPLE_TABLE_MAGIC, sizeof HK_SAMPLE_TABLE_MAGIC) &&
	       t->version == HK_SAMPLE_TABLE_VERSION && t->size == sizeof *t &&
	       t->site_size == sizeof(struct hk_sample_site) && t->sample_size == sizeof(struct hk_sample) &&
	       t->frame_size == sizeof(uintptr_t);
}

static uint32_t least(uint32_t a, uint32_t b, uint32_t c)
{
	a = a < b ? a : b;
	return a < c ? a : c;
}

/* The frames are read after the sites, which lead to them. */
static const char *copy_table(pid_t pid, const void *at, const struct hk_sample_table *t,
			      struct samples_reply *s)
{
	struct hk_sample_table again = *t;
	const char *fault;

	s->mean = t->mean;
	memcpy(&s->mixed, &t->mixed, 1);
	memcpy(&s->on, &t->on, 1);
	memcpy(&s->whole, &t->whole, 1);
	s->sites = least(t->sites, t->sites_most, HK_SAMPLE_SITES);
	fault = get(pid, t->site, s->site, s->sites * sizeof *s->site);
	if (!fault)
		fault = get(pid, at, &again, sizeof again);
	if (fault)
		return fault;
	s->samples = least(again.samples, t->samples_most, HK_SAMPLE_BLOCKS);
	s->frames = least(again.frames, t->frames_most, HK_SAMPLE_FRAMES);
	fault = get(pid, t->sample, s->sample, s->samples * sizeof *s->sample);
	return fault ? fault : get(pid, t->frame, s->frame, s->frames * sizeof *s->frame);
}

static uint64_t milliseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static const char *read_table(pid_t pid, const struct hk_stats_page *page, struct samples_reply *s)
{
	struct hk_sample_table t;
	const char *fault;
	size_t count;
	void *at;

	fault = get(pid, page->total[HK_FIGURE_samples], &count, sizeof count);
	s->taken = count;
	if (!fault)
		fault = get(pid, page->total[HK_FIGURE_samples_lost], &count, sizeof count);
	s->lost = count;
	if (!fault)
		fault = get(pid, page->samples, &at, sizeof at);
	if (fault)
		return fault;
	if (!at) {
		s->mean = 0;
		return NULL;
	}
	fault = get(pid, at, &t, sizeof t);
	if (fault)
		return fault;
	if (!known(&t))
		return "its table of samples is of another version, or is damaged";
	fault = copy_table(pid, at, &t, s);
	s->now = milliseconds();
	return fault;
}

/* Only in the child: the frames in ascending order. */
struct frames {
	struct samples_reply *reply;
	uintptr_t *sorted;
};

static int by_value(const void *a, const void *b)
{
	uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;

	return (x > y) - (x < y);
}

/* Does the mapping contain the call? The return address is after the call, and may be that of the next mapping. */
static int by_mapping(const void *a, const void *b)
{
	const struct mapping *m = a;
	uintptr_t frame = *(const uintptr_t *)b;

	return frame <= m->start ? 1 : frame <= m->end ? 0 : -1;
}

/* A process may have any number of mappings, but few contain code. */
static bool add_map(const struct mapping *m, void *argument)
{
	const struct frames *f = argument;
	struct samples_reply *s = f->reply;
	size_t length = strlen(m->path) + 1;

	if (reader_late(1))
		return true;
	if (!bsearch(m, f->sorted, s->frames, sizeof *f->sorted, by_mapping))
		return false;
	if (s->maps == MOST_MAPS || length > sizeof s->path - s->paths)
		return true;
	memcpy(s->path + s->paths, m->path, length);
	s->map[s->maps++] = (struct reply_map){ m->start, m->end, m->offset, m->device, m->inode, s->paths };
	s->paths += (uint32_t)length;
	return false;
}

static void read_maps(pid_t pid, struct samples_reply *s)
{
	struct frames f = { s, grow(NULL, sizeof s->frame) };

	memcpy(f.sorted, s->frame, sizeof s->frame);
	qsort(f.sorted, s->frames, sizeof *f.sorted, by_value);
	maps_walk(pid, add_map, &f);
	free(f.sorted);
}

/* Called in the child. */
static void read_one(pid_t pid, void *reply)
{
	struct samples_reply *s = reply;
	unsigned long long started = process_started(pid);
	struct hk_stats_page page;
	const char *fault;

	if (!heap_find(pid, &page, &s->heap))
		return;
	fault = read_table(pid, &page, s);
	read_maps(pid, s);
	if (!fault && process_started(pid) != started)
		fault = "it has ended";
	s->heap.state = fault ? HEAP_FAULT : HEAP_READ;
	snprintf(s->heap.why, sizeof s->heap.why, "%s", fault ? fault : "");
}

struct reading {
	struct profile *profile;
	double min_age;
	bool good;
};

static struct sum sum_of(const struct hk_sample_sum *from)
{
	/* A sum that is being changed may be below 0 for a moment. */
	double samples = (double)(int64_t)from->samples, bytes = (double)(int64_t)from->bytes;
	double weight = (double)(int64_t)from->weight;

	if (samples <= 0 || bytes < 0 || weight < 0)
		return (struct sum){ 0, 0, 0 };
	return (struct sum){ samples, bytes, weight };
}

static void accept_sites(struct profile *p, const struct samples_reply *s, uint32_t sites, uint32_t frames)
{
	uint32_t i;

	p->frame = grow(NULL, frames * sizeof *p->frame + 1);
	for (p->frames = 0; p->frames < frames; p->frames++)
		p->frame[p->frames] = s->frame[p->frames];
	p->site = grow(NULL, sites * sizeof *p->site + 1);
	for (i = 0; i < sites; i++) {
		const struct hk_sample_site *from = &s->site[i];
		uint32_t depth = from->depth;
		bool whole = depth <= PROFILE_DEPTH && depth <= frames && from->first <= frames - depth;

		p->damaged += !whole;
		/* The samples refer to sites by their numbers, so each stays in its place. */
		p->site[p->sites++] = (struct site){ from->first, whole ? depth : 0, sum_of(&from->live), sum_of(&from->all) };
	}
}

static void keep_old(struct profile *p, const struct samples_reply *s, uint32_t samples, double min_age)
{
	uint64_t now = s->now, before = (uint64_t)(min_age * 1000);
	uint32_t i;

	for (i = 0; i < p->sites; i++)
		p->site[i].live = (struct sum){ 0, 0, 0 };
	for (i = 0; i < samples; i++) {
		const struct hk_sample *sample = &s->sample[i];
		struct sum *live;

		if (!sample->site || sample->site > p->sites || sample->time > now || now - sample->time < before)
			continue;
		live = &p->site[sample->site - 1].live;
		live->samples++;
		live->bytes += (double)sample->size;
		live->weight += (double)sample->weight;
	}
}

static void accept_maps(struct profile *p, const struct samples_reply *s, uint32_t maps, uint32_t paths)
{
	uint32_t i;

	for (i = 0; i < maps; i++) {
		const struct reply_map *from = &s->map[i];
		struct profile_map map = { from->start, from->end, from->offset, from->device, from->inode, NULL };

		if (from->path >= paths || !memchr(s->path + from->path, 0, paths - from->path) || from->end <= from->start)
			continue;
		map.path = (char *)s->path + from->path;
		profile_add_map(p, &map);
	}
}

static void accept(struct reading *r, const struct samples_reply *s)
{
	struct profile *p = r->profile;

	/* The most that profile_load accepts. */
	p->mean = s->mean < INT64_MAX ? s->mean : INT64_MAX;
	p->counted = true;
	p->taken = (double)s->taken;
	p->lost = (double)s->lost;
	p->later = !s->whole;
	p->mixed = s->mixed != 0;
	p->on = s->on != 0;
	if (!p->mean)
		return;
	accept_sites(p, s, least(s->sites, HK_SAMPLE_SITES, HK_SAMPLE_SITES),
		     least(s->frames, HK_SAMPLE_FRAMES, HK_SAMPLE_FRAMES));
	if (r->min_age > 0)
		keep_old(p, s, least(s->samples, HK_SAMPLE_BLOCKS, HK_SAMPLE_BLOCKS), r->min_age);
	accept_maps(p, s, least(s->maps, MOST_MAPS, MOST_MAPS), least(s->paths, MOST_PATHS, MOST_PATHS));
	profile_index(p);
}

static void done(pid_t pid, const void *reply, const char *fault, void *argument)
{
	const struct samples_reply *s = reply;
	struct reading *r = argument;
	char why[sizeof s->heap.why], *shown;

	r->good = !fault && s->heap.state == HEAP_READ;
	if (r->good) {
		accept(r, s);
		return;
	}
	if (!fault) {
		memcpy(why, s->heap.why, sizeof why);
		why[sizeof why - 1] = 0;
		fault = why;
	}
	shown = printable(fault, 2 * sizeof why);
	if (s && s->heap.state != HEAP_FAULT)
		warn("%s", shown);
	else
		warn("process %d cannot be read: %s", (int)pid, shown);
	free(shown);
}

static char *command_of(pid_t pid)
{
	char *path = text("/proc/%d/comm", (int)pid), *line = file_line(path), *shown;

	shown = printable(line ? line : "?", 64);
	free(path);
	free(line);
	return shown;
}

bool profile_read(struct profile *p, pid_t pid, double min_age)
{
	struct reading reading = { .profile = p, .min_age = min_age };
	const struct reader reader = { .size = sizeof(struct samples_reply), .read = read_one, .done = done,
				       .argument = &reading };

	*p = (struct profile){ .pid = pid, .name = command_of(pid) };
	reader_run(&reader, &pid, 1);
	return reading.good;
}
