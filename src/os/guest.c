/*
 * A background thread of the library. It runs with ordinary scheduling, whatever the thread
 * that started it uses, drops its capabilities, and restricts itself to the system calls that
 * it needs. If the kernel refuses any of this, the thread runs without it.
 *
 * When a program calls setuid(), libc repeats the call in each of its threads, and aborts if
 * the results differ. In a thread without capabilities they would differ, so this thread is
 * created by clone() without libc's knowledge. It blocks all signals and has its own
 * thread-local memory, in which only this library's variables are valid. It calls no libc
 * function that needs other thread-local variables or a lock. Platforms without
 * HK_UNKNOWN_THREAD use a thread of libc, which keeps CAP_SETUID and CAP_SETGID.
 */
#include "os/kernel.h"
#include "os/lock.h"
#include "os/os.h"
#include "os/syscall.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* Properties of the main thread at its start. size: bytes of processors that the kernel filled
 * in. */
static struct {
	unsigned long processors[1024 / sizeof(long)];
	long size, nice;
	bool watched;		/* valgrind or a sanitizer makes calls of its own in threads */
} at_start HK_BEHIND;

/* getpriority returns 20 minus the nice value. */
void hk_os_guest_start(long thread)
{
	long turned = HK_SYS(getpriority, PRIO_PROCESS, thread, 0, 0, 0);

	/* Valgrind hides the vDSO. getauxval() is called here and not in the thread, because
	 * a library that wraps it may use the heap. */
	at_start.watched = !getauxval(AT_SYSINFO_EHDR);
#ifdef HK_SANITIZED
	at_start.watched = true;
#endif
	at_start.nice = turned > 0 && turned < 20 ? 20 - turned : 0;
	at_start.size = HK_SYS(sched_getaffinity, thread, sizeof at_start.processors,
			       at_start.processors, 0, 0);
}

/* Its nice value is that of the process at start, not a higher one: other threads wait for
 * the locks that it holds. */
static void be_ordinary(void)
{
	const struct sched_param none = { .sched_priority = 0 };

	HK_SYS(sched_setscheduler, 0, SCHED_OTHER, &none, 0, 0);
	HK_SYS(setpriority, PRIO_PROCESS, 0, at_start.nice, 0, 0);
	if (at_start.size > 0)
		HK_SYS(sched_setaffinity, 0, at_start.size, at_start.processors, 0, 0);
}

/* The architecture as seccomp identifies it; 0: no filter. */
#if defined(__x86_64__)
enum { MACHINE = EM_X86_64, WIDE = HK_AUDIT_64BIT };
#elif defined(__i386__)
enum { MACHINE = EM_386, WIDE = 0 };
#elif defined(__aarch64__)
enum { MACHINE = EM_AARCH64, WIDE = HK_AUDIT_64BIT };
#elif defined(__arm__)
enum { MACHINE = EM_ARM, WIDE = 0 };
#elif defined(__riscv) && __riscv_xlen == 64
enum { MACHINE = EM_RISCV, WIDE = HK_AUDIT_64BIT };
#elif defined(__loongarch64)
enum { MACHINE = 258, WIDE = HK_AUDIT_64BIT };
#elif defined(__s390x__)
enum { MACHINE = EM_S390, WIDE = HK_AUDIT_64BIT };
#elif defined(__powerpc64__)
enum { MACHINE = EM_PPC64, WIDE = HK_AUDIT_64BIT };
#else
enum { MACHINE = 0, WIDE = 0 };
#endif
enum { ORDER = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? HK_AUDIT_LITTLE : 0 };

/* System calls for its work, for the end of a thread of libc, and for a message before
 * abort(). */
static const unsigned allowed[] = {
#ifdef SYS_futex
	SYS_futex,
#endif
#ifdef SYS_futex_time64
	SYS_futex_time64,
#endif
#ifdef SYS_clock_gettime
	SYS_clock_gettime,
#endif
#ifdef SYS_clock_gettime64
	SYS_clock_gettime64,
#endif
#ifdef SYS_mmap
	SYS_mmap,
#endif
#ifdef SYS_mmap2
	SYS_mmap2,
#endif
	SYS_madvise, SYS_munmap, SYS_mremap, SYS_sched_yield,
	SYS_exit, SYS_exit_group, SYS_set_robust_list, SYS_set_tid_address,
#ifdef SYS_rseq
	SYS_rseq,
#endif
#ifdef SYS_sigreturn
	SYS_sigreturn,
#endif
	SYS_rt_sigreturn, SYS_rt_sigprocmask, SYS_restart_syscall,
	/* For hk_line_abort. */
	SYS_rt_sigpending, SYS_rt_sigtimedwait, SYS_rt_sigaction,
#ifdef SYS_ppoll
	SYS_ppoll,
#endif
	/* For files that hk_os_read_text opens. */
	SYS_read, SYS_close,
	SYS_write, SYS_getpid, SYS_gettid, SYS_tgkill,
#if !HK_UNKNOWN_THREAD
	SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid,
	SYS_setgroups,
#ifdef SYS_setuid32
	SYS_setuid32, SYS_setgid32, SYS_setreuid32, SYS_setregid32, SYS_setresuid32,
	SYS_setresgid32, SYS_setgroups32,
#endif
#endif
};

enum {
	ALLOWED = sizeof allowed / sizeof *allowed,
	FIRST = 4, OPEN = FIRST + ALLOWED, FLAGS, ONLY, OTHER, ALLOW, LENGTH,
};

/* Files may be opened for reading. All other calls fail with ENOSYS. */
static void filter_calls(void)
{
	struct hk_filter_step step[LENGTH] = {
		{ HK_FILTER_LOAD, 0, 0, HK_FILTER_ARCHITECTURE },
		{ HK_FILTER_EQUAL, 1, 0, (uint32_t)(MACHINE | WIDE | ORDER) },
		{ HK_FILTER_ANSWER, 0, 0, HK_FILTER_ERROR | ENOSYS },
		{ HK_FILTER_LOAD, 0, 0, HK_FILTER_NUMBER },
		[OPEN] = { HK_FILTER_EQUAL, 0, OTHER - OPEN - 1, SYS_openat },
		[FLAGS] = { HK_FILTER_LOAD, 0, 0, HK_FILTER_THIRD },
		[ONLY] = { HK_FILTER_EQUAL, ALLOW - ONLY - 1, 0, HK_READ_FLAGS },
		[OTHER] = { HK_FILTER_ANSWER, 0, 0, HK_FILTER_ERROR | ENOSYS },
		[ALLOW] = { HK_FILTER_ANSWER, 0, 0, HK_FILTER_ALLOW },
	};
	const struct hk_filter filter = { LENGTH, step };
	unsigned i;

	_Static_assert(LENGTH < 256, "jumps are of one byte");
	for (i = 0; i < ALLOWED; i++)
		step[FIRST + i] = (struct hk_filter_step){
			HK_FILTER_EQUAL, (uint8_t)(ALLOW - (FIRST + i) - 1), 0, allowed[i] };
	HK_SYS(prctl, PR_SET_SECCOMP, HK_SECCOMP_MODE_FILTER, &filter, 0, 0);
}

static void drop_capabilities(void)
{
	const uint32_t kept = HK_UNKNOWN_THREAD ? 0 : 1u << HK_CAP_SETUID | 1u << HK_CAP_SETGID;
	const struct hk_capability_header self = { HK_CAPABILITIES_3, 0 };
	struct hk_capabilities set[2] = { { 0, 0, 0 }, { 0, 0, 0 } };

	if (kept && HK_SYS(capget, &self, set, 0, 0, 0) != 0)
		return;
	set[0].permitted &= kept;
	set[0].effective &= kept;
	set[0].inheritable = set[1].permitted = set[1].effective = set[1].inheritable = 0;
	HK_SYS(capset, &self, set, 0, 0, 0);
}

static void become_guest(const char *name)
{
	HK_SYS(prctl, PR_SET_NAME, name, 0, 0, 0);
	be_ordinary();
	HK_SYS(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	drop_capabilities();
	if (MACHINE != 0 && !at_start.watched)
		filter_calls();
}

static const char *guest_name;
static void (*guest_body)(void);

#if HK_UNKNOWN_THREAD
/* MARGIN: room around our variables and the thread pointer for data of the compiler, and for
 * data that functions such as abort() may access. */
enum { STACK = 256 * 1024, MARGIN = 64 * 1024 };

/* The stack, and above it the thread-local memory. The next background thread reuses both. */
static struct {
	char *stack, *local, *pointer;
	size_t local_size;
} memory;

static bool find_memory(void)
{
	char *mine = (char *)&hk_forks, *pointer = HK_THREAD_POINTER();
	char *low = mine < pointer ? mine : pointer, *high = mine < pointer ? pointer : mine;
	size_t size = hk_whole_pages((size_t)(high - low) + 2 * MARGIN);
	char *p = hk_sys_map(hk_page_size + STACK + size, PROT_READ | PROT_WRITE);

	if (!p)
		return false;
	HK_SYS(mprotect, p, hk_page_size, PROT_NONE, 0, 0);
	memory.stack = p + hk_page_size;
	memory.local = memory.stack + STACK;
	memory.local_size = size;
	/* Keeps the alignment of the current thread's memory within a page: compilers rely on
	 * it. */
	memory.pointer = memory.local + MARGIN + ((uintptr_t)low & (MARGIN / 2 - 1)) + (pointer - low);
	return true;
}

/* Removes what the previous thread left. */
static void clear_memory(void)
{
	HK_SYS(madvise, memory.local, memory.local_size, MADV_DONTNEED, 0, 0);
	/* x86 expects the thread pointer itself in these words. */
	((void **)memory.pointer)[0] = memory.pointer;
	((void **)memory.pointer)[2] = memory.pointer;
}

static int run(void *unused)
{
	(void)unused;
	become_guest(guest_name);
	guest_body();
	return 0;
}

static bool start_guest(void)
{
	const int flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
			  CLONE_SYSVSEM | CLONE_SETTLS;
	struct hk_signals before;
	bool done;

	if (!memory.stack && !find_memory())
		return false;
	clear_memory();
	hk_os_block_signals(&before);
	done = clone(run, memory.stack + STACK, flags, NULL, NULL, memory.pointer, NULL) > 0;
	hk_os_restore_signals(&before);
	return done;
}
#else
static void *run(void *unused)
{
	become_guest(guest_name);
	guest_body();
	return unused;
}

static bool start_thread(size_t stack)
{
	pthread_attr_t attr;
	pthread_t id;
	bool done;

	if (pthread_attr_init(&attr) != 0)
		return false;
	done = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED) == 0 &&
	       (!stack || pthread_attr_setstacksize(&attr, stack) == 0) &&
	       pthread_create(&id, &attr, run, NULL) == 0;
	pthread_attr_destroy(&attr);
	return done;
}

/* If the program's thread-local variables do not fit the small stack, the default size is
 * used. */
static bool start_guest(void)
{
	sigset_t all, before;
	bool done;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	done = start_thread((size_t)256 * 1024) || start_thread(0);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return done;
}
#endif

bool hk_os_guest(void (*body)(void), const char *name)
{
	int saved = errno;
	bool done;

	guest_body = body;
	guest_name = name;
	done = start_guest();
	errno = saved;
	return done;
}
