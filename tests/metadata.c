/*
 * Overflows cannot reach metadata: whatever the state of the heap, no mapping with
 * metadata is adjacent to memory of the program, and each has a guard before and after it.
 */
#include "child.h"
#include "heap.h"

#include "cache/internal.h"
#include "large/internal.h"
#include "pool/pool.h"
#include "slab/meta.h"
#include "slab/pagemap.h"

#include <pthread.h>

/* Adjacent mappings of the same kind are merged here. */
struct map {
	uintptr_t from, to;
	char access[4];
	bool anonymous, holds_metadata;
};

static struct map maps[4096];
static size_t map_count, map_lines;

static void add_map(const char *line)
{
	struct map m = { 0, 0, "", false, false }, *last = &maps[map_count - 1];
	char *at;

	m.from = strtoul(line, &at, 16);
	m.to = strtoul(at + 1, &at, 16);
	memcpy(m.access, at + 1, sizeof m.access);
	m.anonymous = at[strcspn(at, "/[\n")] == '\n';
	map_lines++;
	if (map_count && last->to == m.from && m.anonymous && last->anonymous &&
	    !memcmp(last->access, m.access, sizeof m.access))
		last->to = m.to;
	else if (map_count < sizeof maps / sizeof *maps)
		maps[map_count++] = m;
	else
		fail("too many mappings");
}

/* Reads in pieces: the file may be long, and this must not allocate. */
static void read_maps(void)
{
	static char text[65536];
	int fd = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t n;
	char *line, *end;

	map_count = map_lines = 0;
	while ((n = read(fd, text + length, sizeof text - 1 - length)) > 0) {
		length += (size_t)n;
		text[length] = 0;
		for (line = text; (end = strchr(line, '\n')) != NULL; line = end + 1)
			add_map(line);
		length -= (size_t)(line - text);
		memmove(text, line, length);
	}
	close(fd);
}

static struct map *map_of(uintptr_t address)
{
	size_t i;

	for (i = 0; i < map_count; i++)
		if (maps[i].from <= address && address < maps[i].to)
			return &maps[i];
	fail("nothing is mapped at %p", (void *)address);
}

static bool guards(const struct map *m)
{
	return m >= maps && m < maps + map_count && !memcmp(m->access, "---p", 4) && m->anonymous &&
	       m->to - m->from >= (size_t)sysconf(_SC_PAGESIZE);
}

static void note_metadata(const void *p, const char *what)
{
	struct map *m = map_of((uintptr_t)p);

	if (memcmp(m->access, "rw-p", 4) != 0 || !m->anonymous)
		fail("%s at %p is not in anonymous memory", what, p);
	if (!guards(m - 1) || m[-1].to != m->from)
		fail("no guard before the mapping of a %s at %p", what, p);
	if (!guards(m + 1) || m[1].from != m->to)
		fail("no guard behind the mapping of a %s at %p", what, p);
	m->holds_metadata = true;
}

static void check_user_memory(uintptr_t start, const char *what)
{
	if (map_of(start)->holds_metadata)
		fail("%s at %p is in a mapping with metadata", what, (void *)start);
}

static void superslabs(bool metadata)
{
	uint32_t i;

	for (i = 0; i < hk_superslab_end(); i++) {
		const struct hk_superslab *s = hk_superslab_at(i);

		if (metadata) {
			note_metadata(s, "descriptor");
			note_metadata(hk_directory[i / HK_DIRECTORY_CHUNK], "directory");
		} else if (s->base) {
			check_user_memory(s->base, "SuperSlab");
		}
	}
}

static size_t caches(void)
{
	const struct hk_cache *c;
	size_t n = 0;

	for (c = hk_caches; c; c = c->next_registered) {
		if (c == &hk_orphan)
			continue;
		n++;
		note_metadata(c, "cache");
	}
	return n;
}

/* The leaves of the page map cannot be found, so the total size of metadata is compared. */
static void all_there(void)
{
	size_t i, bytes = 0;

	for (i = 0; i < map_count; i++)
		if (maps[i].holds_metadata)
			bytes += maps[i].to - maps[i].from;
	if (bytes < hk_meta_bytes + hk_pagemap_bytes)
		fail("%zu of %zu KiB of metadata have guards", bytes / KB,
		     (hk_meta_bytes + hk_pagemap_bytes) / KB);
}

static void check(void)
{
	read_maps();
	superslabs(true);
	if (!caches())
		fail("no cache was seen");
	all_there();
	superslabs(false);
}

/* Also checks the descriptors of Large blocks. */
static void check_large(void **block, size_t count)
{
	size_t i;

	check();
	for (i = 0; i < count; i++)
		note_metadata(hk_granule_find(block[i]).range, "descriptor");
	for (i = 0; i < count; i++)
		check_user_memory((uintptr_t)block[i], "Large block");
}

/* Two blocks per SuperSlab, not touched. */
static void grow_by(size_t bytes)
{
	while (bytes > MB) {
		if (!hide(malloc(900 * KB)))
			fail("out of memory");
		bytes -= MB;
	}
}

static void small_blocks(void *arg)
{
	size_t n = *(size_t *)arg / 2000;

	while (n--)
		if (!hide(malloc(2000)))
			fail("out of memory");
	check();
}

static void mid_blocks(void *arg)
{
	grow_by(*(size_t *)arg);
	check();
}

/* The metadata of many SuperSlabs is in one mapping, or a few. */
static void few_mappings(void *arg)
{
	size_t before;

	(void)arg;
	read_maps();
	before = map_lines;
	grow_by(4 * GB);
	check();
	if (map_lines > before + 12)
		fail("%zu mappings instead of %zu", map_lines, before);
}

/* In a wide address space, each Huge block has a separate leaf of the page map. */
static void large_blocks(void *arg)
{
	static void *block[200];
	size_t i;

	(void)arg;
	for (i = 0; i < sizeof block / sizeof *block; i++)
		if (!(block[i] = malloc(i % 2 ? 33 * MB / (sizeof(void *) == 4 ? 16 : 1) : 3 * MB)))
			fail("out of memory");
	check_large(block, sizeof block / sizeof *block);
}

enum { THREADS = 200 };
static pthread_barrier_t gate;

/* If many threads start at once, the shared cache serves some of them at first. */
static void *user(void *arg)
{
	(void)arg;
	while (hk_tls == HK_EMPTY_CACHE)
		free(hide(malloc(100)));
	pthread_barrier_wait(&gate);
	pthread_barrier_wait(&gate);
	return NULL;
}

static void *newcomer(void *arg)
{
	while (hk_tls == HK_EMPTY_CACHE && hide(malloc(100)))
		++*(size_t *)arg;
	return NULL;
}

/* The calls of a new thread before it has a cache. */
static size_t cold_calls(void)
{
	pthread_t id;
	size_t calls = 0;

	if (pthread_create(&id, NULL, newcomer, &calls))
		fail("cannot start a thread");
	pthread_join(id, NULL);
	return calls;
}

static void threads(void *arg)
{
	static pthread_t id[THREADS];
	pthread_attr_t attr;
	size_t few = cold_calls(), many;
	unsigned i;

	(void)arg;
	pthread_barrier_init(&gate, NULL, THREADS + 1);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 128 * KB);
	for (i = 0; i < THREADS; i++)
		if (pthread_create(&id[i], &attr, user, NULL))
			fail("cannot start a thread");
	pthread_barrier_wait(&gate);
	check();
	if (caches() < THREADS)
		fail("%zu caches for %d threads", caches(), THREADS);
	many = cold_calls();
	if (!hk_harden && (many < few + THREADS / 2 || many > HK_COLD_CALLS_MOST + 1))
		fail("%zu calls with the shared cache, %zu beside %d threads", few, many, THREADS);
	pthread_barrier_wait(&gate);
	for (i = 0; i < THREADS; i++)
		pthread_join(id[i], NULL);
}

static void *racer(void *arg)
{
	(void)arg;
	pthread_barrier_wait(&gate);
	grow_by(200 * MB);
	return NULL;
}

/* The reserved range runs out for all threads at once. */
static void racers(void *arg)
{
	pthread_t id[8];
	unsigned i;

	(void)arg;
	pthread_barrier_init(&gate, NULL, 8);
	for (i = 0; i < 8; i++)
		if (pthread_create(&id[i], NULL, racer, NULL))
			fail("cannot start a thread");
	for (i = 0; i < 8; i++)
		pthread_join(id[i], NULL);
	check();
}

/* The heap uses all of the address space that is left. */
static void full(void *arg)
{
	size_t count = 0;

	limit(RLIMIT_AS, *(size_t *)arg);
	while (hide(malloc(900 * KB)))
		count++;
	check();
	if (count < *(size_t *)arg / MB / 2)
		fail("only %zu MiB fit in", count);
}

/* The limit follows the heap: there is never enough left for a reservation. */
static void refused(void *arg)
{
	struct rlimit l = { RLIM_INFINITY, RLIM_INFINITY };
	size_t before = hk_meta_bytes, count;

	(void)arg;
	grow_by(450 * MB);
	for (count = 0; count < 200; count++) {
		l.rlim_cur = address_space() + 4 * MB;
		if (setrlimit(RLIMIT_AS, &l))
			bail("setrlimit: errno %d", errno);
		if (!hide(malloc(900 * KB)))
			fail("no block after %zu more", count);
	}
	check();
	if (hk_meta_bytes < before + 4 * MB)
		fail("%zu KiB of metadata: the case has too small a heap", hk_meta_bytes / KB);
}

/* Another mapping follows the reserved range. */
static void no_room(void *arg)
{
	struct map *m;

	grow_by(8 * MB);
	check();
	m = map_of((uintptr_t)hk_superslab_at(0)) + 1;
	mmap((void *)m->to, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	mid_blocks(arg);
}

static void forked(void *arg)
{
	pid_t pid;
	int status;

	grow_by(300 * MB);
	pid = fork();
	if (pid == 0) {
		mid_blocks(arg);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		fail("the child failed: %d", status);
	mid_blocks(arg);
}

int main(void)
{
	static size_t sizes[] = { 200 * MB, 400 * MB, 1000 * MB };
	char name[64];
	size_t i;

	tap_start();
	for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		snprintf(name, sizeof name, "%zu MiB of small blocks", sizes[i] / MB);
		child_ok(small_blocks, &sizes[i], 60, name);
		snprintf(name, sizeof name, "%zu MiB of Mid blocks", sizes[i] / MB);
		child_ok(mid_blocks, &sizes[i], 60, name);
	}
	child_ok(large_blocks, NULL, 60, "Large and Huge blocks");
	child_ok(threads, NULL, 60, "caches of threads");
	child_ok(racers, NULL, 60, "threads that grow at once");
	child_ok(forked, &sizes[0], 60, "parent and child after a fork");
	child_ok(no_room, &sizes[2], 60, "no room behind what is reserved");
	if (sizeof(void *) > 4 && !emulator_fails(LACK_MAPPINGS, "mappings of 4 GiB"))
		child_ok(few_mappings, NULL, 60, "4 GiB of heap take a few mappings more");
	if (emulator_fails(LACK_RLIMIT, "limits of the address space"))
		return tap_end();
	child_ok(full, &sizes[0], 60, "a full address space");
	child_ok(refused, NULL, 60, "a reservation that is refused");
	return tap_end();
}
