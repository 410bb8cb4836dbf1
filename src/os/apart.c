/*
 * Memory for metadata, separate from that of the program. Address space is reserved
 * without access, and is made accessible from its lower end upwards as it is needed,
 * except for a guard at each end. So the part in use stays one mapping between guards,
 * and no overflow reaches it from outside. With 64-bit addresses the location is random,
 * from the random bytes that the kernel provides at exec, so that the address of a block
 * does not disclose it.
 *
 * In this memory: what slab/meta.c allocates (descriptors of SuperSlabs, slabs and Large
 * blocks, the caches of threads, the directory, learners), the leaves of the page map,
 * the ring of events. Not in it: the tables of fixed size (the slot table, the root of
 * the page map, the shared cache and the pool), which are variables of the library; and
 * the mappings of the fallback allocator, which stores headers between its blocks.
 *
 * No lock: a range is claimed by one compare-and-swap. Reserved address space costs no
 * memory and does not count under strict overcommit. It counts towards RLIMIT_AS, so it
 * grows with the heap.
 */
#include "os/lock.h"
#include "os/os.h"
#include "os/secret.h"
#include "os/syscall.h"

#include <errno.h>

/*
 * The size of the first reservation; each further one makes the total four times as much, or
 * one and a half times as much if the address space is limited, because it counts there.
 * It is small because mlockall counts it, and an unprivileged program may lock 8 MiB.
 */
#define FIRST ((size_t)512 << 10)

enum { GUARD = 64 * 1024, RANGES = 64 };

/* size grows if the address space after it is free. The last guard() bytes are never made
 * accessible. */
static struct range {
	uintptr_t start;
	_Atomic size_t size, used;
} range[RANGES];

static _Atomic(struct range *) current;		/* acquire */
static _Atomic unsigned started;
static _Atomic size_t reserved;

static size_t guard(void)
{
	return hk_page_size > GUARD ? hk_page_size : GUARD;
}

/*
 * An address between a quarter and five eighths of the address space: programs,
 * libraries, the program break and what runtimes map at fixed addresses are elsewhere.
 * 0: anywhere.
 */
static uintptr_t random_place(unsigned n)
{
	/* The stack, where the random bytes are, is near the top of the address space. */
	uint64_t top = (uintptr_t)hk_os_random;
	uint64_t part = (hk_secret_page.place + n) * 0xd6e8feb86659fd93u >> 33;

	if (sizeof(void *) < 8)
		return 0;
	return (uintptr_t)(top / 4 + (top >> 32) * part / 4 * 3) & -((uintptr_t)2 << 20);
}

static void unmap(void *p, size_t size)
{
	HK_SYS(munmap, p, size, 0, 0, 0);
}

/* Extends the range. True as well if another thread has extended it. */
static bool extend(struct range *r, size_t more)
{
	size_t size = atomic_load_explicit(&r->size, memory_order_relaxed);
	void *end = (void *)(r->start + size), *p = hk_sys_map_near((uintptr_t)end, more, PROT_NONE);

	/* Only the thread that got this mapping changes the size from this value. */
	if (p == end) {
		atomic_store_explicit(&r->size, size + more, memory_order_release);
		atomic_fetch_add_explicit(&reserved, more, memory_order_relaxed);
	} else if (p) {
		unmap(p, more);
	}
	return p == end || atomic_load_explicit(&r->size, memory_order_relaxed) != size;
}

/* Starts a new range; false: there are too many. */
static bool begin(struct range *before, void *start, size_t size)
{
	unsigned n = atomic_fetch_add_explicit(&started, 1, memory_order_relaxed), end = n + 1;

	if (n < RANGES) {
		range[n].start = (uintptr_t)start;
		atomic_store_explicit(&range[n].size, size, memory_order_relaxed);
		atomic_store_explicit(&range[n].used, guard(), memory_order_relaxed);
		if (atomic_compare_exchange_strong(&current, &before, &range[n])) {
			atomic_fetch_add_explicit(&reserved, size, memory_order_relaxed);
			return true;
		}
	}
	/* Another thread was first. */
	unmap(start, size);
	atomic_compare_exchange_strong(&started, &end, n);
	return n < RANGES;
}

/* Reserves more space after r, which may be NULL, or elsewhere; as much as possible. */
static bool reserve(struct range *r, size_t least)
{
	size_t all = atomic_load_explicit(&reserved, memory_order_relaxed);
	bool limited = atomic_load_explicit(&hk_os_space, memory_order_relaxed) != SIZE_MAX;
	size_t size = limited ? all / 2 & -hk_page_size : 3 * all;
	void *p;

	if (size < FIRST)
		size = FIRST;
	least += 2 * guard();
	for (;;) {
		if (size < least)
			size = least;
		if (r && extend(r, size))
			return true;
		p = hk_sys_map_near(random_place(started), size, PROT_NONE);
		if (p)
			return begin(r, p, size);
		if (size == least)
			return false;
		size = size / 8 & -hk_page_size;
	}
}

static void *claim(struct range *r, size_t size)
{
	size_t at = atomic_load_explicit(&r->used, memory_order_relaxed);

	do {
		if (at + size + guard() > atomic_load_explicit(&r->size, memory_order_acquire))
			return NULL;
	} while (!hk_swapped(atomic_compare_exchange_weak_explicit(&r->used, &at, at + size,
			memory_order_relaxed, memory_order_relaxed)));
	return (void *)(r->start + at);
}

/* Undoes a claim unless another one followed it. */
static void unclaim(struct range *r, const void *p, size_t size)
{
	size_t at = (uintptr_t)p - r->start, end = at + size;

	atomic_compare_exchange_strong_explicit(&r->used, &end, at, memory_order_relaxed,
						memory_order_relaxed);
}

void *hk_os_map_apart(size_t size)
{
	struct range *r;
	void *p = NULL;
	long error;

	hk_assert_unlocked();
	size = hk_whole_pages(size);
	do {
		r = atomic_load_explicit(&current, memory_order_acquire);
		if (r)
			p = claim(r, size);
	} while (!p && reserve(r, size));
	if (!p)
		return NULL;
	error = HK_SYS(mprotect, p, size, PROT_READ | PROT_WRITE, 0, 0);
	if (!error) {
		hk_os_count_mapped(size);
		return p;
	}
	unclaim(r, p, size);
	/* If a sandbox does not allow mprotect, metadata without guards is better than none. */
	p = error == -ENOMEM ? NULL : hk_sys_map(size, PROT_READ | PROT_WRITE);
	if (p)
		hk_os_count_mapped(size);
	return p;
}
