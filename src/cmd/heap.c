/* The figures of another process: what stats/snapshot.c does inside, from
 * outside and without locks. */
#include "cmd/heap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

_Static_assert(HK_FIGURES == 36 && HK_CLASS_FIGURES == 17,
	       "a new figure is read here too, or follows from others in sums.c");

enum {
	TRIES = 10,
	MOST_BYTES = 1 << 20,		/* of a structure there */
	MOST_ITEMS = 1 << 24,		/* of a list there */
	MOST_SLABS = 1024,		/* in one call: UIO_MAXIOV */
};

struct reader {
	const struct hk_stats_page *page;
	pid_t pid;
	bool failed;
	uint64_t seen;			/* a hash of what slow paths change */
	struct hk_snapshot *s;
};

static void get(struct reader *r, const void *address, size_t offset, void *to, size_t size)
{
	struct iovec here = { to, size }, there = { (char *)(uintptr_t)address + offset, size };

	if (!r->failed && process_vm_readv(r->pid, &here, 1, &there, 1, 0) != (ssize_t)size)
		r->failed = true;
	if (r->failed)
		memset(to, 0, size);
}

static void note(struct reader *r, uint64_t value)
{
	r->seen = (r->seen ^ value) * 0x9e3779b97f4a7c15u;
	r->seen ^= r->seen >> 29;
}

static size_t get_size(struct reader *r, const void *address)
{
	size_t value;

	get(r, address, 0, &value, sizeof value);
	note(r, value);
	return value;
}

static const size_t total_offset[] = {
#define FIGURE(field, ...) offsetof(struct hak_stats, field),
#include "stats/figures.def"
};
static const size_t class_offset[] = {
#define CLASS_FIGURE(field, ...) offsetof(struct hak_class_stats, field),
#include "stats/figures.def"
};

static void read_totals(struct reader *r)
{
	unsigned i;

	for (i = 0; i < HK_FIGURES; i++)
		if (r->page->total[i])
			*(size_t *)((char *)&r->s->all + total_offset[i]) = get_size(r, r->page->total[i]);
	r->s->all.metadata = get_size(r, r->page->metadata[0]) + get_size(r, r->page->metadata[1]);
	get(r, r->page->history, 0, &r->s->history, 1);
}

static void read_by_class(struct reader *r)
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
				*(size_t *)((char *)&r->s->class[class] + class_offset[i]) = value[class];
		}
	}
}

static void read_limits(struct reader *r)
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

/* A member of a structure that was copied here. */
static uint64_t member(const char *of, size_t size, size_t offset, size_t bytes)
{
	uint8_t one;
	uint16_t two;
	uint32_t four;
	uint64_t eight;

	if (offset + bytes > size)
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

static size_t counted(struct reader *r, const char *cache, size_t offset)
{
	size_t value = (size_t)member(cache, r->page->cache.size, offset, sizeof value);

	note(r, value);
	return value;
}

static void add_cache(struct reader *r, const char *cache)
{
	const struct hk_stats_page *p = r->page;
	size_t class;

	for (class = 0; class < HK_CLASSES; class++) {
		struct hak_class_stats *c = &r->s->class[class];
		size_t bin = p->cache.bin + class * p->cache.bin_size, word = class * sizeof(size_t);
		int32_t capacity = (int32_t)member(cache, p->cache.size, bin + p->cache.capacity, 4);
		/* The hot path changes it and nothing else: not noted. */
		int32_t cached = capacity - (int32_t)member(cache, p->cache.size, bin + p->cache.room, 4);

		uint32_t spilled = (uint32_t)member(cache, p->cache.size, p->cache.spilled +
						    class * p->cache.spilled_size, 4);

		note(r, (uint32_t)capacity);
		note(r, spilled);
		c->cached += (cached > 0 ? (size_t)cached : 0) + spilled;
		c->refills += counted(r, cache, bin + p->cache.refills);
		c->flushes += counted(r, cache, bin + p->cache.flushes);
		c->filled += counted(r, cache, p->cache.filled + word);
		c->flushed += counted(r, cache, p->cache.flushed + word);
	}
	r->s->all.threads += member(cache, p->cache.size, p->cache.live, 1);
	r->s->all.remote_sent += counted(r, cache, p->cache.sent);
	r->s->all.remote_received += counted(r, cache, p->cache.received);
}

static void read_caches(struct reader *r)
{
	size_t size = r->page->cache.size, at = get_size(r, r->page->caches), left = MOST_ITEMS;
	char *cache = grow(NULL, size);

	for (; at && left-- && !r->failed; at = (size_t)member(cache, size, r->page->cache.next, sizeof at)) {
		get(r, (void *)at, 0, cache, size);
		add_cache(r, cache);
	}
	free(cache);
}

/* Of each slab no more than the members that count, all in one call. */
static void add_superslab(struct reader *r, size_t superslab)
{
	const struct hk_stats_page *p = r->page;
	enum { KIND, CLASS, USED, BLOCKS, SIZE = 6 };
	static char found[MOST_SLABS][SIZE];
	struct iovec here = { found, p->superslab.slabs * (size_t)SIZE };
	static struct iovec there[4 * MOST_SLABS];
	unsigned i, n = 0;

	for (i = 0; i < p->superslab.slabs; i++) {
		size_t slab = superslab + p->superslab.slab + (size_t)i * p->superslab.slab_size;

		there[n++] = (struct iovec){ (void *)(slab + p->superslab.kind), 1 };
		there[n++] = (struct iovec){ (void *)(slab + p->superslab.class), 1 };
		there[n++] = (struct iovec){ (void *)(slab + p->superslab.used), 2 };
		there[n++] = (struct iovec){ (void *)(slab + p->superslab.blocks), 2 };
	}
	if (process_vm_readv(r->pid, &here, 1, there, n, 0) != (ssize_t)here.iov_len)
		r->failed = true;
	for (i = 0; i < p->superslab.slabs && !r->failed; i++) {
		uint64_t class = member(found[i], SIZE, CLASS, 1), used = member(found[i], SIZE, USED, 2);
		uint64_t blocks = member(found[i], SIZE, 4, 2);

		if (member(found[i], SIZE, KIND, 1) != p->superslab.is_slab || class >= HK_CLASSES)
			continue;
		note(r, class << 32 | used << 16 | blocks);
		r->s->class[class].used += used;
		r->s->class[class].free_blocks += blocks - used;
		r->s->class[class].slabs++;
	}
}

static void read_superslabs(struct reader *r)
{
	const struct hk_stats_page *p = r->page;
	size_t *chunk = grow(NULL, p->chunk * sizeof *chunk), at;
	uint32_t end, i;

	get(r, p->directory_end, 0, &end, sizeof end);
	note(r, end);
	for (i = 0; i < end && i < MOST_ITEMS && !r->failed; i++) {
		if (i % p->chunk == 0) {
			get(r, p->directory, i / p->chunk * sizeof at, &at, sizeof at);
			get(r, (void *)at, 0, chunk, p->chunk * sizeof *chunk);
		}
		at = chunk[i % p->chunk];
		if (get_size(r, (void *)(at + p->superslab.base)))
			add_superslab(r, at);
	}
	free(chunk);
}

/* Bounds for what this program allocates; the rest may be what it will. */
static bool sensible(const struct hk_stats_page *p)
{
	return p->cache.size && p->cache.size <= MOST_BYTES && p->chunk && p->chunk <= MOST_BYTES &&
	       p->superslab.slabs && p->superslab.slabs <= MOST_SLABS / 4;
}

static bool read_once(const struct heap *heap, struct hk_snapshot *s, uint64_t *seen)
{
	struct reader r = { .page = &heap->page, .pid = heap->pid, .s = s };

	memset(s, 0, sizeof *s);
	s->pid = heap->pid;
	s->version = heap->page.library;
	read_totals(&r);
	read_limits(&r);
	read_by_class(&r);
	read_caches(&r);
	read_superslabs(&r);
	*seen = r.seen;
	return !r.failed;
}

bool heap_read(const struct heap *heap, struct hk_snapshot *s, bool *exact)
{
	static const struct timespec while_it_works = { .tv_nsec = 2000000 };
	uint64_t before = 0, now = 0;
	unsigned try;

	if (!sensible(&heap->page))
		return false;
	*exact = false;
	for (try = 0; try < TRIES && !*exact; try++) {
		if (try > 1)
			nanosleep(&while_it_works, NULL);
		if (!read_once(heap, s, &now))
			return false;
		*exact = try && now == before;
		before = now;
	}
	hk_snapshot_add_up(s);
	/* What moved between two places was seen in both of them. */
	if (s->all.free_bytes > s->all.mapped)
		s->all.free_bytes = 0;
	return true;
}
