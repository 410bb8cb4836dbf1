/*
 * A LIFO loop for counting instructions: allocates depth blocks of one size,
 * frees them in reverse order, again and again. `pair empty ...` runs the same
 * loop on two functions that do nothing, so that the cost of the loop can be
 * taken off. Both are called through pointers, which leaves out the stubs of
 * the procedure linkage table. The script `instructions` runs this under
 * callgrind and counts only inside pair_loop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST = 4096 };

typedef void *allocate(size_t);
typedef void release(void *);

/* Volatile, or the compiler would see what is called. */
static allocate *volatile get = malloc;
static release *volatile put = free;

static __attribute__((noinline)) void *empty_get(size_t size)
{
	__asm__ volatile("" :: "r"(size));
	return NULL;
}

static __attribute__((noinline)) void empty_put(void *p)
{
	__asm__ volatile("" :: "r"(p));
}

static inline __attribute__((always_inline)) void loop(size_t size, unsigned long depth,
						       unsigned long times)
{
	void *stack[DEEPEST];
	allocate *in = get;
	release *out = put;
	unsigned long i;

	while (times--) {
		for (i = 0; i < depth; i++)
			stack[i] = in(size);
		while (i)
			out(stack[--i]);
	}
}

/* Two names for one loop: callgrind counts only inside the second. */
__attribute__((noinline)) void pair_warm(size_t size, unsigned long depth, unsigned long times);
__attribute__((noinline)) void pair_loop(size_t size, unsigned long depth, unsigned long times);

void pair_warm(size_t size, unsigned long depth, unsigned long times)
{
	loop(size, depth, times);
}

void pair_loop(size_t size, unsigned long depth, unsigned long times)
{
	loop(size, depth, times);
}

int main(int argc, char **argv)
{
	unsigned long size, depth, times;

	if (argc != 5 || (strcmp(argv[1], "malloc") && strcmp(argv[1], "empty"))) {
		fputs("Usage: pair malloc|empty SIZE DEPTH TIMES\n"
		      "Allocates DEPTH blocks and frees them in reverse order, TIMES times.\n", stderr);
		return argc == 2 && !strcmp(argv[1], "--help") ? 0 : 2;
	}
	size = strtoul(argv[2], NULL, 0);
	depth = strtoul(argv[3], NULL, 0);
	times = strtoul(argv[4], NULL, 0);
	if (!depth || depth > DEEPEST) {
		fprintf(stderr, "pair: DEPTH is 1 to %d\n", DEEPEST);
		return 2;
	}
	if (!strcmp(argv[1], "empty")) {
		get = empty_get;
		put = empty_put;
	}
	pair_warm(size, depth, times / 10 + 1);
	pair_loop(size, depth, times);
	return 0;
}
