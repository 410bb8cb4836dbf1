/*
 * Free slots in runs that are too short for the slabs that a program needs now are released,
 * so that the heap does not keep both. No time passes for the heap: the purge delay is an
 * hour.
 *
 * The library is linked in, so that the memory that waits can be read from inside.
 */
#include "heap.h"

#include "pool/pool.h"
#include "range/decay.h"

enum { SHORT = 4096, LONG = 14336, BYTES = 16 << 20 };	/* in slabs of one and of four slots */

static void *small[2 * BYTES / SHORT];

static void allocate_small(void)
{
	size_t i;

	for (i = 0; i < sizeof small / sizeof *small; i++)
		if (!(small[i] = hide(malloc(SHORT))))
			bail("no memory");
}

/* Every second slab becomes empty. */
static void free_half(void)
{
	size_t i;

	for (i = 0; i < sizeof small / sizeof *small; i++)
		if ((uintptr_t)small[i] / HK_SLOT_SIZE % 2)
			free(small[i]);
}

int main(int argc, char **argv)
{
	size_t before, after, i;

	(void)argv;
	if (argc < 2) {
		setenv("HAKMEM_PROFILE", "default", 1);
		setenv("HAKMEM_SUPERSLAB_REUSE", "1", 1);
		setenv("HAKMEM_SCAVENGER", "0", 1);
		exec_self("unfit", "settings", "");
		bail("cannot execute this program again");
	}
	tap_start();
	get_own_cache();
	atomic_store(&hk_purge_delay, 60 * 60 * 1000);
	allocate_small();
	free_half();
	before = hk_pool_waiting();
	ok(before > BYTES / 2, "free slots wait: %zu bytes", before);
	for (i = 0; i < BYTES / LONG; i++)
		if (!hide(malloc(LONG)))
			bail("no memory");
	after = hk_pool_waiting();
	ok(after < before / 2, "those that are too short are released: %zu bytes wait", after);
	return tap_end();
}
