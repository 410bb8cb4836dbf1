/* Reads the figures of another process: does what stats/snapshot.c does, but from outside and
 * without locks. */
#include "cmd/heap.h"
#include "stats/figures.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

_Static_assert(HK_FIGURES == 43 && HK_CLASS_FIGURES == 17,
	       "a new figure is read here too, or follows from others in sums.c");

enum {
	TRIES = 10,
	MOST_BYTES = 1 << 20,		/* of a structure in that process */
	MOST_SLABS = 256,		/* of a SuperSlab in that process */
};

struct reading {
	const struct hk_stats_page *page;
	pid_t pid;
	const char *fault;		/* if set, nothing more is read */
	uint64_t seen;			/* a hash of the values that slow paths change */
	struct heap_reply *s;
};

static void get(struct reading *r, const void *address, size_t offset, void *to, size_t size)
{
	struct iovec here = { to, size }, there = { (void *)((uintptr_t)address + offset), size };

	if (!r->fault && reader_late(1))
		r->fault = "its lists are too long to be read in a second";
	if (!r->fault && process_vm_readv(r->pid, &here, 1, &there, 1, 0) != (ssize_t)size)
		r->fault = errno == ESRCH ? "it has ended" : "its statistics page leads to memory that is not there";
	if (r->fault)
		memset(to, 0, size);
}

static void note(struct reading *r, uint64_t value)
{
	r->seen = (r->seen ^ value) * 0x9e3779b97f4a7c15u;
	r->seen ^= r->seen >> 29;
}

static size_t get_size(struct reading *r, const void *address)
{
	size_t value;

	get(r, address, 0, &value, sizeof value);
	note(r, value);
	return value;
}

static void read_totals(struct reading *r)
{
	unsigned i;

	for (i = 0; i < HK_FIGURES; i++)
		if (r->page->total[i])
			*(size_t *)((char *)&r->s->all + hk_figures[i].offset) = get_size(r, r->page->total[i]);
	r->s->all.metadata = get_size(r, r->page->metadata[0]) + get_size(r, r->page->metadata[1]);
	get(r, r->page->history, 0, &r->s->history, 1);
}

static void read_by_class(struct reading *r)
{
	size_t value[HK_CLASSES + 1], *sum;
	unsigned i, class;

	for (i = 0; i < HK_CLASS_FIGURES; i++) {
		bool mid = i == HK_CLASS_FIGURE_claim || i == HK_CLASS_FIGURE_grow;

		if (!r->page->by_class[i])
			continue;
		value[HK_CLASSES] = 0;
		get(r, r->page->by_class[i], 0, value, (HK_CLASSES + mid) * sizeof *value);
		sum = i == HK_CLASS_FIGURE_reuse ? &r->s->all.reuse : i == HK_CLASS_FIGURE_claim ? &r->s->all.claim :
		      i == HK_CLASS_FIGURE_grow ? &r->s->all.grow : NULL;
		for (class = 0; class <= HK_CLASSES; class++) {
			note(r, value[class]);
			if (sum)
				*sum += value[class];
			if (class < HK_CLASSES)
				*(size_t *)((char *)&r->s->class[class] + hk_class_figures[i].offset) = value[class];
		}
	}
}

static void read_limits(struct reading *r)
{
	int32_t limits[HK_CLASSES][2];
	unsigned class;

	get(r, r->page->limits, 0, limits, sizeof limits);
	for (class = 0; class < HK_CLASSES; class++) {
		r->s->class[class].capacity = (size_t)limits[class][0];
		r->s->class[class].batch = (size_t)limits[class][1];
		note(r, (uint64_t)limits[class][0] << 32 | (uint32_t)limits[class][1]);
	}
}

/* A member of a structure that was copied from the process. */
static uint64_t member(const char *of, size_t size, size_t offset, size_t bytes)
{
	uint8_t one;
	uint16_t two;
	uint32_t four;
	uint64_t eight;

	if (bytes > size || offset > size - bytes)
		return 0;
	of += offset;
	switch (bytes) {
	case 1: memcpy(&one, of, 1); return one;
	case 2: memcpy(&two, of, 2); return two;
	case 4: memcpy(&four, of, 4); return four;
	}
	memcpy(&eight, of, 8);
	return eight;
}

static size_t counted(struct reading *r, const char *cache, size_t offset)
{
	size_t value = (size_t)member(cache, r->page->cache.size, offset, sizeof value);

	note(r, value);
	return value;
}

/* Keeps the threads with the largest lists; the number of an unused element is 0. */
static void keep_thread(struct heap_reply *s, const struct heap_thread *thread)
{
	struct heap_thread *least = s->thread;
	unsigned i;

	for (i = 1; i < HEAP_THREADS && least->number; i++)
		if (!s->thread[i].number || s->thread[i].cached < least->cached)
			least = &s->thread[i];
	if (!least->number || least->cached < thread->cached)
		*least = *thread;
}

/* room is not part of the hash, because the hot path changes it. */
static size_t list_length(struct reading *r, const char *cache, size_t bin)
{
	const struct hk_stats_page *p = r->page;
	int32_t capacity = (int32_t)member(cache, p->cache.size, bin + p->cache.capacity, 4);
	int32_t room = (int32_t)member(cache, p->cache.size, bin + p->cache.room, 4);

	note(r, (uint32_t)capacity);
	return capacity > room ? (size_t)((int64_t)capacity - room) : 0;
}

static void add_cache(struct reading *r, const char *cache, size_t number)
{
	const struct hk_stats_page *p = r->page;
	struct heap_thread thread = { .number = number };
	bool live = member(cache, p->cache.size, p->cache.live, 1);
	size_t class, refills, flushes;

	for (class = 0; class < HK_CLASSES; class++) {
		struct hak_class_stats *c = &r->s->class[class];
		size_t bin = p->cache.bin + class * p->cache.bin_size, word = class * sizeof(size_t);
		uint32_t spilled = (uint32_t)member(cache, p->cache.size, p->cache.spilled +
						    class * p->cache.spilled_size, 4);
		size_t cached = list_length(r, cache, bin) + spilled;

		note(r, spilled);
		if (class < p->cache.shown_lists)
			cached += list_length(r, cache, p->cache.shown + class * p->cache.shown_size);
		refills = counted(r, cache, bin + p->cache.refills);
		flushes = counted(r, cache, bin + p->cache.flushes);
		c->cached += cached;
		c->refills += refills;
		c->flushes += flushes;
		thread.cached += cached * hk_class_size((unsigned)class);
		thread.refills += refills;
		thread.flushes += flushes;
		c->filled += counted(r, cache, p->cache.filled + word);
		c->flushed += counted(r, cache, p->cache.flushed + word);
	}
	thread.sent = counted(r, cache, p->cache.sent);
	thread.received = counted(r, cache, p->cache.received);
	r->s->all.threads += live;
	r->s->all.remote_sent += thread.sent;
	r->s->all.remote_received += thread.received;
	if (live)
		keep_thread(r->s, &thread);
	else
		r->s->shared_cached += thread.cached;
}

/* A cycle in the list is detected by comparison with an earlier entry, which is replaced
 * by the current one after 1, 2, 4, ... steps (Brent's algorithm). */
static void read_caches(struct reading *r)
{
	size_t size = r->page->cache.size, at = get_size(r, r->page->caches), earlier = 0, way = 0, limit = 1;
	char *cache = grow(NULL, size);
	unsigned i;

	for (; at && !r->fault; at = (size_t)member(cache, size, r->page->cache.next, sizeof at)) {
		if (at == earlier)
			r->fault = "its list of caches leads back into itself";
		if (++way == limit) {
			earlier = at;
			limit *= 2;
		}
		get(r, (void *)at, 0, cache, size);
		add_cache(r, cache, way);
	}
	/* The newest cache is first in the list. Numbered in that order, a cache would not
	 * keep its number. */
	for (i = 0; i < HEAP_THREADS; i++)
		if (r->s->thread[i].number)
			r->s->thread[i].number = way + 1 - r->s->thread[i].number;
	free(cache);
}

static void add_superslab(struct reading *r, size_t superslab, char *slabs, size_t size)
{
	const struct hk_stats_page *p = r->page;
	size_t i, at;

	get(r, (void *)superslab, p->superslab.slab, slabs, size);
	for (i = 0; i < p->superslab.slabs && !r->fault; i++) {
		uint64_t class, used, blocks;

		at = i * p->superslab.slab_size;
		class = member(slabs, size, at + p->superslab.class, 1);
		if (member(slabs, size, at + p->superslab.kind, 1) != p->superslab.is_slab || class >= HK_CLASSES)
			continue;
		used = member(slabs, size, at + p->superslab.used, 2);
		blocks = member(slabs, size, at + p->superslab.blocks, 2);
		note(r, class << 32 | used << 16 | blocks);
		r->s->class[class].used += used;
		r->s->class[class].free_blocks += blocks - used;
		r->s->class[class].slabs++;
	}
}

static void read_superslabs(struct reading *r)
{
	const struct hk_stats_page *p = r->page;
	size_t *chunk = grow(NULL, p->chunk * sizeof *chunk), at, size = (size_t)p->superslab.slabs * p->superslab.slab_size;
	char *slabs = grow(NULL, size);
	uint32_t end, i;

	get(r, p->directory_end, 0, &end, sizeof end);
	note(r, end);
	for (i = 0; i < end && !r->fault; i++) {
		if (i % p->chunk == 0) {
			get(r, p->directory, i / p->chunk * sizeof at, &at, sizeof at);
			get(r, (void *)at, 0, chunk, p->chunk * sizeof *chunk);
		}
		at = chunk[i % p->chunk];
		if (get_size(r, (void *)(at + p->superslab.base)))
			add_superslab(r, at, slabs, size);
	}
	free(slabs);
	free(chunk);
}

/* Checks only the sizes that determine how much this program allocates. */
static bool sensible(const struct hk_stats_page *p)
{
	return p->cache.size && p->cache.size <= MOST_BYTES && p->chunk && p->chunk <= MOST_BYTES &&
	       p->superslab.slabs && p->superslab.slabs <= MOST_SLABS &&
	       p->superslab.slab_size && p->superslab.slab_size <= MOST_BYTES / MOST_SLABS;
}

static const char *read_once(pid_t pid, const struct hk_stats_page *page, struct heap_reply *s, uint64_t *seen)
{
	struct reading r = { .page = page, .pid = pid, .s = s };

	memset(&s->all, 0, sizeof s->all);
	memset(s->class, 0, sizeof s->class);
	memset(s->thread, 0, sizeof s->thread);
	s->shared_cached = 0;
	read_totals(&r);
	read_limits(&r);
	read_by_class(&r);
	read_caches(&r);
	read_superslabs(&r);
	*seen = r.seen;
	return r.fault;
}

/* Reads until two passes agree or the time is over, and then uses the last complete pass. */
void heap_read(pid_t pid, const struct hk_stats_page *page, struct heap_reply *s)
{
	static const struct timespec while_it_works = { .tv_nsec = 2000000 };
	const char *fault = sensible(page) ? NULL : "the sizes in its statistics page make no sense";
	uint64_t before = 0, now = 0;
	struct heap_reply last;
	unsigned try;

	memcpy(s->version, page->library, sizeof page->library);
	for (try = 0; try < TRIES && !s->exact && !fault && !(try && reader_late(1)); try++) {
		if (try > 1)
			nanosleep(&while_it_works, NULL);
		last = *s;
		fault = read_once(pid, page, s, &now);
		s->exact = try && now == before;
		before = now;
	}
	if (fault && try > 1 && reader_late(1)) {
		*s = last;
		fault = NULL;
	}
	s->state = fault ? HEAP_FAULT : HEAP_READ;
	snprintf(s->why, sizeof s->why, "%s", fault ? fault : "");
}

/* Unused elements come last. */
static int by_cached(const void *a, const void *b)
{
	const struct heap_thread *x = a, *y = b;

	if (!x->number != !y->number)
		return !x->number ? 1 : -1;
	if (x->cached != y->cached)
		return x->cached < y->cached ? 1 : -1;
	return (x->number > y->number) - (x->number < y->number);
}

void heap_accept(struct heap *heap, const struct heap_reply *reply)
{
	char why[sizeof reply->why];

	heap->state = reply->state < HEAP_STATES ? reply->state : HEAP_FAULT;
	heap->exact = reply->exact == 1;
	memcpy(heap->version, reply->version, sizeof heap->version);
	heap->version[sizeof heap->version - 1] = 0;
	memcpy(why, reply->why, sizeof why);
	why[sizeof why - 1] = 0;
	heap->why = heap->state == HEAP_READ ? NULL : printable(why, sizeof why);
	heap->s = (struct hk_snapshot){ .pid = heap->pid, .version = heap->version, .history = reply->history != 0,
					.all = reply->all };
	memcpy(heap->s.class, reply->class, sizeof reply->class);
	memcpy(heap->thread, reply->thread, sizeof reply->thread);
	heap->shared_cached = reply->shared_cached;
	qsort(heap->thread, HEAP_THREADS, sizeof *heap->thread, by_cached);
	for (heap->threads = 0; heap->threads < HEAP_THREADS && heap->thread[heap->threads].number; heap->threads++)
		;
	hk_snapshot_add_up(&heap->s);
}
