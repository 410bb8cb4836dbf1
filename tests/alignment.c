/* Every alignment that can be asked for, and what is said to the others. */
#include "heap.h"

static bool aligned(const void *p, size_t alignment)
{
	return (uintptr_t)p % alignment == 0;
}

/* Large blocks are written at both ends and sparsely between. */
static void touch(char *p, size_t size, char key)
{
	size_t at;

	for (at = 0; at < size; at += 4096 + (size >> 8))
		p[at] = (char)(key + (char)(at >> 4));
	p[size - 1] = key;
}

static bool touched(const char *p, size_t size, char key)
{
	size_t at;

	for (at = 0; at + 1 < size; at += 4096 + (size >> 8))
		if (p[at] != (char)(key + (char)(at >> 4)))
			return false;
	return p[size - 1] == key;
}

static void *by_posix(size_t alignment, size_t size)
{
	void *p = NULL;

	return posix_memalign(&p, alignment, size) ? NULL : p;
}

static void *by_c11(size_t alignment, size_t size)
{
	return aligned_alloc(alignment, size);
}

static void *by_memalign(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

/* A few blocks of each size about the alignment, all live together. */
static bool one_alignment(void *(*get)(size_t, size_t), size_t alignment)
{
	size_t sizes[] = {
		1, 16, alignment / 2 + 1, alignment - 1, alignment, alignment + 1,
		alignment * 3 / 2, alignment * 2, alignment * 3 + 1, 100, 5000, 70000,
	};
	enum { SIZES = sizeof sizes / sizeof *sizes, EACH = 6 };
	int each = alignment > 16 * MB ? 1 : alignment > MB ? 2 : EACH, i, k;
	char *p[SIZES][EACH];
	bool good = true;

	for (i = 0; i < SIZES; i++) {
		if (sizes[i] == 0 || sizes[i] > GB)
			sizes[i] = 1;
		for (k = 0; k < each; k++) {
			p[i][k] = (char *)hide(get(alignment, sizes[i]));
			if (!p[i][k] || !aligned(p[i][k], alignment) ||
			    malloc_usable_size(p[i][k]) < sizes[i]) {
				diag("alignment %zu, size %zu: %p", alignment, sizes[i], p[i][k]);
				return false;
			}
			touch(p[i][k], malloc_usable_size(p[i][k]), (char)(i * EACH + k));
		}
	}
	for (i = 0; i < SIZES; i++)
		for (k = 0; k < each; k++)
			good &= touched(p[i][k], malloc_usable_size(p[i][k]), (char)(i * EACH + k));
	for (k = 0; k < each; k++)
		for (i = 0; i < SIZES; i++)
			free(p[SIZES - 1 - i][k]);
	return good;
}

static void every_alignment(void)
{
	/* Several blocks at a time: 32 bits of address have no room for them. */
	size_t a, most = sizeof(void *) > 4 ? 2 * (size_t)GB : 128 * MB;

	for (a = 1; a <= most; a *= 2) {
		if (a >= sizeof(void *))
			ok(one_alignment(by_posix, a), "posix_memalign, alignment %zu", a);
		ok(one_alignment(by_c11, a), "aligned_alloc, alignment %zu", a);
		ok(one_alignment(by_memalign, a), "memalign, alignment %zu", a);
	}
	if (most < GB)
		skip("alignments from 256 MiB to 2 GiB", "addresses have 32 bits");
}

/* Every small alignment with every small size: classes must fit both. */
static void small_grid(void)
{
	size_t a, size;
	bool good = true;

	for (a = 16; a <= 8192; a *= 2) {
		for (size = 1; size <= 9000; size += size < 600 ? 1 : 61) {
			char *p = (char *)hide(aligned_alloc(a, size));
			char *q = (char *)hide(aligned_alloc(a, size));

			good &= p && q && aligned(p, a) && aligned(q, a);
			if (!good)
				goto out;
			fill(p, malloc_usable_size(p), size);
			fill(q, malloc_usable_size(q), size + 1);
			good &= filled(p, malloc_usable_size(p), size);
			free(p);
			good &= filled(q, malloc_usable_size(q), size + 1);
			free(q);
		}
	}
out:
	ok(good, "alignments to 8192 with sizes to 9000 hold what is written");
}

static void bad_alignment(void)
{
	static const size_t wrong[] = { 0, 1, 2, 3, 4, 7, 12, 24, 48, 100, 4095, 4097, 6144, SIZE_MAX, SIZE_MAX / 2 };
	size_t i;

	for (i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		void *p = &p;
		int result;

		if (wrong[i] == sizeof(void *))
			continue;	/* right where pointers have 32 bits */
		result = posix_memalign(&p, wrong[i], 64);
		ok(result == EINVAL && p == (void *)&p,
		   "posix_memalign with alignment %zu gives EINVAL and leaves the pointer", wrong[i]);
	}
}

/*
 * C leaves aligned_alloc(3, n) open: it may fail with EINVAL or serve an
 * alignment that is good enough, but it must not give a broken block.
 */
static void odd_alignment(void)
{
	static const size_t odd[] = { 3, 5, 24, 48, 100, 1000 };
	bool good = true;
	size_t i;

	for (i = 0; i < sizeof odd / sizeof *odd; i++) {
		void *p, *q;

		errno = 0;
		p = hide(aligned_alloc(odd[i], 64));
		good &= p ? aligned(p, 16) : errno == EINVAL;
		errno = 0;
		q = hide(memalign(odd[i], 64));
		good &= q ? aligned(q, 16) : errno == EINVAL;
		if (p)
			memset(p, 1, 64);
		if (q)
			memset(q, 2, 64);
		free(p);
		free(q);
	}
	ok(good, "odd alignments give a sound block or EINVAL");
}

static void impossible(void)
{
	static const size_t alignments[] = { 16, 64, 4096, 1 << 21, 1 << 30 };
	/* Of 32 bits, a 64-bit kernel may have all but the last 2 MiB of one half. */
	static const size_t sizes[] = {
		SIZE_MAX, SIZE_MAX - 4096, PTRDIFF_MAX,
		(size_t)PTRDIFF_MAX - (1 << 21) + (sizeof(void *) == 4), SIZE_MAX - (1 << 30),
	};
	size_t i, k;

	for (i = 0; i < sizeof alignments / sizeof *alignments; i++) {
		bool good = true;

		for (k = 0; k < sizeof sizes / sizeof *sizes; k++) {
			void *p = &p;

			good &= posix_memalign(&p, alignments[i], sizes[k]) == ENOMEM && p == (void *)&p;
			errno = 0;
			good &= !hide(aligned_alloc(alignments[i], sizes[k])) && errno == ENOMEM;
			errno = 0;
			good &= !hide(memalign(alignments[i], sizes[k])) && errno == ENOMEM;
		}
		ok(good, "alignment %zu with sizes that cannot be: ENOMEM", alignments[i]);
	}
	errno = 0;
	ok(!hide(aligned_alloc(hide_size((size_t)1 << (sizeof(size_t) * 8 - 1)), 16)) && (errno == ENOMEM || errno == EINVAL),
	   "an alignment as large as half the address space fails cleanly");
	errno = 0;
	ok(!hide(valloc(hide_size(SIZE_MAX - 100))) && errno == ENOMEM, "valloc of SIZE_MAX - 100: ENOMEM");
	errno = 0;
	ok(!hide(pvalloc(hide_size(SIZE_MAX - 100))) && errno == ENOMEM, "pvalloc of SIZE_MAX - 100: ENOMEM");
	errno = 0;
	ok(!hide(pvalloc(hide_size(SIZE_MAX))) && errno == ENOMEM, "pvalloc of SIZE_MAX: ENOMEM");
}

static void pages(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), size;
	bool v = true, pv = true;

	for (size = 1; size < 20 * page; size += 997) {
		void *p = hide(valloc(size)), *q = hide(pvalloc(size));

		v &= p && aligned(p, page) && malloc_usable_size(p) >= size;
		pv &= q && aligned(q, page) && malloc_usable_size(q) >= (size + page - 1) / page * page;
		if (!v || !pv)
			break;
		memset(p, 1, size);
		memset(q, 2, malloc_usable_size(q));
		free(p);
		free(q);
	}
	ok(v, "valloc gives page-aligned blocks");
	ok(pv, "pvalloc gives whole pages");
}

static void size_zero(void)
{
	void *p = NULL, *q = NULL;
	int result = posix_memalign(&p, 64, 0) | posix_memalign(&q, 64, 0);
	void *r = hide(aligned_alloc(4096, 0)), *s = hide(memalign(4096, 0));

	ok(result == 0 && p && q && p != q && aligned(p, 64), "posix_memalign of 0 bytes gives unique blocks");
	ok(r && s && r != s && aligned(r, 4096) && aligned(s, 4096), "aligned_alloc and memalign of 0 bytes too");
	free(p);
	free(q);
	free(r);
	free(s);
	p = hide(valloc(0));
	q = hide(pvalloc(0));
	ok(p && q && p != q, "valloc(0) and pvalloc(0) are blocks");
	free(p);
	free(q);
}

/* realloc need not keep the alignment, but must keep the contents. */
static void realloc_aligned(void)
{
	bool good = true;
	size_t a;

	for (a = 32; a <= 16 * MB; a *= 2) {
		size_t size = a / 2 + 100;
		char *p = (char *)hide(aligned_alloc(a, size));

		fill(p, size, a);
		p = (char *)hide(realloc(p, size * 3));
		good &= p && filled(p, size, a);
		p = (char *)hide(realloc(p, 60));
		good &= p && filled(p, 56, a);
		free(p);
	}
	ok(good, "realloc of aligned blocks keeps their contents");
}

/* Freed aligned blocks are used again as plain blocks of any kind. */
static void mixed_reuse(void)
{
	enum { SLOTS = 500 };
	static struct { char *p; size_t size; } slot[SLOTS];
	uint64_t random = tap_seed();
	bool good = true;
	int i;

	for (i = 0; i < 100000 && good; i++) {
		size_t k = random_below(&random, SLOTS);

		if (slot[k].p) {
			good = filled(slot[k].p, slot[k].size, k);
			free(slot[k].p);
			slot[k].p = NULL;
			continue;
		}
		slot[k].size = random_size(&random, 100000);
		if (random_next(&random) % 2) {
			size_t a = (size_t)1 << random_below(&random, 17);

			slot[k].p = (char *)hide(memalign(a, slot[k].size));
			good = slot[k].p && aligned(slot[k].p, a);
		} else {
			slot[k].p = (char *)hide(malloc(slot[k].size));
			good = slot[k].p != NULL;
		}
		if (good)
			fill(slot[k].p, slot[k].size, k);
	}
	ok(good, "aligned and plain blocks mixed at random");
	for (i = 0; i < SLOTS; i++)
		free(slot[i].p);
}

int main(void)
{
	tap_start();
	every_alignment();
	small_grid();
	bad_alignment();
	odd_alignment();
	impossible();
	pages();
	size_zero();
	realloc_aligned();
	mixed_reuse();
	return tap_end();
}
