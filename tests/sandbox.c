/*
 * Programs that shut themselves into a sandbox which ends them for any system
 * call but those that a malloc is known for. What is under test comes after.
 */
#include "child.h"
#include "heap.h"
#include "seccomp.h"

#include <hakmem/hakmem.h>
#include <malloc.h>
#include <pthread.h>

enum { GUARD_INSTALL = 102 };		/* an advice */
static uint64_t seed;

#define ANSWER(call, answer)								\
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_ ## call, 0, 1),			\
	BPF_STMT(BPF_RET | BPF_K, answer)
#define ALLOW(call) ANSWER(call, SECCOMP_RET_ALLOW)

/* clock_gettime is here for machines whose clock the kernel must read. */
static bool shut(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
#ifdef __NR_mmap2
		ALLOW(mmap2),
#endif
#ifdef __NR_mmap
		ALLOW(mmap),
#endif
#ifdef __NR_clock_gettime64
		ALLOW(clock_gettime64), ALLOW(futex_time64),
#endif
		ALLOW(munmap), ALLOW(mremap), ALLOW(madvise), ALLOW(mprotect), ALLOW(brk),
		ALLOW(futex), ALLOW(clock_gettime), ALLOW(write), ALLOW(exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL),
	};

	return seccomp_filter(code, sizeof code / sizeof *code);
}

/* Whatever is called here must need no help of the kernel. */
static bool shut_to_all(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(write), ALLOW(exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};

	return seccomp_filter(code, sizeof code / sizeof *code);
}

/*
 * No thread of the library's may start here: if opening files is refused, it
 * would be ended as it names itself, else by its start. Nor may the library
 * ask by a call that libc does not make by itself.
 */
static bool shut_to_threads(bool refused)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ANSWER(openat, refused ? SECCOMP_RET_ERRNO | EACCES : SECCOMP_RET_ALLOW),
		ANSWER(prctl, SECCOMP_RET_KILL_PROCESS), ANSWER(gettid, SECCOMP_RET_KILL_PROCESS),
		ANSWER(clone, refused ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS),
#ifdef __NR_clone3
		ANSWER(clone3, refused ? SECCOMP_RET_ALLOW : SECCOMP_RET_KILL_PROCESS),
#endif
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};

	return seccomp_filter(code, sizeof code / sizeof *code);
}

/* As a container's, which is there when the program starts. */
static bool shut_to_nothing(void)
{
	struct sock_filter code[] = { BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };

	return seccomp_filter(code, sizeof code / sizeof *code);
}

static void many_small(void)
{
	size_t i;

	for (i = 0; i < 96 * MB / 1024; i++)
		memset(hide(malloc(1000)), 1, 1000);
}

static void every_size(void)
{
	void *block[64] = { NULL };
	size_t i;

	for (i = 0; i < 200000; i++) {
		void **b = &block[random_below(&seed, 64)];

		*b = random_below(&seed, 4) ? hide(realloc(*b, random_size(&seed, 3 * MB))) :
		     (free(*b), NULL);
	}
	for (i = 0; i < 64; i++)
		free(block[i]);
}

static void growing(void)
{
	char *p = NULL;
	size_t size;

	for (size = MB; size <= 256 * MB; size *= 2) {
		p = (char *)hide(realloc(p, size));
		memset(p + size / 2, 1, size / 2);
	}
	free(p);
}

static void trimmed(void)
{
	static void *block[8 * MB / 64];
	size_t i, count = sizeof block / sizeof *block;

	for (i = 0; i < count; i++)
		block[i] = hide(malloc(64));
	for (i = 0; i < count; i++)
		if (i % 500)
			free(block[i]);
	malloc_trim(0);
}

/* Exit status 0 only from inside; 77 where there is no seccomp. */
static void inside(void *arg)
{
	if (!shut())
		_exit(77);
	(*(void (**)(void))arg)();
	_exit(0);
}

static void survives(void (*body)(void *), void *arg, const char *name)
{
	struct child c = child_run(body, arg, 60);

	if (WIFEXITED(c.status) && WEXITSTATUS(c.status) == 77)
		skip(name, "no seccomp");
	else if (!ok(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 0 && !c.length, "%s", name))
		child_diag(&c);
}

static void holds(void (*body)(void), const char *name)
{
	survives(inside, &body, name);
}

/* Every call that takes a size, and a block of each kind to be resized. */
static void refuses(size_t size, void **block, size_t blocks)
{
	void *out = block;
	size_t i;

	errno = 0;
	if (hide(malloc(size)) || errno != ENOMEM)
		fail("malloc(%zu): errno %d", size, errno);
	if (hide(calloc(1, size)) || hide(calloc(2, size / 2 + 1)) || hide(memalign(64, size)) ||
	    hide(aligned_alloc(65536, size)) || hide(valloc(size)) || hide(pvalloc(size)))
		fail("a block of %zu bytes", size);
	if (posix_memalign(&out, 4096, size) != ENOMEM || out != block)
		fail("posix_memalign of %zu bytes", size);
	for (i = 0; i < blocks; i++) {
		errno = 0;
		if (hide(realloc(block[i], size)) || errno != ENOMEM)
			fail("realloc(%zu): errno %d", size, errno);
	}
}

static void impossible(void *arg)
{
	static const size_t kinds[] = { 100, 20000, 300000, 3 * MB, 40 * MB };
	enum { KINDS = sizeof kinds / sizeof *kinds };
	size_t size = hide_size(PTRDIFF_MAX), i;
	void *block[KINDS];

	for (i = 0; i < KINDS; i++)
		fill(block[i] = hide(malloc(kinds[i])), kinds[i], i);
	/* Leaves something to give back. */
	many_small();
	every_size();
	if (!shut_to_all())
		_exit(77);
	if (arg)
		hide(malloc(64 * MB));
	refuses(size - 4096, block, KINDS);
	refuses(size + 1, block, KINDS);
	refuses(size * 2, block, KINDS);
	/* What no machine has that this is built for, but s390x. */
	for (i = 53; i < sizeof size * 8; i++)
		refuses((size_t)1 << i, block, KINDS);
#ifdef __x86_64__
	refuses((size_t)1 << 47, block, KINDS);
#endif
	for (i = 0; i < KINDS; i++)
		if (!filled(block[i], kinds[i], i))
			fail("the block of %zu bytes is damaged", kinds[i]);
	_exit(0);
}

static void impossible_sizes(void)
{
	struct child c;

	survives(impossible, NULL, "sizes that can never fit need no system call");
	c = child_run(impossible, &seed, 60);
	if (WIFEXITED(c.status) && WEXITSTATUS(c.status) == 77)
		return;
	ok(WIFSIGNALED(c.status) && WTERMSIG(c.status) == SIGSYS, "one that may fit does");
}

static void *uses_heap(void *unused)
{
	free(hide(malloc(100)));
	return unused;
}

static void turn_on(void)
{
	if (hak_set("HAKMEM_SCAVENGER", "always") != 0)
		_exit(1);
}

/* A program of its own, with the scavenger, that frees much in its sandbox. */
static void frees_much(bool refused, bool late)
{
	enum { COUNT = 40000 };
	static void *block[COUNT];
	pthread_t id;
	int i;

	for (i = 0; i < COUNT; i++)
		block[i] = hide(malloc(500));
	usleep(200000);
	if (!shut_to_threads(refused))
		_exit(77);
	if (late)
		turn_on();
	for (i = 0; i < COUNT; i++)
		free(block[i]);
	if (refused && (pthread_create(&id, NULL, uses_heap, NULL) || pthread_join(id, NULL)))
		_exit(1);
	usleep(50000);		/* for a thread that should not be to name itself */
	_exit(0);
}

static void refused(void *unused)
{
	(void)unused;
	setenv("HAKMEM_SCAVENGER", "always", 1);
	child_exec("refused");
}

static void late(void *unused)
{
	(void)unused;
	setenv("HAKMEM_SCAVENGER", "0", 1);
	child_exec("late");
}

/* As in a container. */
static void contain(const char *setting, const char *what)
{
	/* How many filters there are is told since Linux 5.9. */
	if (system("grep -q ^Seccomp_filters: /proc/self/status") != 0 || !shut_to_nothing())
		_exit(77);
	setenv("HAKMEM_SCAVENGER", setting, 1);
	child_exec(what);
}

static void contained(void *unused)
{
	(void)unused;
	contain("always", "contained");
}

static void contained_late(void *unused)
{
	(void)unused;
	contain("0", "late");
}

static void without_guards(void *unused)
{
	(void)unused;
	if (!seccomp_advice(GUARD_INSTALL, SECCOMP_RET_ERRNO | EINVAL))
		_exit(77);
	child_exec("guards");
}

static void large_ones(void)
{
	int i;

	if (!seccomp_advice(GUARD_INSTALL, SECCOMP_RET_KILL_PROCESS))
		_exit(77);
	for (i = 0; i < 10; i++)
		free(hide(malloc(3 * MB)));
	_exit(0);
}

/* The last thread to end waits for the library's own to have gone. */
static void *ends_shut(void *unused)
{
	free(hide(malloc(100)));
	usleep(200000);
	if (!shut_to_threads(false))
		_exit(77);
	return unused;
}

static void gone_with_it(void)
{
	enum { COUNT = 40000 };
	static void *block[COUNT];
	struct hak_stats s;
	pthread_t id;
	int i;

	usleep(150000);
	if (pthread_create(&id, NULL, ends_shut, NULL))
		_exit(1);
	usleep(50000);
	for (i = 0; i < COUNT; i++)
		block[i] = hide(malloc(500));
	for (i = 0; i < COUNT; i++)
		free(block[i]);
	pthread_join(id, NULL);
	hak_stats_get(&s, sizeof s);
	_exit(s.scavenger);
}

static void last_thread(void *unused)
{
	(void)unused;
	setenv("HAKMEM_SCAVENGER", "1", 1);
	child_exec("last");
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "last"))
		gone_with_it();
	if (argc > 1 && !strcmp(argv[1], "guards"))
		large_ones();
	if (argc > 1)
		frees_much(!strcmp(argv[1], "refused"), !strcmp(argv[1], "late"));
	tap_start();
	seed = tap_seed();
	holds(many_small, "a heap that grows densely");
	holds(every_size, "blocks of every size");
	holds(growing, "a block that realloc grows to 256 MiB");
	holds(trimmed, "malloc_trim");
	impossible_sizes();
	survives(refused, NULL, "no thread is started in a sandbox that shows no files");
	survives(contained, NULL, "nor in one within a container's");
	survives(late, NULL, "nor in a sandbox if the setting changes there");
	survives(contained_late, NULL, "nor if the sandbox is within a container's");
	survives(without_guards, NULL, "a kernel without guards is asked for one only at the start");
	survives(last_thread, NULL, "one ends with a thread that has shut itself in");
	return tap_end();
}
