/*
 * Signal handlers that run inside the slow path of malloc and free, at a place
 * that is no matter of chance: at each system call about memory. A filter has
 * the kernel send SIGSYS instead of it; the handler does what is under test
 * and then makes the call. What is served there goes beyond glibc.
 */
#include "guest.h"
#include "seccomp.h"

#include <malloc.h>
#include <sys/time.h>
#include <ucontext.h>

#if defined __x86_64__
#define SYSCALL_ARG(context, n) ((unsigned long)((const greg_t[]){			\
	(context)->uc_mcontext.gregs[REG_RDI], (context)->uc_mcontext.gregs[REG_RSI],	\
	(context)->uc_mcontext.gregs[REG_RDX], (context)->uc_mcontext.gregs[REG_R10],	\
	(context)->uc_mcontext.gregs[REG_R8], (context)->uc_mcontext.gregs[REG_R9] })[n])
#define SYSCALL_RESULT(context) ((context)->uc_mcontext.gregs[REG_RAX])
#elif defined __aarch64__
#define SYSCALL_ARG(context, n) ((unsigned long)(context)->uc_mcontext.regs[n])
#define SYSCALL_RESULT(context) ((context)->uc_mcontext.regs[0])
#endif

#ifdef SYSCALL_ARG

/*
 * Calls with this as their sixth argument are the handler's own: the kernel
 * looks at that of mmap alone, where it is the offset of a file.
 */
#define PASS 0x5ca1ab10000ul

static void (*inside)(void);
static _Atomic unsigned long calls;	/* how many were caught */
static _Thread_local int depth;
static _Thread_local long call;		/* the one that the handler is in */

static long make_call(long number, const ucontext_t *context)
{
	long result = syscall(number, SYSCALL_ARG(context, 0), SYSCALL_ARG(context, 1),
			      SYSCALL_ARG(context, 2), SYSCALL_ARG(context, 3),
			      SYSCALL_ARG(context, 4), PASS);

	return result == -1 ? -errno : result;
}

/* Files are mapped by nothing here once the filter is on. */
static void caught(int signal, siginfo_t *info, void *argument)
{
	ucontext_t *context = (ucontext_t *)argument;
	int saved = errno;

	(void)signal;
	calls++;
	if (inside && depth == 0) {
		depth++;
		call = info->si_syscall;
		inside();
		depth--;
		step();
	}
	SYSCALL_RESULT(context) = make_call(info->si_syscall, context);
	errno = saved;
}

#define TRAP(call)									\
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_ ## call, 0, 1),			\
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP)

static bool trap_memory_calls(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)(PASS & 0xffffffff), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		TRAP(mmap), TRAP(munmap), TRAP(mremap), TRAP(madvise),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sigaction action = { .sa_sigaction = caught, .sa_flags = SA_SIGINFO | SA_NODEFER };

	return sigaction(SIGSYS, &action, NULL) == 0 && seccomp_filter(code, sizeof code / sizeof *code);
}

/* Maps, grows, shrinks and gives back memory of every kind. */
static void move_memory(void)
{
	enum { COUNT = 3000 };
	static void *p[COUNT];
	size_t i, size;
	void *grown;

	for (i = 0; i < COUNT; i++)
		memset(p[i] = hide(malloc(2000)), 1, 2000);
	for (i = 0; i < COUNT; i++)
		free(p[i]);
	for (i = 0; i < 20; i++)
		memset(p[i] = hide(malloc(50000 * (i + 1))), 1, 50000);
	for (i = 0; i < 20; i++)
		free(p[i]);
	for (size = 4 * MB, grown = NULL; size <= 128 * MB; size *= 2)
		grown = hide(realloc(grown, size));
	free(hide(realloc(grown, 6 * MB)));
	malloc_trim(0);
}

static bool in_child;

/* Until the time is up; a child of this moves memory once more, and ends. */
static void moves(void (*what)(void))
{
	if (!trap_memory_calls())
		guest_skip("no seccomp");
	inside = what;
	do {
		move_memory();
		if (in_child)
			_exit(use_every_size() ? 0 : 90);
	} while (more(20));
	inside = NULL;
	if (!calls)
		fail("no system call was caught\n");
}

static void allocates(void)
{
	if (!use_every_size())
		fail("no memory in the handler\n");
}

/* What the handler keeps, the program frees, and the other way round. */
static struct churn kept;

static void keeps(void)
{
	int i;

	for (i = 0; i < 100; i++)
		churn_once(&kept);
}

static void asks(void)
{
	void *p = hide(malloc(100));

	if (malloc_usable_size(p) < 100)
		fail("malloc_usable_size\n");
	free(p);
	mallinfo2();
	malloc_trim(0);
}

static void waits_for(pid_t pid)
{
	int end = pid < 0 ? 95 : child_end(pid);

	if (end)
		fail("a child failed with %d (128 + signal)\n", end);
}

static void forks(void)
{
	pid_t pid = fork();

	if (pid == 0)
		_exit(use_every_size() ? 0 : 90);
	waits_for(pid);
}

enum { CHILD_THREADS = 4, LARGE_BLOCKS = 200 };
static _Atomic int served;

/* Of a size at which each block takes memory from the system. */
static void *use_large_blocks(void *unused)
{
	char *p[LARGE_BLOCKS];
	int i;

	(void)unused;
	for (i = 0; i < LARGE_BLOCKS; i++) {
		p[i] = (char *)hide(malloc(100 * KB));
		if (!p[i])
			_exit(91);
		p[i][0] = 1;
	}
	while (i--)
		free(p[i]);
	served++;
	/* It does not end, for the reason given at move_for_ever. */
	for (;;)
		pause();
}

/* All of them without the heap, which this thread has not left. */
static void forks_a_child_with_threads(void)
{
	pthread_t id;
	pid_t pid = fork();
	int i;

	if (pid != 0) {
		waits_for(pid);
		return;
	}
	inside = NULL;
	for (i = 0; i < CHILD_THREADS; i++)
		start_thread(&id, use_large_blocks, NULL);
	while (served < CHILD_THREADS)
		sched_yield();
	_exit(0);
}

static void forks_bare(void)
{
	pid_t pid = calls % 2 ? bare_fork() : fork_by_clone();

	if (pid == 0)
		_exit(use_every_size() ? 0 : 90);
	waits_for(pid);
}

/* True: this call makes no child. A child that goes on does all the remaining work, so only
 * some calls make one, while there is time. */
static bool draw_skip(void)
{
	static uint64_t random;

	if (!random)
		random = shared->seed | 1;
	return in_child || !more(20) || random_below(&random, 8);
}

static void forks_and_returns(void)
{
	pid_t pid;

	if (draw_skip())
		return;
	pid = fork();
	if (pid == 0) {
		in_child = true;
		if (calls % 2 && !use_every_size())
			_exit(90);
		return;
	}
	waits_for(pid);
}

static void forks_and_exits(void)
{
	pid_t pid;

	if (draw_skip())
		return;
	pid = fork();
	if (pid == 0) {
		in_child = true;
		exit(0);
	}
	waits_for(pid);
}

static void moves_allocating(void)
{
	moves(allocates);
}

static void moves_keeping(void)
{
	moves(keeps);
	churn_end(&kept);
}

/*
 * A thread may stay inside the heap for a long time, or for ever after a jump out of a handler.
 * The handler of this case runs at any place, and is inside if all figures of mallinfo2 are 0.
 */
static volatile bool kept_many;

static void keep_many(int signal)
{
	enum { COUNT = 4000 };
	static void *p[COUNT];
	unsigned long before = calls;
	size_t i;

	(void)signal;
	if (kept_many || mallinfo2().arena != 0)
		return;
	kept_many = true;
	for (i = 0; i < COUNT; i++)
		p[i] = hide(malloc(32 * KB));
	if (calls - before > COUNT / 10)
		fail("%lu system calls for %d blocks\n", calls - before, COUNT);
	for (i = 0; i < COUNT; i++)
		free(p[i]);
}

static void keeping_many(void)
{
	const struct itimerval often = { { 0, 1000 }, { 0, 1000 } }, never = { { 0, 0 }, { 0, 0 } };

	if (!trap_memory_calls())
		guest_skip("no seccomp");
	signal(SIGVTALRM, keep_many);
	setitimer(ITIMER_VIRTUAL, &often, NULL);
	while (!kept_many && more(1)) {
		move_memory();
		step();
	}
	setitimer(ITIMER_VIRTUAL, &never, NULL);
	if (!kept_many)
		guest_skip("no signal arrived inside the heap");
}

static void moves_asking(void)
{
	moves(asks);
}

static void moves_forking(void)
{
	moves(forks);
}

static void moves_forking_bare(void)
{
	moves(forks_bare);
}

static void moves_threading(void)
{
	moves(forks_a_child_with_threads);
}

static void moves_returning(void)
{
	moves(forks_and_returns);
}

static void moves_exiting(void)
{
	moves(forks_and_exits);
}

/* Does not end: glibc gives memory back there with every signal blocked. */
static void *move_for_ever(void *unused)
{
	return trap_memory_calls() ? churn_on(unused) : unused;
}

/* Others are at work meanwhile, and meet such calls of their own. */
static void beside_threads(void)
{
	pthread_t id;
	int i;

	for (i = 0; i < 2; i++)
		start_thread(&id, move_for_ever, NULL);
	moves(forks);
}

static void *rest(void *unused)
{
	while (!in_child)
		pause();
	return unused;
}

/* glibc does less for a fork from a single thread. */
static void beside_one_at_rest(void)
{
	pthread_t id;

	start_thread(&id, rest, NULL);
	moves(forks_and_returns);
}

/*
 * One thread sits in a system call while others go on: a free of gigabytes may
 * take a second there, and the child of a bare fork never sees it return.
 */
static long stay_in;
static _Atomic bool sitting;
static _Atomic unsigned rounds;

static void sit(void)
{
	if (call != stay_in)
		return;
	sitting = true;
	while (sitting)
		usleep(100);
}

static void *move_on(void *unused)
{
	if (!trap_memory_calls())
		guest_skip("no seccomp");
	for (;; rounds++)
		move_memory();
	return unused;
}

static void meanwhile(long stays_in, void (*what)(void))
{
	unsigned since;
	pthread_t id;

	stay_in = stays_in;
	inside = sit;
	start_thread(&id, move_on, NULL);
	do {
		for (since = rounds; !sitting && rounds - since < 10;)
			usleep(100);
		if (!sitting)
			guest_skip("no such system call is made");
		what();
		step();
		sitting = false;
	} while (more(150));
	stay_in = -1;
}

static void *use_in_thread(void *unused)
{
	allocates();
	if (!use_many())
		fail("no memory in the thread\n");
	return unused;
}

static void starts_thread(void)
{
	pthread_t id;

	start_thread(&id, use_in_thread, NULL);
	pthread_join(id, NULL);
}

#define MEANWHILE(name, call, what)		\
static void name(void)				\
{						\
	meanwhile(SYS_ ## call, what);		\
}

MEANWHILE(start_in_mmap, mmap, starts_thread)
MEANWHILE(start_in_munmap, munmap, starts_thread)
MEANWHILE(start_in_mremap, mremap, starts_thread)
MEANWHILE(start_in_madvise, madvise, starts_thread)
MEANWHILE(bare_in_mmap, mmap, forks_bare)
MEANWHILE(bare_in_munmap, munmap, forks_bare)
MEANWHILE(bare_in_mremap, mremap, forks_bare)
MEANWHILE(bare_in_madvise, madvise, forks_bare)
/* The other two are short: fork may wait for them. */
MEANWHILE(fork_in_munmap, munmap, forks)
MEANWHILE(fork_in_madvise, madvise, forks)

/* Sizes that no address space holds, and what may have become of the heap. */
static void too_large(void)
{
	static const size_t size[] = { PTRDIFF_MAX - 4096, (size_t)1 << 50, (size_t)1 << 48,
				       (size_t)PTRDIFF_MAX + 1, SIZE_MAX - 64 };
	void *block = hide(malloc(100)), *waits;
	unsigned long before;
	size_t i;

	/* A SuperSlab that is empty and waits for another use. */
	waits = hide(malloc(1500000));
	free(waits);
	if (!trap_memory_calls())
		guest_skip("no seccomp");
	before = calls;
	for (i = 0; i < sizeof size / sizeof *size; i++) {
		errno = 0;
		if (hide(malloc(hide_size(size[i]))) || errno != ENOMEM)
			fail("malloc(%zx): errno %d\n", size[i], errno);
		if (hide(calloc(hide_size(size[i]), 1)) || hide(realloc(hide(block), hide_size(size[i]))) ||
		    hide(aligned_alloc(4096, hide_size(size[i] & ~(size_t)4095))))
			fail("calloc, realloc or aligned_alloc of %zx\n", size[i]);
	}
	if (calls != before)
		fail("%lu system calls\n", calls - before);
	free(block);
}

#define WHILE(name, call, text) \
	{ #name "-" #call, name ## _in_ ## call, text " while another is in " #call, NULL, NULL, true, 0.1 }

int main(int argc, char **argv)
{
	struct guest guest[] = {
		{ "allocates", moves_allocating, "malloc in a handler inside malloc", NULL, NULL, true, 0.5 },
		{ "keeps", moves_keeping, "blocks that such a handler keeps", NULL, NULL, true, 0.5 },
		{ "many", keeping_many, "4000 blocks in a handler inside the heap", NULL, NULL, true, 5 },
		{ "asks", moves_asking, "malloc_trim, mallinfo2 there", NULL, NULL, true, 0.5 },
		{ "forks", moves_forking, "fork there, the child allocates", NULL, NULL, true, 0.5 },
		{ "bare", moves_forking_bare, "_Fork there, the child allocates", NULL, NULL, true, 0.5 },
		{ "child-threads", moves_threading, "fork there, threads of the child allocate", NULL, NULL, true, 0.5 },
		{ "returns", moves_returning, "fork there, the child goes on", NULL, NULL, true, 0.5 },
		{ "exits", moves_exiting, "fork there, the child calls exit", NULL, NULL, true, 0.5 },
		{ "threads", beside_threads, "fork there in three threads", NULL, NULL, true, 0.5 },
		{ "one", beside_one_at_rest, "fork there beside a thread at rest", NULL, NULL, true, 0.5 },
		WHILE(start, mmap, "a thread starts"), WHILE(start, munmap, "a thread starts"),
		WHILE(start, mremap, "a thread starts"), WHILE(start, madvise, "a thread starts"),
		WHILE(bare, mmap, "_Fork"), WHILE(bare, munmap, "_Fork"),
		WHILE(bare, mremap, "_Fork"), WHILE(bare, madvise, "_Fork"),
		WHILE(fork, munmap, "fork"), WHILE(fork, madvise, "fork"),
		{ "large", too_large, "sizes that cannot fit: no system call", NULL, NULL, true, 0.5 },
	};

	return guest_main(argc, argv, guest, sizeof guest / sizeof *guest);
}

#else

int main(void)
{
	tap_start();
	skip("handlers inside malloc", "written for x86-64 and AArch64");
	return tap_end();
}

#endif
