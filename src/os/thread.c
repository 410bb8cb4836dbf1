/* Waiting, fork, and what the background thread must know about the process. */
#include "os/os.h"
#include "os/syscall.h"

#include <errno.h>
#include <limits.h>
#include <link.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>

HK_TLS uint16_t hk_thread_bits;

void hk_os_wait(_Atomic uint32_t *word, uint32_t value, unsigned ms)
{
	const long most[2] = { ms / 1000, (long)(ms % 1000) * 1000000 };

	HK_SYS(futex, word, FUTEX_WAIT_PRIVATE, value, ms ? most : NULL, 0);
}

void hk_os_wake(_Atomic uint32_t *word)
{
	HK_SYS(futex, word, FUTEX_WAKE_PRIVATE, 1, 0, 0);
}

void hk_os_wake_all(_Atomic uint32_t *word)
{
	HK_SYS(futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, 0, 0);
}

/* By a futex call that wakes and moves no thread: it only compares. */
bool hk_os_peek(const void *word, bool *is_zero)
{
	uint32_t other = 0;
	/* The sixth argument, with which the word is compared, is 0. */
	long result = HK_SYS_HAS_SIXTH ?
		HK_SYS(futex, word, FUTEX_CMP_REQUEUE_PRIVATE, 0, 0, &other) : -ENOSYS;

	*is_zero = result == 0;
	return result == 0 || result == -EAGAIN;
}

static pthread_key_t key;
static bool has_key;

bool hk_os_key_start(void (*thread_ended)(void *))
{
	has_key = pthread_key_create(&key, thread_ended) == 0;
	return has_key;
}

void hk_os_key_set(void *pointer)
{
	if (has_key)
		pthread_setspecific(key, pointer);
}

void *hk_os_key_get(void)
{
	return has_key ? pthread_getspecific(key) : NULL;
}

extern int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
			     void *object) __attribute__((weak));

/* glibc's exit removes the handlers that an object registered, even while another thread is
 * in fork: the handler that unlocks would not run, and exit would wait for the streams. So
 * the handlers belong to no object; the library is never unloaded. */
void hk_os_at_fork(void (*prepare)(void), void (*parent)(void), void (*child)(void))
{
	if (__register_atfork)
		__register_atfork(prepare, parent, child, NULL);
	else
		pthread_atfork(prepare, parent, child);
}

/* glibc's lock of its list of streams. It is recursive, and fork takes it in a program with
 * threads. */
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));
extern void _IO_list_resetlock(void) __attribute__((weak));
extern char __libc_single_threaded __attribute__((weak));

static bool is_single_threaded(void)
{
	return &__libc_single_threaded && __libc_single_threaded;
}

bool hk_os_is_main_thread(void)
{
	return is_single_threaded() || hk_os_thread_id() == hk_os_process_id();
}

static pthread_t main_thread;

bool hk_os_is_known_main_thread(void)
{
	return main_thread == pthread_self();
}

void hk_os_know_main_thread(void)
{
	if (!hk_os_is_known_main_thread())
		main_thread = pthread_self();
}

/* libc has stored the id, and the id of a thread's CPU clock contains it. */
long hk_os_main_thread_id(void)
{
	clockid_t clock;

	return pthread_getcpuclockid(main_thread, &clock) == 0 ? ~(clock >> 3) : -1;
}

/* How often the lock was taken: a signal handler may fork during a fork. Written by the
 * holder of the lock. */
static unsigned streams_locked;

void hk_os_lock_streams(void)
{
	if (!_IO_list_lock || !_IO_list_unlock || !_IO_list_resetlock || is_single_threaded())
		return;
	_IO_list_lock();
	streams_locked++;
}

void hk_os_unlock_streams(void)
{
	if (!streams_locked)
		return;
	streams_locked--;
	_IO_list_unlock();
}

void hk_os_reset_streams(void)
{
	if (streams_locked)
		_IO_list_resetlock();
	streams_locked = 0;
}

static _Atomic uint32_t always = 1;
static _Atomic bool watched;
_Atomic(_Atomic uint32_t *) hk_os_fork_word = &always;

/* libc does not know every scavenger. Forks are watched before the first one starts. */
bool hk_os_is_alone(void)
{
	return is_single_threaded() && !atomic_load_explicit(&watched, memory_order_relaxed);
}

/* Without MADV_WIPEONFORK (Linux 4.14), forks that run no handlers are not noticed. */
void hk_os_watch_forks(void)
{
	_Atomic uint32_t *page;

	if (atomic_load_explicit(&watched, memory_order_relaxed) || atomic_exchange(&watched, true))
		return;
	page = hk_sys_map(hk_page_size, PROT_READ | PROT_WRITE);
	if (!page)
		return;
	*page = 1;
	if (HK_SYS(madvise, page, hk_page_size, HK_MADV_WIPEONFORK, 0, 0) == 0)
		atomic_store_explicit(&hk_os_fork_word, page, memory_order_release);
	else
		HK_SYS(munmap, page, hk_page_size, 0, 0, 0);
}

void hk_os_fork_seen(void)
{
	if (hk_os_fork_unseen())
		atomic_store_explicit(hk_os_fork_word, 1, memory_order_relaxed);
}

static bool can_sandbox;		/* the program has libseccomp */
static int filters_at_start;

/* On a kernel without filters the file has only the last line. */
static int parse_filters(const char *text)
{
	const char *at = strstr(text, "\nSeccomp_filters:");

	if (!at)
		at = strstr(text, "\nSeccomp:");
	if (at)
		return atoi(strchr(at, ':') + 1);
	return strstr(text, "\nvoluntary_ctxt_switches:") ? 0 : -1;
}

/*
 * The number of seccomp filters of the calling thread (before Linux 5.9, whether it has any);
 * -1 if it cannot be determined. prctl is not used, because sandboxes may kill the program
 * for it; an unexpected open only fails, because libc opens files too.
 */
static int filters(void)
{
	enum { SIZE = 4096 };
	char *text = can_sandbox ? NULL : hk_os_scratch(SIZE);
	int count;

	if (!text)
		return -1;
	hk_os_read_text("/proc/thread-self/status", text, SIZE);
	count = parse_filters(text);
	hk_os_scratch_end(text, SIZE);
	return count;
}

void hk_os_sandbox_start(void)
{
	filters_at_start = filters();
}

bool hk_os_sandboxed(void)
{
	int now = filters();

	return now < 0 || now != filters_at_start;
}

/* The address ranges of libc, its threads, the dynamic linker and this library. */
enum { RANGES = 4 };
static struct range {
	uintptr_t start, end;
} range[RANGES];
static bool apart;

static int find_ranges(struct dl_phdr_info *info, size_t size, void *inside)
{
	const uintptr_t *known = inside;
	struct range object = { UINTPTR_MAX, 0 };
	unsigned i;

	(void)size;
	can_sandbox |= strstr(info->dlpi_name, "/libseccomp.so") != NULL;
	for (i = 0; i < info->dlpi_phnum; i++) {
		uintptr_t start = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
		uintptr_t end = start + info->dlpi_phdr[i].p_memsz;

		if (info->dlpi_phdr[i].p_type != PT_LOAD)
			continue;
		object.start = start < object.start ? start : object.start;
		object.end = end > object.end ? end : object.end;
	}
	/* The program itself is skipped: an address in it is statically linked, or only that
	 * of a PLT stub. */
	for (i = 0; i < RANGES && *info->dlpi_name; i++)
		if (known[i] >= object.start && known[i] < object.end)
			range[i] = object;
	return 0;
}

void hk_os_code_start(void)
{
	uintptr_t known[RANGES] = {
		(uintptr_t)&__errno_location, (uintptr_t)&pthread_create,
		getauxval(AT_BASE), (uintptr_t)&hk_os_code_start };

	if (apart)
		return;
	dl_iterate_phdr(find_ranges, known);
	apart = range[0].end != 0;
}

bool hk_os_has_libseccomp(void)
{
	return can_sandbox;
}

bool hk_os_in_libc(const void *code)
{
	unsigned i;

	for (i = 0; i < RANGES; i++)
		if ((uintptr_t)code >= range[i].start && (uintptr_t)code < range[i].end)
			return true;
	return !apart;
}
