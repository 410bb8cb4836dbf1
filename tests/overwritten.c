/* Writes to free blocks are detected before the block, or the one it links to, is allocated. */
#include "child.h"
#include "heap.h"

#include <malloc.h>
#include <pthread.h>

enum { MANY = 20000 };

static void expect_overwritten(const void *p, const char *kind)
{
	expect("hakmem: free block %p was overwritten or freed twice (%s)", p, kind);
	/* What a debug build may find first. */
	expect("hakmem: invariant broken: a block in a list bears the mark of a free one, at %p", p);
}

/* Changes each byte; a constant might be the value that is there already. */
static void write_over(char *p, size_t at, size_t bytes)
{
	unsigned char *to = (unsigned char *)hide(p) + at;

	while (bytes--)
		*to++ ^= 0xa5;
}

/* Enough calls to use each list and slab of the size. */
static void use_many(size_t size)
{
	static void *p[MANY];
	int i;

	for (i = 0; i < MANY; i++)
		p[i] = hide(malloc(size));
	for (i = 0; i < MANY; i++)
		free(p[i]);
}

struct write {
	size_t size, at, bytes;
	const char *kind;
};

static void reused(void *arg)
{
	const struct write *w = (const struct write *)arg;
	char *p = (char *)hide(malloc(w->size));

	expect_overwritten(p, w->kind);
	free(hide(p));
	write_over(p, w->at, w->bytes);
	hide(malloc(w->size));
}

static void flushed(void *arg)
{
	const struct write *w = (const struct write *)arg;
	static char *p[MANY];
	int i;

	for (i = 0; i < MANY; i++)
		p[i] = (char *)hide(malloc(w->size));
	expect_overwritten(p[0], w->kind);
	free(hide(p[0]));
	write_over(p[0], w->at, w->bytes);
	for (i = 1; i < MANY; i++)
		free(p[i]);
	malloc_trim(0);
}

static void received(void *arg)
{
	const struct write *w = (const struct write *)arg;
	char *p = (char *)hide(malloc(w->size));

	expect_overwritten(p, w->kind);
	free_elsewhere(p);
	write_over(p, w->at, w->bytes);
	use_many(w->size);
}

/* Blocks of a newly carved page are adjacent. */
static void overflow(void *arg)
{
	const struct write *w = (const struct write *)arg;
	char *p[40], *before = NULL;
	int i, k;

	for (i = 0; i < 40; i++)
		p[i] = (char *)hide(malloc(w->size));
	for (i = 0; i < 40 && !before; i++)
		for (k = 0; k < 40 && !before; k++)
			if (p[k] == p[i] + malloc_usable_size(p[i])) {
				expect_overwritten(p[k], w->kind);
				free(p[k]);
				before = p[i];
			}
	if (!before)
		_exit(4);
	write_over(before, malloc_usable_size(before), w->bytes);
	use_many(w->size);
}

/* Overwrites only the link: it must not lead to the address that was written. */
static void link_alone(void *arg)
{
	const struct write *w = (const struct write *)arg;
	static char target[64];
	char *p = (char *)hide(malloc(w->size)), *got;
	uintptr_t to = (uintptr_t)target;
	int i;

	free(hide(p));
	memcpy((char *)hide(p) + 8, &to, sizeof to);
	for (i = 0; i < MANY; i++) {
		got = (char *)hide(malloc(w->size));
		if (got >= target && got < target + sizeof target)
			fail("malloc returned the address that was written\n");
	}
}

static void ends(void (*body)(void *), void *arg, const char *name)
{
	struct child c = child_run(body, arg, 60);

	if (!ok(WIFSIGNALED(c.status) && (WTERMSIG(c.status) == SIGSEGV || WTERMSIG(c.status) == SIGBUS ||
					  WTERMSIG(c.status) == SIGABRT), "%s", name))
		child_diag(&c);
}

int main(void)
{
	static struct write byte = { 90, 0, 1, "96-byte block of C3" },
		word = { 90, 0, 8, "96-byte block of C3" }, both = { 20, 0, 16, "32-byte block of C1" },
		all = { 2000, 0, 2000, "2048-byte block of C7" }, slab = { 6000, 0, 8, "6144-byte block of C9" };
	static struct { void (*body)(void *); const char *what; } way[] = {
		{ reused, "used again" }, { flushed, "put back into its slab" },
		{ received, "freed by another thread" }, { overflow, "reached by an overflow" },
	};
	size_t i;
	char name[120];

	if (tap_hardened("with HAKMEM_HARDEN the writes are found sooner; see hardened.c"))
		return tap_end();
	for (i = 0; i < sizeof way / sizeof *way; i++) {
		snprintf(name, sizeof name, "1 byte of a block, %s", way[i].what);
		child_aborts(way[i].body, &byte, name);
		snprintf(name, sizeof name, "8 bytes, %s", way[i].what);
		child_aborts(way[i].body, &word, name);
		snprintf(name, sizeof name, "16 bytes, %s", way[i].what);
		child_aborts(way[i].body, &both, name);
		snprintf(name, sizeof name, "2000 bytes, %s", way[i].what);
		child_aborts(way[i].body, &all, name);
		snprintf(name, sizeof name, "8 bytes of 6000, %s", way[i].what);
		child_aborts(way[i].body, &slab, name);
	}
	ends(link_alone, &word, "the link alone");
	ends(link_alone, &slab, "the link alone, of 6000 bytes");
	return tap_end();
}
