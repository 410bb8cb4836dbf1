/*
 * Counts the memory-related system calls of a process, however it makes them: a tracer, which
 * is a child of the process, counts each call before the kernel executes it. If tracing is
 * refused (a sandbox, or a kernel before 5.3), the case is skipped.
 *
 * A seccomp filter could count too, but in a process with a filter the library has no
 * background thread.
 */
#ifndef TESTS_CALLS_H
#define TESTS_CALLS_H

#include "child.h"

#include <linux/ptrace.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifndef PTRACE_GET_SYSCALL_INFO
#define PTRACE_GET_SYSCALL_INFO 0x420e
#endif

enum { CALLS_REFUSED = 77 };	/* exit status of a child that cannot be traced */

/* Memory shared with the tracer. */
static struct {
	enum { CALLS_ASKED, CALLS_READY, CALLS_TRACED, CALLS_NOT } _Atomic state;
	_Atomic size_t maps;		/* mmap, mremap */
	_Atomic size_t unmaps;		/* munmap */
	_Atomic size_t purges;		/* madvise calls that purge */
	_Atomic size_t advices;		/* other madvise calls */
	_Atomic uint64_t target;	/* of the last mremap to a fixed address */
	_Atomic size_t target_unmaps;	/* munmap of it */
} *calls_seen;

static long calls_trace(long request, pid_t pid, size_t addr, void *data)
{
	return syscall(SYS_ptrace, request, (long)pid, addr, data);
}

/* The kernel's ptrace_syscall_info, whose name differs between headers. */
struct calls_info {
	uint8_t kind, unused[3];
	uint32_t machine;
	uint64_t at, stack, number, argument[6];
};

static void calls_count(const struct calls_info *info)
{
	switch (info->number) {
#ifdef SYS_mmap
	case SYS_mmap:
#endif
#ifdef SYS_mmap2
	case SYS_mmap2:
#endif
		atomic_fetch_add(&calls_seen->maps, 1);
		break;
	case SYS_mremap:
		atomic_fetch_add(&calls_seen->maps, 1);
		if (info->argument[3] & MREMAP_FIXED)
			atomic_store(&calls_seen->target, info->argument[4]);
		break;
	case SYS_munmap:
		atomic_fetch_add(&calls_seen->unmaps, 1);
		if (info->argument[0] == atomic_load(&calls_seen->target))
			atomic_fetch_add(&calls_seen->target_unmaps, 1);
		break;
	case SYS_madvise:
		if (info->argument[2] == MADV_DONTNEED || info->argument[2] == MADV_FREE)
			atomic_fetch_add(&calls_seen->purges, 1);
		else
			atomic_fetch_add(&calls_seen->advices, 1);
		break;
	default:
		break;
	}
}

/* A thread stopped: returns the signal with which it is continued. */
static int calls_stopped(pid_t id, int status)
{
	enum { ENTRY = 1 };
	struct calls_info info;
	int number = WSTOPSIG(status);

	if (number == (SIGTRAP | 0x80)) {
		memset(&info, 0, sizeof info);
		if (calls_trace(PTRACE_GET_SYSCALL_INFO, id, sizeof info, &info) > 0 && info.kind == ENTRY)
			calls_count(&info);
		return 0;
	}
	return status >> 16 ? 0 : number;
}

/* Returns when the process has ended. */
static void calls_follow(pid_t pid)
{
	int status = 0;
	pid_t id;

	while ((id = waitpid(-1, &status, __WALL)) > 0)
		if (WIFSTOPPED(status))
			calls_trace(PTRACE_SYSCALL, id, 0, (void *)(intptr_t)calls_stopped(id, status));
		else if (id == pid)
			break;
}

/* False: it is refused; the process continues without a tracer. */
static bool calls_seize(pid_t pid)
{
	const size_t options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_EXITKILL;
	struct calls_info info;
	int status;

	if (calls_trace(PTRACE_SEIZE, pid, 0, (void *)options) < 0)
		return false;
	if (calls_trace(PTRACE_INTERRUPT, pid, 0, NULL) == 0 && waitpid(pid, &status, __WALL) == pid &&
	    calls_trace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info) > 0)
		return true;
	calls_trace(PTRACE_DETACH, pid, 0, NULL);
	return false;
}

static void calls_tracer(pid_t pid)
{
	close(STDERR_FILENO);
	while (atomic_load(&calls_seen->state) == CALLS_ASKED)
		usleep(1000);
	if (!calls_seize(pid)) {
		atomic_store(&calls_seen->state, CALLS_NOT);
		return;
	}
	atomic_store(&calls_seen->state, CALLS_TRACED);
	calls_trace(PTRACE_SYSCALL, pid, 0, NULL);
	calls_follow(pid);
}

/* Called in a child that has one thread: counts its calls from here on. */
static void calls_start(void)
{
	const size_t size = (size_t)sysconf(_SC_PAGESIZE);
	pid_t self = getpid(), tracer;
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		fail("cannot map the page of counts");
	calls_seen = p;
	tracer = fork();
	if (tracer == 0) {
		calls_tracer(self);
		_exit(0);
	}
	if (tracer < 0)
		fail("cannot start the tracer");
	prctl(PR_SET_PTRACER, tracer, 0, 0, 0);
	atomic_store(&calls_seen->state, CALLS_READY);
	while (atomic_load(&calls_seen->state) == CALLS_READY)
		usleep(1000);
	if (atomic_load(&calls_seen->state) == CALLS_NOT)
		_exit(CALLS_REFUSED);
	munmap(mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), size);
	if (atomic_load(&calls_seen->maps) != 1 || atomic_load(&calls_seen->unmaps) != 1)
		fail("the tracer does not count");
}

TAP_UNUSED static size_t maps(void)
{
	return atomic_load(&calls_seen->maps);
}

/* The number of calls that release memory. */
TAP_UNUSED static size_t releases(void)
{
	return atomic_load(&calls_seen->unmaps) + atomic_load(&calls_seen->purges);
}

/* The number of calls other than mmap: those that release memory, and other advice. */
TAP_UNUSED static size_t releases_and_advice(void)
{
	return releases() + atomic_load(&calls_seen->advices);
}

/* Like child_ok, for a body that calls calls_start. */
static void child_counted(void (*body)(void *), void *arg, unsigned seconds, const char *name)
{
	struct child c;

	if (emulator_fails(LACK_TRACE, name))
		return;
	c = child_run(body, arg, seconds);
	if (WIFEXITED(c.status) && WEXITSTATUS(c.status) == CALLS_REFUSED && c.length == 0)
		skip(name, "no process may trace another here");
	else
		child_passes(&c, name);
}

#endif
