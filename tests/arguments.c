/*
 * Odd arguments: the results and errno are those of glibc's functions, which dlsym finds in libc.
 * A program may depend on them, for example on errno after a posix_memalign that failed.
 */
#include "heap.h"

#include <limits.h>

enum function { MALLOC, CALLOC, REALLOC, REALLOC_NULL, ARRAY, ARRAY_NULL, MEMALIGN, ALIGNED, POSIX, VALLOC, PVALLOC,
		USABLE, FUNCTIONS };
static const char *const names[FUNCTIONS] = {
	"malloc", "calloc", "realloc", "realloc", "reallocarray", "reallocarray", "memalign", "aligned_alloc",
	"posix_memalign", "valloc", "pvalloc", "malloc_usable_size",
};

#define SIZE_MOST ((size_t)PTRDIFF_MAX)
#define TOP_BIT (SIZE_MOST + 1)
#define FAR_TOO_MUCH (SIZE_MAX / 2 + 2)

/* why: the result is not compared with glibc's for this reason, and must be that of the row. */
#define BY_NAME "glibc's calls realloc by name"
#define NEWER "as in glibc from 2.38 on"

static const struct row {
	enum function function;
	size_t a, b;
	const char *why;
	bool null;
	int error;			/* 0: errno does not change */
} rows[] = {
	{ .function = MALLOC, .a = 0 },
	{ .function = MALLOC, .a = SIZE_MOST },
	{ .function = MALLOC, .a = TOP_BIT },
	{ .function = MALLOC, .a = SIZE_MAX },
	{ .function = CALLOC, .a = 0, .b = 0 },
	{ .function = CALLOC, .a = 0, .b = SIZE_MAX },
	{ .function = CALLOC, .a = SIZE_MAX, .b = 0 },
	{ .function = CALLOC, .a = 1, .b = SIZE_MOST },
	{ .function = CALLOC, .a = 1, .b = SIZE_MAX },
	{ .function = CALLOC, .a = 2, .b = SIZE_MOST },
	{ .function = CALLOC, .a = FAR_TOO_MUCH, .b = 2 },
	{ .function = CALLOC, .a = SIZE_MAX, .b = SIZE_MAX },
	{ .function = REALLOC_NULL, .a = 0 },
	{ .function = REALLOC_NULL, .a = SIZE_MOST },
	{ .function = REALLOC_NULL, .a = SIZE_MAX },
	{ .function = REALLOC, .a = 0 },
	{ .function = REALLOC, .a = SIZE_MOST },
	{ .function = REALLOC, .a = TOP_BIT },
	{ .function = REALLOC, .a = SIZE_MAX },
	{ ARRAY_NULL, 0, 0, BY_NAME, false, 0 },
	{ ARRAY_NULL, SIZE_MAX, 0, BY_NAME, false, 0 },
	{ ARRAY_NULL, SIZE_MAX, 2, BY_NAME, true, ENOMEM },
	{ ARRAY, 0, SIZE_MAX, BY_NAME, true, 0 },
	{ ARRAY, 2, SIZE_MOST, BY_NAME, true, ENOMEM },
	{ ARRAY, FAR_TOO_MUCH, 2, BY_NAME, true, ENOMEM },
	{ .function = MEMALIGN, .a = 0, .b = 100 },
	{ .function = MEMALIGN, .a = 3, .b = 100 },
	{ .function = MEMALIGN, .a = 1, .b = 0 },
	{ .function = MEMALIGN, .a = 48, .b = SIZE_MAX },
	{ .function = MEMALIGN, .a = 64, .b = SIZE_MOST },
	{ .function = MEMALIGN, .a = 4096, .b = 0 },
	{ .function = MEMALIGN, .a = 4096, .b = SIZE_MAX - 4095 },
	{ .function = MEMALIGN, .a = TOP_BIT, .b = 1 },
	{ .function = MEMALIGN, .a = TOP_BIT + 1, .b = 1 },
	{ .function = MEMALIGN, .a = SIZE_MAX, .b = SIZE_MAX },
	{ ALIGNED, 0, 100, NEWER, true, EINVAL },
	{ ALIGNED, 3, 100, NEWER, true, EINVAL },
	{ .function = ALIGNED, .a = 1, .b = 100 },
	{ .function = ALIGNED, .a = 64, .b = 1 },
	{ .function = ALIGNED, .a = 64, .b = SIZE_MOST },
	{ .function = ALIGNED, .a = TOP_BIT, .b = 1 },
	{ ALIGNED, SIZE_MAX, 1, NEWER, true, EINVAL },
	{ .function = POSIX, .a = 0, .b = 100 },
	{ .function = POSIX, .a = 3, .b = 100 },
	{ .function = POSIX, .a = sizeof(void *) / 2, .b = 100 },
	{ .function = POSIX, .a = sizeof(void *) * 3, .b = 100 },
	{ .function = POSIX, .a = sizeof(void *), .b = 0 },
	{ .function = POSIX, .a = 64, .b = SIZE_MOST },
	{ .function = POSIX, .a = 64, .b = SIZE_MAX },
	{ .function = POSIX, .a = TOP_BIT, .b = 1 },
	{ .function = POSIX, .a = SIZE_MAX, .b = SIZE_MAX },
	{ .function = VALLOC, .a = 0 },
	{ .function = VALLOC, .a = SIZE_MOST },
	{ .function = VALLOC, .a = SIZE_MAX },
	{ .function = PVALLOC, .a = 0 },
	{ .function = PVALLOC, .a = 1 },
	{ .function = PVALLOC, .a = SIZE_MOST },
	{ .function = PVALLOC, .a = SIZE_MAX - 1000 },
	{ .function = PVALLOC, .a = SIZE_MAX },
	{ .function = USABLE },
};
enum { ROWS = sizeof rows / sizeof *rows, UNTOUCHED = 12345 };

typedef void *(*one)(size_t);
typedef void *(*two)(size_t, size_t);
typedef void *(*resize)(void *, size_t);
typedef void *(*resize_array)(void *, size_t, size_t);
typedef int (*posix)(void **, size_t, size_t);
typedef size_t (*usable)(void *);

/* An allocator. */
struct heap {
	void *function[FUNCTIONS];
	void (*free)(void *);
};

static void find(struct heap *heap, void *library)
{
	int i;

	for (i = 0; i < FUNCTIONS; i++)
		if (!(heap->function[i] = dlsym(library, names[i])))
			bail("no %s", names[i]);
	*(void **)&heap->free = dlsym(library, "free");
}

struct outcome {
	bool null;
	int value, error;		/* what is returned, if not a block; errno */
};

static int unchanged;

static void *call(const struct heap *heap, const struct row *row, void *block, int *value)
{
	void *function = heap->function[row->function], *out = &unchanged;
	size_t a = hide_size(row->a), b = hide_size(row->b);

	switch (row->function) {
	case CALLOC: case MEMALIGN: case ALIGNED:
		return ((two)function)(a, b);
	case REALLOC: case REALLOC_NULL:
		return ((resize)function)(block, a);
	case ARRAY: case ARRAY_NULL:
		return ((resize_array)function)(block, a, b);
	case POSIX:
		*value = ((posix)function)(&out, a, b);
		if (*value && out != &unchanged)
			*value = -1;	/* it must not change */
		return *value ? NULL : out;
	case USABLE:
		*value = (int)((usable)function)(NULL);
		return NULL;
	default:
		return ((one)function)(a);
	}
}

static struct outcome outcome(const struct heap *heap, const struct row *row)
{
	bool resizes = row->function == REALLOC || row->function == ARRAY;
	struct outcome result = { .value = 0 };
	void *block = resizes ? ((one)heap->function[MALLOC])(100) : NULL, *p;

	errno = UNTOUCHED;
	p = hide(call(heap, row, block, &result.value));
	result.error = errno;
	result.null = p == NULL;
	/* A block that cannot be resized is still there. */
	if (!p && result.error != UNTOUCHED)
		heap->free(block);
	heap->free(p);
	return result;
}

static bool are_equal(struct outcome a, struct outcome b)
{
	return a.null == b.null && a.value == b.value && a.error == b.error;
}

static void compare(const struct heap *ours, const struct heap *theirs, const struct row *row)
{
	struct outcome got = outcome(ours, row);
	struct outcome wants = row->why ? (struct outcome){ row->null, 0, row->error ? row->error : UNTOUCHED } :
					  outcome(theirs, row);

	if (!ok(are_equal(got, wants), "%s, %zx, %zx%s%s", names[row->function], row->a, row->b, row->why ? ": " : "",
		row->why ? row->why : ""))
		diag("%s, value %d, errno %d; expected %s, %d, %d", got.null ? "NULL" : "a block", got.value,
		     got.error, wants.null ? "NULL" : "a block", wants.value, wants.error);
}

int main(void)
{
	void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
	struct heap ours, theirs;
	size_t i;

	free(hide(malloc(1)));		/* or the linker would drop the library */
	tap_start();
	if (!libc) {
		skip("everything", "no glibc to compare with");
		return tap_end();
	}
	find(&ours, RTLD_DEFAULT);
	find(&theirs, libc);
	if (ours.function[MALLOC] == theirs.function[MALLOC]) {
		skip("everything", "malloc is glibc's");
		return tap_end();
	}
	for (i = 0; i < ROWS; i++)
		compare(&ours, &theirs, &rows[i]);
	return tap_end();
}
