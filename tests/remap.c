/*
 * If the kernel refuses to remove the guard pages of former blocks, a block that is resized keeps
 * its contents, whether it moves or not. The test is linked with the library, and tells it that
 * there is such a guard page.
 */
#include "heap.h"
#include "seccomp.h"

#include "range/range.h"
#include "slab/pagemap.h"

enum { GUARD_REMOVE = 103 };		/* an advice */

/* As after a resize in place into a free range with a guard page that stays. */
static bool put_old_guard(const void *p)
{
	struct hk_range *r = hk_granule_find(p).range;

	if (r)
		r->old_guards = 1;
	return r != NULL;
}

static void resize(size_t from, size_t to)
{
	char *p = (char *)hide(malloc(from));
	size_t kept = from < to ? from : to;

	if (!p || !put_old_guard(p)) {
		ok(false, "a block of %zu bytes", from);
		return;
	}
	fill(p, from, 1);
	p = (char *)hide(realloc(p, to));
	ok(p && filled(p, kept, 1), "from %zu to %zu MiB", from / MB, to / MB);
	free(p);
}

int main(void)
{
	tap_start();
	if (tap_hardened("HAKMEM_HARDEN resizes in another way"))
		return tap_end();
	free(hide(malloc(3 * MB)));
	/* The kernel refuses to remove guard pages, whether it has them or not. */
	if (!seccomp_advice(GUARD_REMOVE, SECCOMP_RET_ERRNO | EPERM)) {
		skip("everything", "no seccomp");
		return tap_end();
	}
	/* Blocks of whole granules, which have no guard page of their own. */
	resize(2 * MB, 3 * MB);
	resize(4 * MB, 100 * MB);
	resize(32 * MB, 200 * MB);
	resize(20 * MB, 6 * MB);
	return tap_end();
}
