/* The order in which malloc hands out the blocks that were freed before. */
#include "child.h"
#include "heap.h"

enum { BLOCKS = 100000, SIZE = 128, SLAB = 32768 };

static char *block[BLOCKS];

static void allocate(void)
{
	size_t i;

	for (i = 0; i < BLOCKS; i++) {
		block[i] = (char *)malloc(SIZE);
		fill(block[i], SIZE, i);
	}
}

static void free_all(void)
{
	size_t i;

	for (i = 0; i < BLOCKS; i++) {
		if (!filled(block[i], SIZE, i))
			fail("the contents of block %zu have changed", i);
		free(block[i]);
	}
}

/* Only the addresses: the contents belong to the place in the array. */
static void free_at_random(void)
{
	uint64_t state = 1;
	size_t i;

	for (i = BLOCKS; i > 0; i--) {
		size_t j = random_below(&state, i);

		free(block[j]);
		block[j] = block[i - 1];
	}
}

/* Blocks whose predecessor lies in the same slab. */
static size_t near_the_last(void)
{
	size_t near = 0, i;

	for (i = 1; i < BLOCKS; i++)
		near += ((uintptr_t)block[i - 1] ^ (uintptr_t)block[i]) < SLAB;
	return near;
}

static void at_random(void *arg)
{
	int turn;

	(void)arg;
	for (turn = 0; turn < 10; turn++) {
		allocate();
		if (near_the_last() < BLOCKS / 2)
			fail("turn %d: %zu of %d blocks are near the one before", turn, near_the_last(), BLOCKS);
		free_at_random();
	}
}

static void contents(void *arg)
{
	(void)arg;
	allocate();
	free_at_random();
	allocate();
	free_all();
}

int main(void)
{
	tap_start();
	child_ok(at_random, NULL, 120, "many blocks that were freed in random order are allocated again slab by slab");
	child_ok(contents, NULL, 120, "each of them once");
	return tap_end();
}
