/* malloc of every size: room, alignment, no overlap, and the sizes that cannot be had. */
#include "heap.h"

enum { EVERY = 65536, HELD = 256 };

static bool disjoint(const void *a, size_t a_size, const void *b, size_t b_size)
{
	uintptr_t x = (uintptr_t)a, y = (uintptr_t)b;

	return x + a_size <= y || y + b_size <= x;
}

struct verdict {
	size_t null, small, misaligned, overlap, contents;
};

/*
 * Three blocks of each size side by side, written over their whole usable
 * size, while the last few hundred sizes are still held.
 */
static struct verdict every_size(void)
{
	static struct { void *p; size_t usable, key; } held[HELD];
	struct verdict bad = { 0, 0, 0, 0, 0 };
	size_t size, i, k;

	for (size = 1; size <= EVERY; size++) {
		void *p[3];
		size_t usable[3];

		for (k = 0; k < 3; k++) {
			p[k] = hide(malloc(size));
			if (!p[k]) {
				bad.null++;
				return bad;
			}
			usable[k] = malloc_usable_size(p[k]);
			bad.small += usable[k] < size;
			bad.misaligned += (uintptr_t)p[k] % 16 != 0;
			fill(p[k], usable[k], size * 3 + k);
		}
		bad.overlap += !disjoint(p[0], usable[0], p[1], usable[1]) ||
			       !disjoint(p[1], usable[1], p[2], usable[2]) ||
			       !disjoint(p[0], usable[0], p[2], usable[2]);
		for (k = 0; k < 3; k++)
			bad.contents += !filled(p[k], usable[k], size * 3 + k);
		i = size % HELD;
		if (held[i].p && !filled(held[i].p, held[i].usable, held[i].key))
			bad.contents++;
		free(held[i].p);
		held[i].p = p[1];
		held[i].usable = usable[1];
		held[i].key = size * 3 + 1;
		free(p[size % 2 ? 0 : 2]);
		free(p[size % 2 ? 2 : 0]);
	}
	for (i = 0; i < HELD; i++) {
		bad.contents += !filled(held[i].p, held[i].usable, held[i].key);
		free(held[i].p);
	}
	return bad;
}

static void report_every_size(void)
{
	struct verdict bad = every_size();

	ok(bad.null == 0, "every size from 1 to %d is served", EVERY);
	ok(bad.small == 0, "usable size is never below the size asked for");
	ok(bad.misaligned == 0, "every block is aligned to 16");
	ok(bad.overlap == 0, "neighbours do not overlap");
	ok(bad.contents == 0, "blocks keep their contents, usable bytes included");
}

/* Thousands of one size at once, so that slabs and SuperSlabs fill up. */
static void many_of_one_size(size_t size, size_t count)
{
	void **p = (void **)hide(malloc(count * sizeof *p));
	bool good = p != NULL;
	size_t i;

	for (i = 0; good && i < count; i++) {
		p[i] = malloc(size);
		good = p[i] != NULL;
		if (good)
			fill(p[i], malloc_usable_size(p[i]), i);
	}
	for (i = 0; good && i < count; i++)
		good = filled(p[i], malloc_usable_size(p[i]), i);
	ok(good, "%zu blocks of %zu bytes at once keep their contents", count, size);
	for (i = 0; i < count; i++)
		free(p[(i * 7919) % count]);	/* count is never a multiple of 7919 */
	free(p);
}

/* What sqlite3 or a program with buffers of pages asks for. */
static void powers_and_headers(void)
{
	size_t power, header, wasteful = 0;

	for (power = 1024; power <= 16384; power *= 2)
		for (header = 8; header <= power / 8; header += 8) {
			void *p = hide(malloc(power + header));

			wasteful += malloc_usable_size(p) > power + power / 8;
			free(p);
		}
	ok(wasteful == 0, "a power of two from 1024 on and a header take at most an eighth more");
	for (header = 1; header <= 16; header++) {
		void *p = hide(malloc(1024 + header));

		wasteful += malloc_usable_size(p) > 1040;
		free(p);
	}
	ok(wasteful == 0, "1024 bytes and a pointer or two take 1040 bytes");
}

static void size_zero(void)
{
	enum { ZEROES = 100 };
	void *p[ZEROES];
	bool distinct = true, real = true;
	int i, j;

	for (i = 0; i < ZEROES; i++) {
		p[i] = hide(malloc(0));
		real &= p[i] != NULL;
		for (j = 0; j < i; j++)
			distinct &= p[i] != p[j];
	}
	ok(real, "malloc(0) is not NULL");
	ok(distinct, "malloc(0) is a new block every time");
	for (i = 0; i < ZEROES; i++)
		free(p[i]);
	p[0] = hide(calloc(0, 0));
	p[1] = hide(calloc(0, 100));
	p[2] = hide(calloc(100, 0));
	ok(p[0] && p[1] && p[2] && p[0] != p[1] && p[1] != p[2] && p[0] != p[2],
	   "calloc of nothing gives unique blocks");
	free(p[0]);
	free(p[1]);
	free(p[2]);
	free(hide(NULL));
	ok(true, "free(NULL) does nothing");
	ok(malloc_usable_size(hide(NULL)) == 0, "malloc_usable_size(NULL) is 0");
}

/* Around powers of two and multiples of pages, up to a gigabyte. */
static void big_sizes(void)
{
	static const long around[] = { -4097, -4096, -4095, -17, -16, -1, 0, 1, 16, 4096, 4097 };
	bool served = true, usable = true, aligned = true, whole = true, apart = true;
	size_t size, k, i;

	for (size = 64 * KB; size <= 64 * MB; size *= 2) {
		for (k = 0; k < sizeof around / sizeof *around; k++) {
			for (i = 4; i < 8; i++) {
				size_t n = size / 4 * i + (size_t)around[k];
				char *p = (char *)hide(malloc(n)), *q = (char *)hide(malloc(n));
				size_t u = malloc_usable_size(p), at;

				served &= p && q;
				if (!p || !q)
					return (void)ok(false, "no block of %zu bytes", n);
				usable &= u >= n && malloc_usable_size(q) >= n;
				aligned &= (uintptr_t)p % 16 == 0 && (uintptr_t)q % 16 == 0;
				apart &= disjoint(p, u, q, malloc_usable_size(q));
				/* A write every page or so finds a hole as well as a full one. */
				for (at = 0; at < u; at += 4096 + (u >> 10))
					p[at] = (char)at;
				p[u - 1] = 'p';
				/* Two blocks of one size may have unlike usable sizes. */
				for (at = 0; at < malloc_usable_size(q); at += 4096 + (u >> 10))
					q[at] = (char)~at;
				q[malloc_usable_size(q) - 1] = 'q';
				for (at = 0; at + 1 < u; at += 4096 + (u >> 10))
					whole &= p[at] == (char)at;
				whole &= p[u - 1] == 'p';
				free(p);
				free(q);
			}
		}
	}
	ok(served, "sizes from 64 KiB to 128 MiB are served");
	ok(usable, "large blocks have at least the size asked for");
	ok(aligned, "large blocks are aligned to 16");
	ok(apart, "large blocks do not overlap");
	ok(whole, "large blocks can be written to their last usable byte");
}

static void gigabyte(void)
{
	char *p = (char *)hide(malloc(GB));
	bool good = p != NULL;
	size_t at;

	for (at = 0; good && at < GB; at += 8 * MB)
		p[at] = (char)(at >> 23);
	for (at = 0; good && at < GB; at += 8 * MB)
		good = p[at] == (char)(at >> 23);
	if (good)
		p[GB - 1] = 1;
	ok(good, "one block of 1 GiB");
	free(p);
}

static void impossible(void)
{
	static const size_t sizes[] = {
		(size_t)PTRDIFF_MAX + 1, PTRDIFF_MAX, (size_t)PTRDIFF_MAX - 1,
		(size_t)PTRDIFF_MAX - 4096, (size_t)PTRDIFF_MAX - 2 * MB + 1, SIZE_MAX, SIZE_MAX - 1,
		SIZE_MAX - 15, SIZE_MAX - 4095, SIZE_MAX - 4096, SIZE_MAX - 2 * MB, SIZE_MAX / 2 + 4096,
#if SIZE_MAX > UINT32_MAX
		/* A 32-bit program on a 64-bit kernel may get this one. */
		(size_t)PTRDIFF_MAX - 2 * MB,
		(size_t)1 << 48, ((size_t)1 << 48) - 1, ((size_t)1 << 47) + 1, (size_t)1 << 62,
#endif
	};
	size_t i;

	for (i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		void *p;

		errno = 0;
		p = hide(malloc(sizes[i]));
		ok(!p && errno == ENOMEM, "malloc(0x%zx) is NULL with ENOMEM", sizes[i]);
		errno = 0;
		p = hide(calloc(sizes[i], 1));
		ok(!p && errno == ENOMEM, "calloc(0x%zx, 1) is NULL with ENOMEM", sizes[i]);
	}
}

/* Products that wrap to something small must not give a small block. */
static void overflow(void)
{
	static const size_t pairs[][2] = {
		{ SIZE_MAX / 2 + 1, 2 }, { 2, SIZE_MAX / 2 + 1 }, { SIZE_MAX, SIZE_MAX },
		{ SIZE_MAX / 16 + 2, 16 }, { (size_t)1 << (sizeof(size_t) * 4), (size_t)1 << (sizeof(size_t) * 4) },
		{ SIZE_MAX, 2 }, { ((size_t)1 << (sizeof(size_t) * 4)) + 1, ((size_t)1 << (sizeof(size_t) * 4)) + 1 },
	};
	char *kept = (char *)hide(malloc(100));
	size_t i;

	fill(kept, 100, 1);
	for (i = 0; i < sizeof pairs / sizeof *pairs; i++) {
		size_t n = pairs[i][0], m = pairs[i][1];
		void *p;

		errno = 0;
		p = hide(calloc(n, m));
		ok(!p && errno == ENOMEM, "calloc(0x%zx, 0x%zx) is NULL with ENOMEM", n, m);
		errno = 0;
		p = hide(reallocarray(NULL, n, m));
		ok(!p && errno == ENOMEM, "reallocarray(NULL, 0x%zx, 0x%zx) is NULL with ENOMEM", n, m);
		errno = 0;
		p = hide(reallocarray(hide(kept), n, m));
		ok(!p && errno == ENOMEM && filled(hide(kept), 100, 1),
		   "reallocarray(p, 0x%zx, 0x%zx) is NULL with ENOMEM and p is untouched", n, m);
	}
	free(hide(kept));
}

int main(void)
{
	static const size_t ones[] = { 1, 16, 17, 32, 48, 64, 80, 96, 128, 192, 320, 1000, 1024, 2048, 2049, 5000, 8192, 20000, 32768 };
	size_t i;

	tap_start();
	report_every_size();
	for (i = 0; i < sizeof ones / sizeof *ones; i++)
		many_of_one_size(ones[i], ones[i] < 2048 ? 50000 : 3000);
	many_of_one_size(40000, 1000);
	many_of_one_size(300000, 200);
	many_of_one_size(3 * MB, 20);
	powers_and_headers();
	size_zero();
	big_sizes();
	gigabyte();
	impossible();
	overflow();
	return tap_end();
}
