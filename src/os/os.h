/*
 * The only system calls of the library. Every call here preserves errno:
 * callers such as free() must not be seen to change it.
 */
#ifndef HK_OS_OS_H
#define HK_OS_OS_H

#include "os/platform.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <signal.h>
#include <stddef.h>

/* Bytes in a page of the running kernel; set by hk_os_start, then constant. */
extern size_t hk_page_size;

/* The 16 random bytes of the kernel (AT_RANDOM), or NULL; set by hk_os_start. */
extern const void *hk_os_random;

/* A peak is what the figure was at most. */
HK_INLINE void hk_raise(_Atomic size_t *peak, size_t now)
{
	size_t old = atomic_load_explicit(peak, memory_order_relaxed);

	while (now > old &&
	       !atomic_compare_exchange_weak_explicit(peak, &old, now,
			memory_order_relaxed, memory_order_relaxed))
		;
}

HK_INLINE void hk_lower(_Atomic size_t *least, size_t now)
{
	size_t old = atomic_load_explicit(least, memory_order_relaxed);

	while (now < old &&
	       !atomic_compare_exchange_weak_explicit(least, &old, now,
			memory_order_relaxed, memory_order_relaxed))
		;
}

/* Reads the page size, the memory limit and the mode of huge pages. */
void hk_os_start(void);

/* Bytes mapped by the calls below and not given back, and the most there ever
 * were at once; any thread, relaxed. What the kernel refused to take back is
 * still in it. */
extern _Atomic size_t hk_os_mapped, hk_os_mapped_peak;
/* Bytes of mappings that were given back so far. */
extern _Atomic size_t hk_os_unmapped;

/* True if the program runs with another user's rights (set-user-ID). */
bool hk_os_secure(void);

/* The environment of the process, or NULL while libc has not set it yet. */
char **hk_os_environment(void);

/*
 * The calls below may take long, so they are made with no lock held.
 *
 * Fresh zeroed memory, readable and writable, no huge-page advice.
 * size: a multiple of hk_page_size; align: a power of two, at least one page.
 * NULL when the kernel refuses. The range is the caller's alone.
 */
void *hk_os_map(size_t size, size_t align);

/* The same where hk_os_resize finds room behind it, if the address space has some. */
void *hk_os_map_with_room(size_t size, size_t align);

/* apart.c. Memory for metadata, between guards and separate from the mappings of the
 * calls above; any size, aligned to a page, never released. */
void *hk_os_map_apart(size_t size);
void hk_os_count_mapped(size_t size);

/* For the fallback allocator, which may be called with locks held: maps pages of any
 * alignment; drops the pages of a range, best effort. */
void *hk_os_map_anytime(size_t size);
void hk_os_purge_anytime(void *addr, size_t size);

/* The same without access to it, which neither statistics nor any limit but
 * that of the address space count: a target for hk_os_move. */
void *hk_os_reserve(size_t size, size_t align);
void hk_os_unreserve(void *addr, size_t size);

/* Gives a range back. False if the kernel refused (vm.max_map_count): the
 * range is then unchanged. */
bool hk_os_unmap(void *addr, size_t size);

/* Makes whole pages inaccessible, or accessible again; they keep their contents. False:
 * unchanged (vm.max_map_count). */
bool hk_os_close_pages(void *addr, size_t size);
bool hk_os_open_pages(void *addr, size_t size);

/* madvise(2): 0, or a negated errno. The calls below say which advice is given. */
long hk_os_advise(void *addr, size_t size, int advice);

/* Drops the pages of a range; it reads as zero afterwards. False: unchanged. */
bool hk_os_purge(void *addr, size_t size);

/* Touches the pages of a range in one call; false: the kernel cannot. */
bool hk_os_populate(void *addr, size_t size);

/* How the kernel gives out huge pages of 2 MiB: to none, to ranges that ask, to
 * all. As read at start, before any sandbox. */
enum hk_huge_mode { HK_HUGE_NEVER, HK_HUGE_MADVISE, HK_HUGE_ALWAYS };
enum hk_huge_mode hk_os_huge_mode(void);
void hk_os_read_huge_mode(void);

/* What of a range is not touched yet will be huge pages, where they fit. */
bool hk_os_huge(void *addr, size_t size);

/* Makes a range that has small pages huge ones at once, if it was told so by
 * hk_os_huge; what is not touched of it gets memory. False: the kernel cannot, or
 * not now, and may do it by and by. */
bool hk_os_collapse(void *addr, size_t size);

/* Small pages from now on. Where the kernel would make pages huge by itself,
 * what was given back would come again with them. */
bool hk_os_small(void *addr, size_t size);

/*
 * guard.c. Sets guard pages inside a mapping, which stays one mapping: an access to them
 * raises SIGSEGV. unguard removes those of a range. False: unchanged. has_guards: true
 * unless the kernel is known not to support them.
 */
bool hk_os_has_guards(void);
bool hk_os_guard(void *addr, size_t size);
bool hk_os_unguard(void *addr, size_t size);

/* A file as a string, as much as fits; empty where there is none. */
void hk_os_read_text(const char *path, char *text, size_t size);

/* Bytes that the control group of the process may use, SIZE_MAX for no limit;
 * read at start, then constant. */
extern size_t hk_os_memory_limit;
/* The same with the files below root, and UINT64_MAX for none. */
uint64_t hk_os_group_limit(const char *root);
void hk_os_read_limit(void);

/* Resizes a mapping where it is: 0, or ENOMEM if there is no room, or another
 * error if it cannot be moved either (the program split it by mprotect). */
int hk_os_resize(void *addr, size_t old_size, size_t new_size);

/* Moves the pages of a mapping over a reserved, larger range; its own range is
 * gone then. False: it is unchanged, and the other one gone. */
bool hk_os_move(void *addr, size_t old_size, void *to, size_t new_size);

/* clock.c. A coarse monotonic clock in milliseconds; no system call where the
 * vDSO has it. */
void hk_os_clock_start(void);
uint64_t hk_os_now(void);

/* Of hk_os_now, which another thread may have read later. */
HK_INLINE bool hk_elapsed(uint64_t now, uint64_t since, uint64_t ms)
{
	return (int64_t)(now - since) >= (int64_t)ms;
}

/* A fine one, in nanoseconds; no system call either. */
uint64_t hk_os_clock(void);

/* Does the kernel still have this thread of the process? pthread_join() returns
 * before it has gone. Asked of its clock: a sandbox allows that. */
bool hk_os_thread_exists(long id);

/*
 * line.c. A signal mask, as the kernel has it. All signals are blocked for a moment, those
 * of libc's own too.
 */
enum { HK_SIGNALS_SIZE = (_NSIG - 1) / 8 };
struct hk_signals {
	unsigned long mask[HK_SIGNALS_SIZE / sizeof(long)];
};
void hk_os_block_signals(struct hk_signals *before);
void hk_os_restore_signals(const struct hk_signals *before);

/*
 * For writes, which may raise SIGPIPE or SIGXFSZ in the thread. quiet blocks all signals.
 * loud discards the signal that belongs to this result of a write, unless the program had
 * one pending before, and restores the signal mask.
 */
struct hk_quiet {
	struct hk_signals before, pending;
};
void hk_os_quiet(struct hk_quiet *quiet);
void hk_os_loud(const struct hk_quiet *quiet, long result);

/* One write(2), after waiting at most a second until it can proceed: its result, or 0. */
long hk_os_write_soon(int fd, const void *data, size_t size);

/*
 * thread.c. Waits while the word has this value, or shorter, at most so long where
 * ms is not 0; wakes one thread that waits so, or all.
 */
void hk_os_wait(_Atomic uint32_t *word, uint32_t value, unsigned ms);
void hk_os_wake(_Atomic uint32_t *word);
void hk_os_wake_all(_Atomic uint32_t *word);

/*
 * guest.c. Starts a thread with all signals blocked and without rights, once the
 * last one has gone; false: there is none, nor is it worth another try. start:
 * notes what it needs to know of the process, from a constructor.
 */
bool hk_os_guest(void (*body)(void), const char *name);
void hk_os_guest_start(void);

/* A pointer of each thread, which its end passes to a function; once. Beyond 32 keys of
 * a program, setting may allocate. False: there is no key; the pointer is NULL then. */
bool hk_os_key_start(void (*thread_ended)(void *));
void hk_os_key_set(void *pointer);
void *hk_os_key_get(void);

/* Handlers of fork. */
void hk_os_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

/* The lock of libc's list of streams, where libc has one and the program has threads;
 * taken before fork does, released after it, or set free in the child. */
void hk_os_lock_streams(void);
void hk_os_unlock_streams(void);
void hk_os_reset_streams(void);

/*
 * A word that a child of fork finds as 0, even if the child runs no fork handlers,
 * once hk_os_watch_forks was called; hk_os_fork_seen makes it 1.
 */
extern _Atomic(_Atomic uint32_t *) hk_os_fork_word;
void hk_os_watch_forks(void);
void hk_os_fork_seen(void);
HK_INLINE bool hk_os_fork_unseen(void)
{
	return atomic_load_explicit(atomic_load_explicit(&hk_os_fork_word, memory_order_acquire),
				    memory_order_relaxed) == 0;
}

/* Is this code libc's, the dynamic linker's or this library's? True as well
 * where it cannot be told. start: before, from a constructor. */
void hk_os_code_start(void);
bool hk_os_in_libc(const void *code);

/* Is libseccomp loaded, with which programs shut themselves into a sandbox? After
 * hk_os_code_start. */
bool hk_os_has_libseccomp(void);

/* Has the program shut itself into a sandbox since the start, as noted there, or
 * could it have? Then new kinds of system calls may end it. After hk_os_code_start. */
void hk_os_sandbox_start(void);
bool hk_os_sandboxed(void);

long hk_os_process_id(void);
long hk_os_thread_id(void);

/*
 * symbol.c. What the symbol would be without this library, if that is a library
 * of the program's that replaces it: neither the one that has the original, as a
 * symbol beside it tells, nor another malloc. Else NULL. Takes locks of the
 * dynamic linker.
 */
void *hk_os_replacement(const char *symbol, const char *original);

/* The file that this code was loaded from, and its offset there, as debuggers
 * count it; NULL where that cannot be told without taking a lock. */
const char *hk_os_object(const void *code, uintptr_t *offset);

/* Writes a whole buffer, best effort; false on an error. */
bool hk_os_write(int fd, const void *data, size_t size);

#endif
