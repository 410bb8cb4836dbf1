/*
 * All system calls of the library. Every function here preserves errno, because callers such
 * as free() must not change it.
 */
#ifndef HK_OS_OS_H
#define HK_OS_OS_H

#include "os/platform.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>

/* The page size of the running kernel; set by hk_os_start, then constant. */
extern size_t hk_page_size;

/* Rounded up to a multiple of hk_page_size. */
HK_INLINE size_t hk_whole_pages(size_t size)
{
	return (size + hk_page_size - 1) & -hk_page_size;
}

/* The 16 random bytes that the kernel provides (AT_RANDOM), or NULL; set by hk_os_start. */
extern const void *hk_os_random;

/* A peak is the maximum of a figure. */
HK_INLINE void hk_raise(_Atomic size_t *peak, size_t now)
{
	size_t old = atomic_load_explicit(peak, memory_order_relaxed);

	while (now > old &&
	       !atomic_compare_exchange_weak_explicit(peak, &old, now,
			memory_order_relaxed, memory_order_relaxed))
		;
}

/* In the child of a fork, a store copies the page even if the value stays the same. */
#define HK_STORE_CHANGE(variable, value) do { \
	if (atomic_load_explicit((variable), memory_order_relaxed) != (value)) \
		atomic_store((variable), (value)); \
} while (0)

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

/* Bytes currently mapped by the functions below, and their maximum; any thread, relaxed. A
 * range that the kernel refused to unmap is still counted. */
extern _Atomic size_t hk_os_mapped, hk_os_mapped_peak;
/* Total bytes unmapped so far. */
extern _Atomic size_t hk_os_unmapped;
/*
 * Any thread, relaxed:
 *	limit		the bytes that may be mapped, or SIZE_MAX. Calls for memory of the
 *			program fail if they would exceed it; metadata is not limited
 *	refused		the number of calls that failed for this reason
 */
extern _Atomic size_t hk_os_limit, hk_os_refused;

/* True if the program runs with the privileges of another user (set-user-ID). */
bool hk_os_secure(void);

/* The environment of the process, or NULL if libc has not set it yet. */
char **hk_os_environment(void);

/*
 * The functions below may take long, so they are called with no lock held.
 *
 * hk_os_map: new memory that reads as zero, readable and writable, without huge-page advice.
 * size: a multiple of hk_page_size; align: a power of two, at least one page. NULL if the
 * kernel refuses.
 */
void *hk_os_map(size_t size, size_t align);

/* The same for a size that is not a multiple of align. address: where to map it, if that is aligned
 * and there is room; 0: anywhere. */
void *hk_os_map_fitted(size_t size, size_t align, uintptr_t address);

/* The same, at an address where hk_os_resize can extend the mapping, if the address space has
 * room. */
void *hk_os_map_with_room(size_t size, size_t align);

/* apart.c. Memory for metadata, between guards and separate from the mappings of the
 * calls above; any size, aligned to a page, never released. */
void *hk_os_map_apart(size_t size);
void hk_os_count_mapped(size_t size);

/* For the fallback allocator, which may be called with locks held. Mapped memory is aligned
 * to a page only; purging is best effort. */
void *hk_os_map_anytime(size_t size);
void hk_os_purge_anytime(void *addr, size_t size);

/* Memory for one call that would need too much of a stack, which may be as small as 16 KiB. It
 * does not count as mapped. */
void *hk_os_scratch(size_t size);
void hk_os_scratch_end(void *p, size_t size);

/* Calls work with HK_SCRATCH bytes of memory, which it may use until it returns. They are on the
 * stack, which may be small, only if the kernel has no other memory. */
enum { HK_SCRATCH = 12 * 1024 };
void hk_os_with_scratch(void (*work)(void *memory, void *argument), void *argument);

/* Reserves address space without access: a target for hk_os_move. It is not counted in
 * statistics, nor by any limit but that on the address space. */
void *hk_os_reserve(size_t size, size_t align);
void hk_os_unreserve(void *addr, size_t size);

/* space.c. The limit on the address space of the process, SIZE_MAX for none. */
size_t hk_os_address_limit(void);

/*
 * hk_os_space: the most bytes that the heap can map, because of a limit on the process; SIZE_MAX:
 * no limit is known. Any thread, relaxed. read_space reads the limits at the start. follow_space is
 * called before memory is mapped, and looks for a limit that was set later. It finds the limit
 * once the heap exceeds 1 / HK_OS_SPACE_TIMES of it.
 */
enum { HK_OS_SPACE_TIMES = 8 };
extern _Atomic size_t hk_os_space;
void hk_os_read_space(void);
void hk_os_follow_space(size_t mapped);

/*
 * open makes pages of a reserved range memory of the program, counted and limited like any other;
 * close makes them inaccessible again. False: unchanged. close may be called with locks held.
 * *clean: the contents are released, and the pages read as zero when they are opened again.
 */
bool hk_os_open_reserved(void *addr, size_t size);
bool hk_os_close_reserved(void *addr, size_t size, bool *clean);

/* Unmaps a range. False: the kernel refused (vm.max_map_count), and the range is unchanged. */
bool hk_os_unmap(void *addr, size_t size);

/* Make whole pages inaccessible, or accessible again; the contents are kept. False: unchanged
 * (vm.max_map_count). */
bool hk_os_close_pages(void *addr, size_t size);
bool hk_os_open_pages(void *addr, size_t size);

/* madvise(2): 0, or a negated errno. The functions below are for single kinds of advice. */
long hk_os_advise(void *addr, size_t size, int advice);

/* Purges a range, which reads as zero afterwards. False: unchanged. */
bool hk_os_purge(void *addr, size_t size);

/* Populates the pages of a range in one call; false: the kernel cannot. */
bool hk_os_populate(void *addr, size_t size);

/* For which ranges the kernel uses huge pages of 2 MiB: none, those with advice, all. Read at
 * start, before the program can enter a sandbox. */
enum hk_huge_mode { HK_HUGE_NEVER, HK_HUGE_MADVISE, HK_HUGE_ALWAYS };
enum hk_huge_mode hk_os_huge_mode(void);
void hk_os_read_huge_mode(void);

/* Advises the kernel to use huge pages for those parts of a range that are not populated yet. */
bool hk_os_huge(void *addr, size_t size);

/*
 * Has the kernel pages of 64 KiB, for ranges with the same advice? If it has, hk_os_64k advises it
 * to use them where a range is not populated yet. Each part of 2 MiB must have a page already:
 * otherwise it may get a huge page.
 */
bool hk_os_has_64k(void);
bool hk_os_64k(void *addr, size_t size);

/* Makes the small pages of a range huge pages at once; the range must have been passed to
 * hk_os_huge before. Parts that are not populated get memory. False: the kernel cannot do it,
 * or not now; it may do so later by itself. */
bool hk_os_collapse(void *addr, size_t size);

/* Advises the kernel to use small pages for a range from now on. Otherwise the kernel might
 * make its pages huge again by itself, which would populate purged parts. */
bool hk_os_small(void *addr, size_t size);

/*
 * guard.c. Guard pages inside a mapping, which remains one mapping: an access to them raises
 * SIGSEGV. unguard removes those of a range. False: unchanged. has_guards: false if the
 * kernel is known not to support them.
 */
bool hk_os_has_guards(void);
bool hk_os_guard(void *addr, size_t size);
bool hk_os_unguard(void *addr, size_t size);

/* How the call below opens a file; the background thread may open files in no other way. */
enum { HK_READ_FLAGS = O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK };

/* Reads a file as a string, cut to the size; empty if it cannot be read. Returns the bytes, or a
 * negated errno. */
long hk_os_read_text(const char *path, char *text, size_t size);

/*
 * limit.c. The memory limit of the process's control group in bytes, or SIZE_MAX for none; any
 * thread, relaxed. group_limit: the same, read from the files below root; UINT64_MAX for none.
 * read_limit reads it at the start. follow_limit, for the background thread, reads it again if
 * a second has passed.
 */
extern _Atomic size_t hk_os_memory_limit;
uint64_t hk_os_group_limit(const char *root);
void hk_os_read_limit(void);
void hk_os_follow_limit(uint64_t now);

/*
 * pressure.c. pressed: processes of the group waited for memory within the last seconds, as far
 * as the background thread knows; any thread, relaxed. follow_pressure: that thread looks
 * if a second has passed; true: all free memory must be released. end_pressure: it will not
 * look for a while. start: called from a constructor.
 */
extern _Atomic bool hk_os_pressed;
void hk_os_pressure_start(void);
bool hk_os_follow_pressure(uint64_t now);
void hk_os_end_pressure(void);

/* Resizes a mapping in place: 0, ENOMEM if there is no room, or another error if the mapping
 * cannot be moved either (the limit, or the program has split it by mprotect). */
int hk_os_resize(void *addr, size_t old_size, size_t new_size);

/* Moves the pages of a mapping into a reserved range that is larger; the old range is
 * unmapped. False: the mapping is unchanged, and the reserved range no longer belongs to the
 * caller. */
bool hk_os_move(void *addr, size_t old_size, void *to, size_t new_size);

/* clock.c. A coarse monotonic clock in milliseconds, without a system call if there is a
 * vDSO. */
void hk_os_clock_start(void);
uint64_t hk_os_now(void);

/* Both times are of hk_os_now. since may be later than now, if another thread read it. */
HK_INLINE bool hk_elapsed(uint64_t now, uint64_t since, uint64_t ms)
{
	return (int64_t)(now - since) >= (int64_t)ms;
}

/* A precise clock in nanoseconds, also through the vDSO. */
uint64_t hk_os_clock(void);

/* Does this thread of the process still exist in the kernel? pthread_join() may return before
 * it has ended. The test reads the thread's clock, which sandboxes allow. */
bool hk_os_thread_exists(long id);

/*
 * line.c. A signal mask in the kernel's format. block blocks all signals, including those
 * that libc uses itself.
 */
enum { HK_SIGNALS_SIZE = (_NSIG - 1) / 8 };
struct hk_signals {
	unsigned long mask[HK_SIGNALS_SIZE / sizeof(long)];
};
void hk_os_block_signals(struct hk_signals *before);
void hk_os_restore_signals(const struct hk_signals *before);

/*
 * Around a write, which may raise SIGPIPE or SIGXFSZ in the thread. quiet blocks all signals.
 * loud discards the signal that this result of the write raised, unless one was pending
 * before, and restores the signal mask.
 */
struct hk_quiet {
	struct hk_signals before, pending;
};
void hk_os_quiet(struct hk_quiet *quiet);
void hk_os_loud(const struct hk_quiet *quiet, long result);

/* One write(2) after waiting up to a second for it to be possible: its result, or 0 if it was
 * not. */
long hk_os_write_soon(int fd, const void *data, size_t size);

/*
 * thread.c. wait: waits while the word has this value, at most ms milliseconds if ms is not
 * 0; it may return early. wake wakes one waiting thread, wake_all all of them.
 */
void hk_os_wait(_Atomic uint32_t *word, uint32_t value, unsigned ms);
void hk_os_wake(_Atomic uint32_t *word);
void hk_os_wake_all(_Atomic uint32_t *word);

/* Is a 32-bit word of memory zero? It is read by the kernel, so that memory which is not
 * accessible does no harm. False: it is not, or the kernel cannot. */
bool hk_os_peek(const void *word, bool *is_zero);

/*
 * guest.c. Starts a background thread without capabilities and with all signals blocked; the
 * previous one must have ended. False: it could not be started, and another attempt is
 * useless. hk_os_guest_start records the nice value and the processors of a thread: background
 * threads get the same.
 */
bool hk_os_guest(void (*body)(void), const char *name);
void hk_os_guest_start(long thread);

/* A thread-specific pointer. When a thread ends, it is passed to thread_ended, which is set
 * once. If the program uses more than 32 keys, setting it may allocate memory. False: there
 * is no key, and the pointer is always NULL. */
bool hk_os_key_start(void (*thread_ended)(void *));
void hk_os_key_set(void *pointer);
void *hk_os_key_get(void);

/* Installs handlers for fork. */
void hk_os_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void));

/* libc's lock of its list of streams, if libc has one and the program has threads. It is
 * taken before fork, released after it, and reset in the child. */
void hk_os_lock_streams(void);
void hk_os_unlock_streams(void);
void hk_os_reset_streams(void);

/*
 * After hk_os_watch_forks, the child of a fork finds this word as 0, even if the fork ran no
 * handlers. hk_os_fork_seen sets it to 1. Only the first call of hk_os_watch_forks does
 * anything.
 */
extern _Atomic(_Atomic uint32_t *) hk_os_fork_word;
void hk_os_watch_forks(void);
void hk_os_fork_seen(void);
/* Is the calling thread the only one that can use the heap? */
bool hk_os_is_alone(void);
HK_INLINE bool hk_os_fork_unseen(void)
{
	return atomic_load_explicit(atomic_load_explicit(&hk_os_fork_word, memory_order_acquire),
				    memory_order_relaxed) == 0;
}

/* Does this code address belong to libc, the dynamic linker or this library? Also true if
 * that is unknown. start: must be called before, from a constructor. */
void hk_os_code_start(void);
bool hk_os_in_libc(const void *code);

/* Is libseccomp, which programs use to enter a sandbox, loaded? Valid after hk_os_code_start. */
bool hk_os_has_libseccomp(void);

/* May the program have entered a sandbox since hk_os_sandbox_start? New kinds of system calls
 * may then kill it. Valid after hk_os_code_start. */
void hk_os_sandbox_start(void);
bool hk_os_sandboxed(void);

long hk_os_process_id(void);
long hk_os_thread_id(void);
/* Makes no system call in a program without threads. */
bool hk_os_is_main_thread(void);
/*
 * know: the calling thread is the main thread. is_known: is it that thread? id: the id of the
 * process as libc knows it, without a system call. In the child of a vfork, or of a clone that
 * libc does not know of, this is the id of the parent. -1: not known.
 */
void hk_os_know_main_thread(void);
bool hk_os_is_known_main_thread(void);
long hk_os_main_thread_id(void);

/*
 * The state of a thread that exists even without a cache. It has only two bytes, because a
 * program that loads the library late has little static thread-local storage.
 *	HK_BITS_COLD		number of calls that the shared cache served (cache/thread.c)
 *	HK_BIT_SAMPLING		it takes a sample now (sample/sample.c)
 */
enum { HK_BITS_COLD = 0x3fff, HK_BIT_SAMPLING = 0x4000 };
extern HK_TLS uint16_t hk_thread_bits;

/*
 * block.c. Clear and copy blocks of the program, which may be large, with libc's functions. The
 * caller holds no lock. The two parts of a copy do not overlap.
 */
void hk_block_clear(void *p, size_t size);
void hk_block_copy(void *to, const void *from, size_t size);

/*
 * symbol.c. The definition of the symbol that this library hides, if one of the program's
 * libraries replaces the function; NULL if that definition is in the library of original, or
 * in the one of the next malloc. Takes locks of the dynamic linker.
 */
void *hk_os_replacement(const char *symbol, const char *original);

/* The file that contains this code, and the offset in it, as debuggers count; NULL if that
 * cannot be determined without a lock. */
const char *hk_os_object(const void *code, uintptr_t *offset);
/* The range of addresses of this library. False: it is not known, or the library is a part of
 * another file (the archive). Takes no lock either. */
bool hk_os_own_code(uintptr_t *start, uintptr_t *end);

/*
 * unwind.c. The call stack of this thread from the caller on, a return address of this thread:
 * return addresses, innermost first, at most `most`. Returns how many, at least 1; only the
 * caller if the stack cannot be found without a lock. May be called in a signal handler.
 * start: called before the first stack is wanted, at any time; one call at a time, no lock held.
 * hk_os_unwinds: was it called, and is there an unwinder?
 */
void hk_os_unwinder_start(void);
bool hk_os_unwinds(void);
unsigned hk_os_stack(uintptr_t *frame, unsigned most, const void *caller);

/* Writes the whole buffer, best effort; false on an error. */
bool hk_os_write(int fd, const void *data, size_t size);

#endif
