/*
 * Programs that shut themselves into a sandbox which ends them for any system
 * call but those that a malloc is known for. What is under test comes after.
 */
#include "child.h"
#include "heap.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <malloc.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

static uint64_t seed;

#define ALLOW(call)									\
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_ ## call, 0, 1),			\
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

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
	struct sock_fprog filter = { sizeof code / sizeof *code, code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
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

static void holds(void (*body)(void), const char *name)
{
	struct child c = child_run(inside, &body, 60);

	if (WIFEXITED(c.status) && WEXITSTATUS(c.status) == 77)
		skip(name, "no seccomp");
	else if (!ok(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 0 && !c.length, "%s", name))
		child_diag(&c);
}

int main(void)
{
	tap_start();
	seed = tap_seed();
	holds(many_small, "a heap that grows densely");
	holds(every_size, "blocks of every size");
	holds(growing, "a block that realloc grows to 256 MiB");
	holds(trimmed, "malloc_trim");
	return tap_end();
}
