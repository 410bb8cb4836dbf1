/*
 * Reads the statistics page of a process on HAKMEM, as hakmem-stats-page(5) describes it:
 * the counters of the process, and the number of threads with lists.
 *
 *	cc -o stats-reader stats-reader.c
 *	./stats-reader PID
 *
 * It finds the page in a process that has libhakmem.so, not in a program that the
 * library was linked into. Nothing that it reads is trusted: each loop has a bound, and
 * an address of the process is only ever given to process_vm_readv(2).
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

enum { VERSION = 7, FIGURES = 43, CLASS_FIGURES = 17, MOST_CACHES = 100000, PIECE = 1 << 16 };

struct page {
	char magic[16];
	uint32_t version, word;
	char library[16];
	uint32_t size, classes;
	uintptr_t total[FIGURES], metadata[2], by_class[CLASS_FIGURES];
	uintptr_t history, limits, caches;
	struct {
		uint32_t size, next, live, sent, received, filled, flushed, bin, bin_size;
		uint32_t room, capacity, refills, flushes, spilled, spilled_size;
		uint32_t shown, shown_size, shown_lists;
	} cache;
	uintptr_t directory, directory_end;
	uint32_t chunk;
	struct {
		uint32_t base, slab, slab_size, slabs, kind, class, used, blocks, is_slab;
	} superslab;
	uintptr_t samples, control;
};

static const char *const names[FIGURES] = {
	"mapped", "in_use", "cached", "free_bytes", "metadata", "mapped_peak", "slab_blocks", "slab_bytes",
	"mid_blocks", "mid_bytes", "large_blocks", "large_bytes", "kept_blocks", "kept_bytes", "superslabs",
	"superslabs_peak", "superslabs_mapped", "superslabs_unmapped", "purged_bytes", "reuse", "claim", "grow",
	"threads", "remote_sent", "remote_received", "learn_windows", "learn_budget", "hole_bytes", "hole_purged_bytes",
	"scavenger", "scavenger_turns", "superslabs_huge", "promoted", "demoted", "reverted", "purge_delay",
	"samples", "samples_lost", "sample_sites",
	"samples_guarded", "samples_unguarded", "pressure", "waste_estimate",
};

static int process;

static int get(uintptr_t from, void *to, size_t size)
{
	struct iovec here = { to, size }, there = { (void *)from, size };

	return process_vm_readv(process, &here, 1, &there, 1, 0) == (ssize_t)size;
}

/* Pieces overlap, so that none cuts the magic. */
static int find_in(uintptr_t start, uintptr_t end, struct page *page)
{
	static char piece[PIECE];
	uintptr_t at;
	size_t i, size;

	for (at = start; at < end; at += PIECE - sizeof page->magic) {
		size = end - at < PIECE ? end - at : PIECE;
		if (!get(at, piece, size))
			continue;
		for (i = 0; i + sizeof page->magic <= size; i += sizeof(uintptr_t))
			if (!memcmp(piece + i, "hakmem stats pg", sizeof page->magic) &&
			    get(at + i, page, sizeof *page) && page->version)
				return 1;
	}
	return 0;
}

static int find(struct page *page)
{
	char path[64], line[4352], *name;
	unsigned long start, end;
	int found = 0;
	FILE *maps;

	snprintf(path, sizeof path, "/proc/%d/maps", process);
	maps = fopen(path, "r");
	while (maps && !found && fgets(line, sizeof line, maps)) {
		name = strrchr(line, '/');
		if (name && !strncmp(name, "/libhakmem.so", 13) && sscanf(line, "%lx-%lx", &start, &end) == 2)
			found = find_in(start, end, page);
	}
	if (maps)
		fclose(maps);
	return found;
}

/* The list of caches grows only at its head, and a cache is never freed. */
static unsigned count_threads(const struct page *page)
{
	unsigned threads = 0, i;
	uintptr_t cache;
	unsigned char live;

	if (!get(page->caches, &cache, sizeof cache))
		return 0;
	for (i = 0; cache && i < MOST_CACHES; i++) {
		threads += get(cache + page->cache.live, &live, sizeof live) && live;
		if (!get(cache + page->cache.next, &cache, sizeof cache))
			break;
	}
	return threads;
}

int main(int argc, char **argv)
{
	struct page page;
	size_t value;
	int i;

	process = argc == 2 ? atoi(argv[1]) : 0;
	if (process <= 0 || !find(&page)) {
		fprintf(stderr, "stats-reader: no process id, not on libhakmem.so, or not allowed\n");
		return 1;
	}
	if (page.version != VERSION || page.word != sizeof value || page.size != sizeof page) {
		fprintf(stderr, "stats-reader: page of version %u, not %d\n", (unsigned)page.version, VERSION);
		return 1;
	}
	for (i = 0; i < FIGURES; i++)
		if (page.total[i] && get(page.total[i], &value, sizeof value))
			printf("%s %zu\n", names[i], value);
	printf("threads %u\n", count_threads(&page));
	return 0;
}
