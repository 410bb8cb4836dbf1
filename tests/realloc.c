/* realloc keeps what both sizes share, whatever kinds of block it moves between. */
#include "heap.h"

/* Steps over every boundary: between classes, to page runs, to direct mappings. */
static const size_t step[] = {
	1, 15, 16, 17, 32, 33, 48, 64, 65, 80, 96, 112, 128, 129, 160, 256, 257, 512, 513, 1000,
	1024, 1025, 2047, 2048, 2049, 2560, 2561, 4096, 4097, 8192, 16384, 20480, 32767, 32768,
	32769, 65536, 65537, 100000, 200000, 500000, 1048576, 1048577, 2097151, 2097152, 2097153,
	3000000, 4194304, 4194305, 8388608, 20000000, 33554433, 67108864,
};
enum { STEPS = sizeof step / sizeof *step };

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static bool keeps(size_t from, size_t to)
{
	char *p = (char *)hide(malloc(from)), *q;
	size_t usable;
	bool good;

	if (!p)
		return false;
	fill(p, least(from, to), from ^ to);
	q = (char *)hide(realloc(p, to));
	if (!q)
		return false;
	usable = malloc_usable_size(q);
	good = usable >= to && (uintptr_t)q % 16 == 0 && filled(q, least(from, to), from ^ to);
	/* All of the new block is ours. */
	memset(q + usable - least(usable, 100000), 1, least(usable, 100000));
	free(q);
	return good;
}

static void every_pair(void)
{
	bool up = true, down = true;
	int i, k;

	for (i = 0; i < STEPS; i++) {
		for (k = 0; k < STEPS; k++) {
			bool good;

			/* The whole square of the largest would only copy gigabytes. */
			if (i > 42 && k > 42 && (k > i + 2 || i > k + 2))
				continue;
			good = keeps(step[i], step[k]);
			if (!good)
				diag("from %zu to %zu", step[i], step[k]);
			*(i < k ? &up : &down) &= good;
		}
	}
	ok(up, "contents are kept when a block grows");
	ok(down, "contents are kept when a block shrinks");
}

/* One block walks up and down all steps, with neighbours that must not change. */
static void walk(void)
{
	static struct { char *p; size_t size; } wall[2 * STEPS];
	char *p = (char *)hide(malloc(step[0]));
	bool good = true;
	size_t had = step[0];
	int i;

	fill(p, had, 42);
	for (i = 0; i < 2 * STEPS; i++) {
		size_t size = step[i < STEPS ? i : 2 * STEPS - 1 - i];

		p = (char *)hide(realloc(p, size));
		good &= p && filled(p, least(had, size), 42);
		fill(p, malloc_usable_size(p), 42);
		had = size;
		wall[i].size = malloc_usable_size(p) / 8 + 1;
		wall[i].p = (char *)hide(malloc(wall[i].size));
		fill(wall[i].p, wall[i].size, (uint64_t)i);
	}
	ok(good, "a block that walks up and down keeps its contents");
	free(p);
	for (i = 0, good = true; i < 2 * STEPS; i++) {
		good &= filled(wall[i].p, wall[i].size, (uint64_t)i);
		free(wall[i].p);
	}
	ok(good, "its neighbours keep theirs");
}

/* The neighbour behind is free, taken, or half free: growth in place must not reach too far. */
static void neighbours(void)
{
	static const size_t sizes[] = { 40000, 70000, 150000, 300000, 600000, 2500000 };
	size_t s;

	for (s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		enum { N = 24 };
		size_t size = sizes[s];
		char *p[N];
		bool good = true;
		int i;

		for (i = 0; i < N; i++) {
			p[i] = (char *)hide(malloc(size));
			fill(p[i], size, (uint64_t)i);
		}
		for (i = 1; i < N; i += 3)
			free(p[i]);
		for (i = 0; i < N; i++) {
			if (i % 3 == 1)
				continue;
			p[i] = (char *)hide(realloc(p[i], size + size / 2 * (size_t)(1 + i % 4)));
			good &= p[i] && filled(p[i], size, (uint64_t)i);
			memset(p[i] + size, 0x3c, malloc_usable_size(p[i]) - size);
		}
		for (i = 0; i < N; i++) {
			if (i % 3 == 1)
				continue;
			good &= filled(p[i], size, (uint64_t)i);
			p[i] = (char *)hide(realloc(p[i], size / 3));
			good &= p[i] && filled(p[i], size / 3, (uint64_t)i);
		}
		for (i = 0; i < N; i++)
			if (i % 3 != 1)
				free(p[i]);
		ok(good, "blocks of %zu bytes grow and shrink beside free and taken neighbours", size);
	}
}

static void null_and_zero(void)
{
	char *p, *q;
	int i;

	p = (char *)hide(realloc(hide(NULL), 100));
	ok(p && malloc_usable_size(p) >= 100, "realloc(NULL, n) is malloc(n)");
	memset(p, 1, 100);
	/* glibc frees and gives NULL, others give a minimal block: both may be freed. */
	q = (char *)hide(realloc(p, 0));
	free(q);
	ok(true, "realloc(p, 0) frees p; what it returns can be freed");
	p = (char *)hide(realloc(hide(NULL), 0));
	ok(p != NULL, "realloc(NULL, 0) is malloc(0)");
	free(p);
	for (i = 0; i < 1000000; i++)
		free(hide(realloc(hide(malloc(1000)), 0)));
	ok(resident() < 200 * MB, "realloc(p, 0) does not leak");
	p = (char *)hide(reallocarray(hide(NULL), 10, 30));
	fill(p, 300, 5);
	p = (char *)hide(reallocarray(p, 100, 30));
	ok(p && filled(p, 300, 5) && malloc_usable_size(p) >= 3000, "reallocarray grows by count and size");
	free(p);
}

static void impossible(void)
{
	static const size_t sizes[] = { 10, 100, 5000, 100000, 1000000, 50000000 };
	static const size_t most[] = { SIZE_MAX, PTRDIFF_MAX, (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 2 * MB };
	size_t i, k;

	for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		char *p = (char *)hide(malloc(sizes[i]));
		bool good = true;

		fill(p, sizes[i], i);
		for (k = 0; k < sizeof most / sizeof *most; k++) {
			errno = 0;
			good &= !hide(realloc(hide(p), hide_size(most[k]))) && errno == ENOMEM;
		}
		ok(good && filled(hide(p), sizes[i], i), "a %zu-byte block outlives an impossible realloc", sizes[i]);
		free(hide(p));
	}
}

/* A vector that grows to hundreds of megabytes by halves, and one by constant steps. */
static void vectors(void)
{
	uint64_t *v = NULL;
	size_t have = 0, want, i, most = 300 * MB / sizeof *v;
	bool good = true;

	for (want = 2; want < most; want += want / 2) {
		v = (uint64_t *)hide(realloc(v, want * sizeof *v));
		if (!v)
			break;
		for (i = have; i < want; i++)
			v[i] = i * 31;
		have = want;
	}
	good = v != NULL;
	for (i = 0; good && i < have; i++)
		good = v[i] == i * 31;
	ok(good, "a vector grows to 300 MiB by halves");
	for (want = have; good && want > 100; want /= 3) {
		v = (uint64_t *)hide(realloc(v, want * sizeof *v));
		good = v && v[0] == 0 && v[want - 1] == (want - 1) * 31 && v[want / 2] == want / 2 * 31;
	}
	ok(good, "and shrinks by thirds");
	free(v);

	for (v = NULL, have = 0, good = true, want = 1000; good && want < 100 * MB / sizeof *v; want += 65536) {
		v = (uint64_t *)hide(realloc(v, want * sizeof *v));
		good = v != NULL;
		for (i = have; good && i < want; i += 500)
			v[i] = i;
		have = want;
	}
	for (want = 1000; good && want + 65536 < have; want += 65536)
		for (i = want; i < want + 65536 && good; i += 500)
			good = v[i] == i;
	ok(good, "a vector grows to 100 MiB by half a megabyte at a time");
	free(v);
}

/* Shrinking must give memory up, or a cut vector would hold its peak. */
static void shrink_releases(void)
{
	size_t before = resident(), after;
	char *p = (char *)hide(malloc(200 * MB));

	memset(p, 1, 200 * MB);
	p = (char *)hide(realloc(p, MB));
	after = resident();
	ok(p && p[0] == 1 && p[MB - 1] == 1 && after < before + 64 * MB,
	   "a block cut from 200 MiB to 1 MiB gives its memory back");
	free(p);
}

int main(void)
{
	tap_start();
	every_pair();
	walk();
	neighbours();
	null_and_zero();
	impossible();
	vectors();
	shrink_releases();
	return tap_end();
}
