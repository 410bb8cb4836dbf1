/* calloc gives zeroed memory, above all where dirty memory was freed before. */
#include "heap.h"

#include <hakmem/hakmem.h>
#include <sys/mman.h>
#include <sys/prctl.h>

enum { BATCH = 600 };

static void *block[BATCH];

static bool zero_then_dirty(void *p, size_t size)
{
	bool good = p && all_zero(p, size);

	if (p)
		memset(p, 0xa5, malloc_usable_size(p));
	return good;
}

/* Freed blocks of one size, all dirty, asked back several times over. */
static bool after_dirty_frees(size_t size, int count)
{
	bool good = true;
	int round, i;

	for (i = 0; i < count; i++) {
		block[i] = hide(malloc(size));
		if (!block[i])
			return false;
		memset(block[i], 0xff, malloc_usable_size(block[i]));
	}
	for (round = 0; round < 3; round++) {
		for (i = 0; i < count; i++)
			free(block[round % 2 ? i : count - 1 - i]);
		for (i = 0; i < count; i++)
			good &= zero_then_dirty(block[i] = hide(calloc(1, size)), size);
	}
	for (i = 0; i < count; i++) {
		free(block[i]);
		block[i] = NULL;
	}
	return good;
}

static void small_sizes(void)
{
	bool good = true;
	size_t size;

	for (size = 1; size <= 4096; size += size < 600 ? 1 : 113)
		good &= after_dirty_frees(size, 12);
	ok(good, "sizes 1 to 4096 after dirty frees, a few at a time");
	for (size = 16, good = true; size <= 32768; size += size < 128 ? 16 : size / 8)
		good &= after_dirty_frees(size, BATCH);
	ok(good, "every class after hundreds of dirty frees");
}

static void big_sizes(void)
{
	size_t size;

	for (size = 33000; size <= 64 * MB; size = size * 5 / 3)
		ok(after_dirty_frees(size, size < MB ? 40 : size < 8 * MB ? 8 : 3),
		   "%zu bytes after dirty frees", size);
}

/* One size freed, another asked for: the memory is shared, the classes are not. */
static void across_sizes(void)
{
	uint64_t random = tap_seed();
	static const size_t most[] = { 256, 4096, 100000, 4000000 };
	size_t m;

	for (m = 0; m < sizeof most / sizeof *most; m++) {
		unsigned long n = most[m] > MB ? 1500 : 40000, i;
		bool good = true;

		for (i = 0; i < n; i++) {
			size_t k = random_below(&random, BATCH / (most[m] > MB ? 20 : 1));
			size_t size = random_size(&random, most[m]);

			free(block[k]);
			block[k] = hide(random_next(&random) % 2 ? malloc(size) : calloc(size, 1));
			if (block[k])
				memset(block[k], 0x5a, malloc_usable_size(block[k]));
			if (random_next(&random) % 4 == 0)
				continue;
			free(block[k]);
			size = random_size(&random, most[m]);
			block[k] = hide(calloc(1, size));
			good &= zero_then_dirty(block[k], size);
		}
		ok(good, "random sizes to %zu, mixed with dirty mallocs", most[m]);
		for (i = 0; i < BATCH; i++) {
			free(block[i]);
			block[i] = NULL;
		}
	}
}

/* What realloc cut off or grew into is dirty too. */
static void after_realloc(void)
{
	bool good = true;
	size_t size;

	for (size = 100; size <= 16 * MB; size *= 3) {
		char *p = (char *)hide(malloc(size)), *q;

		memset(p, 0xee, size);
		p = (char *)hide(realloc(p, size * 4));
		memset(p, 0xee, size * 4);
		p = (char *)hide(realloc(p, size / 2 + 1));
		q = (char *)hide(calloc(1, size * 3));
		good &= p && q && all_zero(q, size * 3);
		free(p);
		p = (char *)hide(calloc(1, size));
		good &= p && all_zero(p, size);
		free(p);
		free(q);
	}
	ok(good, "calloc after realloc grew and cut dirty blocks");
}

static void after_trim(void)
{
	bool good = true;
	int round, i;

	for (round = 0; round < 4; round++) {
		for (i = 0; i < BATCH; i++) {
			block[i] = hide(malloc(9000 + 100 * (size_t)i));
			if (!block[i])
				bail("no memory");
			memset(block[i], 0x77, malloc_usable_size(block[i]));
		}
		for (i = 0; i < BATCH; i++)
			if (i % 5)
				free(block[i]);
		malloc_trim(0);
		for (i = 0; i < BATCH; i++) {
			if (i % 5 == 0)
				continue;
			block[i] = hide(calloc(1, 8000 + 50 * (size_t)i));
			good &= zero_then_dirty(block[i], 8000 + 50 * (size_t)i);
		}
		for (i = 0; i < BATCH; i++) {
			free(block[i]);
			block[i] = NULL;
		}
	}
	ok(good, "calloc over memory that malloc_trim gave back in part");
}

static void aligned_leftovers(void)
{
	bool good = true;
	int i;

	for (i = 0; i < 200; i++) {
		size_t a = (size_t)64 << i % 12, size = 500 + 5000 * (size_t)(i % 20);
		void *p = hide(memalign(a, size)), *q;

		memset(p, 0x99, malloc_usable_size(p));
		free(p);
		q = hide(calloc(1, size));
		good &= zero_then_dirty(q, size);
		free(q);
	}
	ok(good, "calloc where aligned blocks were");
}

/* Pages of the block behind the one that its first bytes are in. */
static size_t pages(const char *p, size_t size, bool there)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), n, i, sum = 0;
	uintptr_t from = ((uintptr_t)p + 16 + page - 1) & -page, to = ((uintptr_t)p + size) & -page;
	unsigned char in[16] = { 0 };

	n = to > from ? (to - from) / page : 0;
	if (!there || !n)
		return n;
	if (mincore((void *)from, n * page, in) != 0)
		bail("mincore: errno %d", errno);
	for (i = 0; i < n; i++)
		sum += in[i] & 1u;
	return sum;
}

static size_t fresh_size(int i)
{
	static const size_t sizes[] = { 8192, 10240, 14336, 20480, 28672, 32768 };

	return sizes[(size_t)i % (sizeof sizes / sizeof *sizes)];
}

static void free_all(int n)
{
	while (n-- > 0) {
		free(block[n]);
		block[n] = NULL;
	}
}

/* Only in a process that has freed little: it wants memory new from the OS. */
static void fresh_memory(void)
{
	struct hak_stats stats;
	size_t there = 0, all = 0;
	bool good = true;
	int i;

	/* A SuperSlab that is a huge page, or warmed, is there altogether. */
	prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
	for (i = 0; i < BATCH; i++) {
		block[i] = hide(calloc(1, fresh_size(i)));
		if (!block[i])
			bail("no memory");
	}
	for (i = 0; i < BATCH; i++) {
		there += pages((const char *)block[i], fresh_size(i), true);
		all += pages((const char *)block[i], fresh_size(i), false);
	}
	for (i = 0; i < BATCH; i++)
		good &= zero_then_dirty(block[i], fresh_size(i));
	ok(good, "blocks of 8 to 32 KiB from memory that is new");
	/* valgrind puts its own malloc in place of every other. */
	hak_stats_get(&stats, sizeof stats);
	if (stats.mapped < all * (size_t)sysconf(_SC_PAGESIZE))
		skip("which is not touched", "only HAKMEM promises this");
	else
		ok(there <= all / 2, "which is not touched: %zu of %zu pages are there", there, all);
	/* Every other block of each size, so that parts of pages stay. */
	for (i = 0, good = true; i < BATCH; i++)
		if (i / 6 % 2)
			free(block[i]);
	malloc_trim(0);
	for (i = 0; i < BATCH; i++)
		if (i / 6 % 2)
			good &= zero_then_dirty(block[i] = hide(calloc(1, fresh_size(i))), fresh_size(i));
	ok(good, "the same memory, used and trimmed between blocks in use");
	free_all(BATCH);
	prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0);
}

/*
 * Blocks of one class where dirty ones of another were: trimming takes whole
 * pages, and what stays of the page that the last block ends in is dirty. With
 * old blocks that stay and lock their neighbours, pages do not go at all.
 */
static bool behind_blocks(size_t size, int few, bool locked)
{
	enum { OLD = 100, OLD_SIZE = 60000, NEW = 40 };
	static void *old[OLD];
	bool good = true;
	int i;

	for (i = 0; i < OLD; i++) {
		old[i] = hide(malloc(OLD_SIZE));
		if (!old[i])
			bail("no memory");
		memset(old[i], 0xdd, malloc_usable_size(old[i]));
	}
	for (i = 0; i < OLD; i++) {
		if (locked && i % 10 == 0)
			continue;
		/* Refused where the limit is low: then all of it may go. */
		if (locked)
			mlock(old[i], OLD_SIZE);
		free(old[i]);
	}
	if (locked)
		malloc_trim(0);
	for (i = 0; i < few; i++) {
		block[i] = hide(malloc(size));
		if (block[i])
			memset(block[i], 0xcc, malloc_usable_size(block[i]));
	}
	malloc_trim(0);
	for (; i < NEW; i++)
		good &= zero_then_dirty(block[i] = hide(calloc(1, size)), size);
	free_all(NEW);
	for (i = 0; locked && i < OLD; i += 10)
		free(old[i]);
	munlockall();
	malloc_trim(0);
	return good;
}

static void behind_last_block(bool locked)
{
	bool good = true;
	size_t size;
	int few;

	for (size = 2560; size <= 32768; size += size / 4)
		for (few = 0; few < 12; few++)
			good &= behind_blocks(size, few, locked);
	ok(good, "calloc behind the last block of a slab in %s memory, trimmed",
	   locked ? "locked" : "dirty");
}

int main(void)
{
	tap_start();
	fresh_memory();
	behind_last_block(false);
	behind_last_block(true);
	small_sizes();
	big_sizes();
	across_sizes();
	after_realloc();
	after_trim();
	aligned_leftovers();
	return tap_end();
}
