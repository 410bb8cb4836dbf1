/* Bad pointers: each stops the program with its line; good ones never do. */
#include "child.h"
#include "heap.h"

#include <hakmem/hakmem.h>
#include <pthread.h>
#include <setjmp.h>

static void expect_free(void *p, const char *call, const char *kind)
{
	expect("hakmem: %s(): %p is already free (%s)", call, p, kind);
}

/* Makes the owner look at its mailbox: more than its lists hold. */
static void drain_lists(size_t size)
{
	int i;

	for (i = 0; i < 2000; i++)
		hide(malloc(size));
}

static void twice(void *arg)
{
	void *p = hide(malloc(90));

	(void)arg;
	expect_free(p, "free", "96-byte block of C3");
	free(hide(p));
	free(hide(p));
}

/* Programs print a trace then, and that may need memory. */
static void use_heap(int signal)
{
	(void)signal;
	free(hide(malloc(50000)));
	free(hide(malloc(5000000)));
}

static void twice_handled(void *arg)
{
	signal(SIGABRT, use_heap);
	twice(arg);
}

static void twice_deep(void *arg)
{
	void *p = hide(malloc(90)), *other[300];
	int i;

	(void)arg;
	for (i = 0; i < 300; i++)
		other[i] = hide(malloc(90));
	expect_free(p, "free", "96-byte block of C3");
	free(hide(p));
	for (i = 0; i < 300; i++)
		free(other[i]);
	free(hide(p));
}

/* After so many frees and before 3000 more. Of the first lists that run over
 * some are set aside, those after them go into their slabs. */
static void twice_later(void *arg)
{
	static void *other[23000];
	void *p = hide(malloc(90));
	int i, before = *(const int *)arg;

	for (i = 0; i < before + 3000; i++)
		other[i] = hide(malloc(90));
	expect_free(p, "free", "96-byte block of C3");
	for (i = 0; i < before; i++)
		free(other[i]);
	free(hide(p));
	for (; i < before + 3000; i++)
		free(other[i]);
	free(hide(p));
}

/* Every second block returns to its slab, because the lists hold only a few. */
enum { HOME = 4000 };
static char *home[HOME];

static void send_home(void)
{
	int i;

	for (i = 0; i < HOME; i++)
		home[i] = (char *)hide(malloc(90));
	for (i = 0; i < HOME; i += 2)
		free(home[i]);
	malloc_trim(0);
}

static void written_at_home(void *unused)
{
	(void)unused;
	send_home();
	expect("hakmem: free block %p was overwritten or freed twice (96-byte block of C3)",
	       (void *)home[HOME / 2]);
	expect("hakmem: invariant broken: a block in a list bears the mark of a free one, at %p",
	       (void *)home[HOME / 2]);
	home[HOME / 2][7] ^= 1;
	drain_lists(90);
}

/* A write that changes a link by exclusive or needs no secret to move it by a distance. */
static void led_home(void *unused)
{
	uintptr_t *link, distance;

	(void)unused;
	send_home();
	free(home[1]);
	free(home[3]);
	/* The block it now leads to has an old link, to other such blocks. */
	expect("hakmem: free block *");
	expect("hakmem: invariant broken: *");
	distance = (uintptr_t)home[1] ^ (uintptr_t)home[HOME / 2];
	link = (uintptr_t *)(home[3] + 8);
	*link ^= distance;
	drain_lists(90);
}

static void realloc_freed(void *arg)
{
	void *p = hide(malloc(16));

	(void)arg;
	expect_free(p, "realloc", "16-byte block of C0");
	free(hide(p));
	hide(realloc(hide(p), 16));
}

static void thread_then_owner(void *arg)
{
	void *p = hide(malloc(90));

	(void)arg;
	expect_free(p, "free", "96-byte block of C3");
	free_elsewhere(p);
	free(hide(p));
	drain_lists(90);
}

static void owner_then_thread(void *arg)
{
	void *p = hide(malloc(90));

	(void)arg;
	expect_free(p, "free", "96-byte block of C3");
	free(hide(p));
	free_elsewhere(hide(p));
	drain_lists(90);
}

/*
 * The owner frees all, which empties the slab, and ends while the free of
 * another thread is still on its way.
 */
enum { MANY = 4000 };
static void *many[MANY];
static pthread_barrier_t allocated, freed_early, ended;

static void *own_many(void *unused)
{
	size_t i;

	for (i = 0; i < MANY; i++)
		many[i] = hide(malloc(90));
	pthread_barrier_wait(&allocated);
	pthread_barrier_wait(&freed_early);
	for (i = 0; i < MANY; i++)
		free(hide(many[i]));
	return unused;
}

static void *free_early(void *p)
{
	free(hide(p));
	pthread_barrier_wait(&freed_early);
	pthread_barrier_wait(&ended);
	return NULL;
}

static void owner_ends(void *arg)
{
	pthread_t owner, other;

	(void)arg;
	pthread_barrier_init(&allocated, NULL, 2);
	pthread_barrier_init(&freed_early, NULL, 2);
	pthread_barrier_init(&ended, NULL, 2);
	pthread_create(&owner, NULL, own_many, NULL);
	pthread_barrier_wait(&allocated);
	expect_free(many[MANY / 2], "free", "96-byte block of C3");
	expect("hakmem: free(): %p lies in free memory of the heap", many[MANY / 2]);
	pthread_create(&other, NULL, free_early, many[MANY / 2]);
	pthread_join(owner, NULL);
	pthread_barrier_wait(&ended);
	pthread_join(other, NULL);
}

static void two_threads(void *arg)
{
	void *p = hide(malloc(90));

	(void)arg;
	expect_free(p, "free", "96-byte block of C3");
	free_elsewhere(p);
	free_elsewhere(hide(p));
	drain_lists(90);
}

/* Inside a block of this size, so far behind its start. */
struct inside {
	size_t size, offset;
	const char *kind;
};

static void inside(void *arg)
{
	const struct inside *in = (const struct inside *)arg;
	char *p = (char *)hide(malloc(in->size));

	expect("hakmem: free(): %p is %zu byte%s inside a %s that starts at %p",
	       (void *)(p + in->offset), in->offset, in->offset == 1 ? "" : "s", in->kind, (void *)p);
	free(hide(p + in->offset));
}

/* Where no block is: as far behind the block as p says. */
static void behind(char *p, size_t distance, const char *what)
{
	expect("hakmem: free(): %p is %zu bytes past the %s", (void *)(p + distance), distance, what);
	free(hide(p + distance));
}

enum { SLOT = 32768 };

/* The first slab of a size that leaves a rest: of 48 bytes two thirds of a block. */
static void behind_slab(void *arg)
{
	uintptr_t slot = (uintptr_t)hide(malloc(48)) & -(uintptr_t)SLOT;

	behind((char *)(slot + SLOT / 48 * 48), *(const size_t *)arg, "last block of a slab (48-byte block of C2)");
}

/* Blocks of 7 KiB in two slots. */
static void behind_large_blocks(void *arg)
{
	uintptr_t slot = (uintptr_t)hide(malloc(7000)) & -(uintptr_t)SLOT;

	behind((char *)(slot + 2 * SLOT / 7168 * 7168), *(const size_t *)arg,
	       "last block of a slab (7168-byte block of C9)");
}

/* Its whole pages are its own, the rest of its last slot is not. */
static void behind_mid(void *arg)
{
	char what[80], *p = (char *)hide(malloc(60000));
	size_t size = malloc_usable_size(p), rest = 2 * SLOT - size;

	snprintf(what, sizeof what, "end of a %zu-byte Mid block that starts at %p", size, (void *)p);
	behind(p + size, arg ? rest - 16 : 0, what);
}

/* The header that another malloc has before its blocks. */
static void before_slab(void *arg)
{
	char *mid = (char *)hide(malloc(60000)), *p = (char *)hide(malloc(40));
	size_t size = malloc_usable_size(mid);

	(void)arg;
	if (p != mid + 2 * SLOT)
		fail("the slab is not after the Mid block");
	expect("hakmem: free(): %p is %zu bytes past the end of a %zu-byte Mid block that starts at %p",
	       (void *)(p - 16), (size_t)(p - 16 - mid) - size, size, (void *)mid);
	free(hide(p - 16));
}

static void inside_free_mid(void *arg)
{
	char *p = (char *)hide(malloc(200000)), *inner = (char *)hide(p + 40000);

	(void)arg;
	expect("hakmem: free(): %p lies in free memory of the heap", (void *)inner);
	free(p);
	free(inner);
}

/* Free slots that were never used. */
static void in_free_slots(void *arg)
{
	char *p = (char *)hide(malloc(40000));

	(void)arg;
	p = (char *)((uintptr_t)p | (2 * MB - SLOT)) + 16;
	expect("hakmem: free(): %p lies in free memory of the heap", (void *)p);
	free(hide(p));
}

static void never(void *arg)
{
	char *p = (char *)hide(malloc(90));

	(void)arg;
	p += 200 * 96;
	expect("hakmem: free(): %p was never allocated (96-byte block of C3)", (void *)p);
	free(hide(p));
}

static void foreign(void *arg)
{
	expect("hakmem: free(): %p is not a hakmem block", arg);
	free(hide(arg));
}

/*
 * Wild pointers, hundreds in one child, which leaves each abort by a jump.
 * Standard error is a file meanwhile.
 */
static sigjmp_buf back;
static int said;

static void leave_signal(int signal)
{
	siglongjmp(back, signal);
}

static void refuse(uintptr_t p)
{
	char wanted[96], line[96] = "";
	int signal;

	snprintf(wanted, sizeof wanted, "hakmem: free(): %p is not a hakmem block\n", (void *)p);
	signal = sigsetjmp(back, 1);
	if (signal == 0)
		free(hide((void *)p));
	if (signal == SIGABRT && pread(STDERR_FILENO, line, strlen(wanted), 0) > 0 &&
	    !strcmp(line, wanted) && ftruncate(STDERR_FILENO, 0) == 0 &&
	    lseek(STDERR_FILENO, 0, SEEK_SET) == 0)
		return;
	dup2(said, STDERR_FILENO);
	fail("free(%p): signal %d and: %s", (void *)p, signal, line);
}

static void wild(void *arg)
{
	uint64_t p = (uintptr_t)hide(malloc(*(size_t *)arg)), one, i;

	if (UINTPTR_MAX == UINT32_MAX)
		return;
	said = dup(STDERR_FILENO);
	if (said < 0 || dup2(memfd_create("line", 0), STDERR_FILENO) < 0)
		_exit(3);
	signal(SIGABRT, leave_signal);
	signal(SIGSEGV, leave_signal);
	signal(SIGBUS, leave_signal);
	for (one = (uint64_t)1 << 47; one; one <<= 1) {
		refuse((uintptr_t)(p + one));
		refuse((uintptr_t)(p - one));
		refuse((uintptr_t)(p + 3 * one));
		refuse((uintptr_t)(p + 0xa5a5a5a5a5a5a5a5 * one));
	}
	for (i = 1; i < 0x10000; i += 113) {
		refuse((uintptr_t)(p + (i << 48)));
		refuse((uintptr_t)(p + ((i * 0x9e3779b9 | 0x80000000) << 32)));
	}
	dup2(said, STDERR_FILENO);
}

static void foreign_usable(void *arg)
{
	expect("hakmem: malloc_usable_size(): %p is not a hakmem block", arg);
	malloc_usable_size(hide(arg));
}

static void stack(void *arg)
{
	long word = 0;

	(void)arg;
	foreign(&word);
}

static void mapping(void *arg)
{
	(void)arg;
	foreign(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
}

static void mid_twice(void *arg)
{
	void *p = hide(malloc(200000));

	(void)arg;
	expect_free(p, "free", "Mid block");
	free(hide(p));
	free(hide(p));
}

static void mapping_twice(void *arg)
{
	void *p = hide(malloc(*(size_t *)arg));

	expect("hakmem: free(): %p is not a hakmem block", p);
	free(hide(p));
	free(hide(p));
}

/* The contents of a freed block, copied, do not make another block look free. */
static void copied_marks(void *arg)
{
	static void *block[3000];
	char freed[96];
	bool threads = arg != NULL;
	char *p = (char *)hide(malloc(90));
	int i, at;

	free(hide(p));
	memcpy(freed, hide(p), sizeof freed);
	hide(malloc(90));	/* the freed block again */
	for (i = 0; i < 3000; i++) {
		block[i] = hide(malloc(90));
		for (at = 0; at + 16 <= 96; at += 8)
			memcpy((char *)block[i] + at, freed + (i & 1 ? 0 : 8), 16);
		memcpy(block[i], freed, sizeof freed);
	}
	for (i = 0; i < 3000; i++) {
		if (threads && i % 100 == 0)
			free_elsewhere(block[i]);
		else
			free(block[i]);
	}
	drain_lists(90);
}

/* Another thread frees the like in large numbers at once: nothing is lost. */
enum { CROWD = 200, CROWD_SIZE = 2000 };
static pthread_barrier_t gate;

static void *free_crowds(void *arg)
{
	void **block = (void **)arg;
	int i;

	for (;;) {
		pthread_barrier_wait(&gate);
		for (i = 0; i < CROWD; i++)
			free(block[i]);
		pthread_barrier_wait(&gate);
	}
	return NULL;
}

/* Of the heap: a sanitizer has memory of its own, for what it saw. */
static size_t mapped(void)
{
	struct hak_stats s;

	hak_stats_get(&s, sizeof s);
	return s.mapped;
}

static void crowds_of_marks(void *arg)
{
	static void *block[CROWD];
	char freed[CROWD_SIZE];
	void *p = hide(malloc(CROWD_SIZE));
	size_t before = 0;
	pthread_t t;
	int round, i;

	(void)arg;
	free(hide(p));
	memcpy(freed, hide(p), sizeof freed);
	hide(malloc(CROWD_SIZE));
	pthread_barrier_init(&gate, NULL, 2);
	if (pthread_create(&t, NULL, free_crowds, block) != 0)
		_exit(3);
	for (round = 0; round < 400; round++) {
		if (round == 100)
			before = mapped();
		for (i = 0; i < CROWD; i++)
			memcpy(block[i] = hide(malloc(CROWD_SIZE)), freed, sizeof freed);
		pthread_barrier_wait(&gate);
		pthread_barrier_wait(&gate);
	}
	if (mapped() > before + 4 * MB)
		fail("%zu KiB more than after 100 rounds", (mapped() - before) / KB);
}

/* Blocks of random sizes, with a copy of the contents that the program found or wrote. */
enum { FOUND = 400, FOUND_MOST = 300000 };
static struct found {
	char *block;
	size_t size;
	char *copy;
} found[FOUND];

/* Frees half of them in another thread, the rest in this one. */
static void *free_found(void *other)
{
	int i;

	for (i = other ? 0 : FOUND / 2; i < (other ? FOUND / 2 : FOUND); i++)
		free(found[i].block);
	return NULL;
}

static void leave_found(void)
{
	pthread_t t;

	if (pthread_create(&t, NULL, free_found, found) != 0)
		_exit(3);
	pthread_join(t, NULL);
	free_found(NULL);
}

static void find_blocks(uint64_t *random, int byte)
{
	static const size_t most[] = { 64, 64, 500, 3000, 30000, FOUND_MOST };
	size_t limit = most[random_below(random, sizeof most / sizeof *most)];
	int i;

	for (i = 0; i < FOUND; i++) {
		found[i].size = 16 + random_below(random, limit - 15);
		found[i].block = (char *)hide(malloc(found[i].size));
		if (byte >= 0)
			memset(found[i].block, byte, malloc_usable_size(found[i].block));
	}
}

/* All of its bytes are 0 or what the program writes. */
static bool is_the_programs(uint64_t word)
{
	for (; word; word >>= 8)
		if ((word & 0xff) != 0 && (word & 0xff) != 0x5a)
			return false;
	return true;
}

/*
 * New blocks hold zeros or what the program wrote, and no data of the library: neither
 * an address nor a mark.
 */
static void nothing_of_ours(void *arg)
{
	uint64_t random = *(uint64_t *)arg, word;
	int round, i;
	size_t at;

	for (round = 0; round < 200; round++) {
		find_blocks(&random, -1);
		for (i = 0; i < FOUND; i++)
			for (at = 0; at + 8 <= found[i].size; at += 8) {
				memcpy(&word, found[i].block + at, 8);
				if (word && word != 0x5a5a5a5a5a5a5a5a && !is_the_programs(word))
					fail("round %d: %016llx at %zu of %zu bytes\n", round,
					     (unsigned long long)word, at, found[i].size);
			}
		for (i = 0; i < FOUND; i++)
			memset(found[i].block, 0x5a, malloc_usable_size(found[i].block));
		leave_found();
	}
}

/* An empty SuperSlab may become a Large block. Its free blocks had marks. */
static void nothing_in_large(void *unused)
{
	enum { COUNT = 40000, SIZE = 512, LARGE = (2 << 20) - 8192, TAKEN = 8 };
	static void *p[COUNT];
	const uint64_t *word;
	size_t i, at;

	(void)unused;
	for (i = 0; i < COUNT; i++)
		memset(p[i] = hide(malloc(SIZE)), 0, SIZE);
	for (i = 0; i < COUNT; i++)
		free(p[i]);
	for (i = 0; i < TAKEN; i++) {
		word = (const uint64_t *)hide(malloc(LARGE));
		for (at = 0; at < LARGE / sizeof *word; at++)
			if (word[at])
				fail("%016llx at %zu of Large block %zu\n",
				     (unsigned long long)word[at], at * sizeof *word, i);
	}
}

/*
 * A program may copy memory that it did not write to another place, and later back into
 * new blocks at the same addresses.
 */
static void moved_memory(void *arg)
{
	static struct found before[FOUND];
	uint64_t random = *(uint64_t *)arg;
	int round, i, k;

	for (i = 0; i < FOUND; i++)
		before[i].copy = (char *)mmap(NULL, FOUND_MOST, PROT_READ | PROT_WRITE,
					      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (round = 0; round < 100; round++) {
		find_blocks(&random, -1);
		for (i = 0; i < FOUND; i++) {
			char *copy = before[i].copy;

			before[i] = found[i];
			before[i].copy = copy;
			memcpy(copy, hide(found[i].block), found[i].size);
		}
		leave_found();
		find_blocks(&random, -1);
		for (i = 0; i < FOUND; i++)
			for (k = 0; k < FOUND; k++) {
				size_t at = (size_t)(found[i].block - before[k].block);

				if (found[i].block > before[k].block && at + 16 <= before[k].size)
					memcpy(found[i].block, before[k].copy + at, 16);
			}
		leave_found();
	}
}

int main(void)
{
	static char data[64];
	uint64_t seed = tap_seed();

	static const int first = 0, later = 20000;
	static struct inside tiny = { 90, 8, "96-byte block of C3" },
		odd = { 90, 1, "96-byte block of C3" },
		slab = { 6000, 16, "6144-byte block of C9" },
		mid = { 200000, 4096, NULL },
		large = { 3000000, 4096, "4194304-byte Large block" },
		huge = { 100 << 20, 8192, "104857600-byte Huge block" };
	static const size_t none = 0, some = 16, page = 512;
	static size_t large_size = 3000000, huge_size = 100 << 20, size[] = { 16, 48, 90, 128, 320,
		2000, 2048, 2300, 5120, 32768, 200000, 3000000 };
	size_t i, slot = 32768, unit = (size_t)sysconf(_SC_PAGESIZE);
	char mid_name[64];

	/* Its whole pages; what is left of a page in its last slot is not its own. */
	unit = unit < slot ? unit : slot;
	snprintf(mid_name, sizeof mid_name, "%zu-byte Mid block", (200000 + unit - 1) / unit * unit);
	mid.kind = mid_name;
	tap_start();
	if (tap_hardened("the messages name other sizes with HAKMEM_HARDEN; see hardened.c"))
		return tap_end();
	child_aborts(twice, NULL, "freed twice");
	child_aborts(twice_handled, NULL, "freed twice, the handler of SIGABRT uses the heap");
	child_aborts(twice_deep, NULL, "freed twice, 300 frees apart");
	child_aborts(twice_later, (void *)&first, "freed twice, set aside in between");
	child_aborts(twice_later, (void *)&later, "freed twice, a flush apart");
	child_aborts(written_at_home, NULL, "written while free in its slab");
	child_aborts(led_home, NULL, "a link moved to a block that is free in its slab");
	child_aborts(realloc_freed, NULL, "realloc of a freed block");
	child_aborts(thread_then_owner, NULL, "freed by a thread, then by the owner");
	child_aborts(owner_then_thread, NULL, "freed by the owner, then by a thread");
	child_aborts(owner_ends, NULL, "freed by a thread, then by the owner, which ends");
	child_aborts(two_threads, NULL, "freed by two threads");
	child_aborts(inside, &tiny, "inside a Tiny block");
	child_aborts(inside, &odd, "one byte off");
	child_aborts(inside, &slab, "inside a small Mid block");
	child_aborts(inside, &mid, "inside a Mid block");
	child_aborts(inside, &large, "inside a Large block");
	child_aborts(inside, &huge, "inside a Huge block");
	child_aborts(never, NULL, "a block that was never handed out");
	child_aborts(behind_slab, (void *)&none, "past the last block of a slab");
	child_aborts(behind_slab, (void *)&some, "a bit further");
	child_aborts(behind_large_blocks, (void *)&none, "past the last small Mid block of a slab");
	child_aborts(behind_large_blocks, (void *)&page, "further, in its last slot");
	if (unit < slot) {
		child_aborts(behind_mid, NULL, "past a Mid block");
		child_aborts(behind_mid, data, "past it, at the end of its slots");
		child_aborts(before_slab, NULL, "before the first block of a slab");
	} else {
		skip("past a Mid block", "its pages are as large as slots");
		skip("before the first block of a slab", "so is it");
	}
	child_aborts(inside_free_mid, NULL, "inside a Mid block that is free");
	child_aborts(in_free_slots, NULL, "where no block was yet");
	child_aborts(mid_twice, NULL, "Mid freed twice");
	child_aborts(mapping_twice, &large_size, "Large freed twice");
	child_aborts(mapping_twice, &huge_size, "Huge freed twice");
	child_aborts(stack, NULL, "stack");
	child_aborts(foreign, data, "static data");
	child_aborts(mapping, NULL, "another mapping");
	child_aborts(foreign, (void *)1, "address 1");
	child_aborts(foreign, (void *)-1, "address -1");
	child_aborts(foreign, (void *)((uintptr_t)1 << (sizeof(void *) * 8 - 1)), "the middle of the address space");
	for (i = 0; i < sizeof size / sizeof *size; i++) {
		char name[64];

		snprintf(name, sizeof name, "the high bits of a block of %zu bytes are wrong", size[i]);
		if (tap_other)
			skip(name, "only HAKMEM promises this");
		else
			child_ok(wild, &size[i], 60, name);
	}
	child_aborts(foreign_usable, data, "malloc_usable_size of static data");
	child_ok(copied_marks, NULL, 60, "copied marks are no double free");
	child_ok(copied_marks, data, 60, "copied marks are no double free in other threads either");
	child_ok(crowds_of_marks, NULL, 60, "nor is their memory lost");
	child_ok(nothing_of_ours, &seed, 120, "a new block holds nothing of the library's");
	child_ok(nothing_in_large, NULL, 60, "nor does a Large one that was a SuperSlab");
	child_ok(moved_memory, &seed, 120, "memory moved away and back is no double free");
	return tap_end();
}
