/*
 * System calls without libc. Another preloaded library may replace libc's functions by
 * wrappers that call malloc, and libc's functions set errno; an inline instruction does
 * neither. So these can be made at any time, with locks held and in signal handlers, and none
 * is a cancellation point.
 *
 * Each returns the result of the kernel: -4095 to -1 is a negated errno.
 */
#ifndef HK_OS_SYSCALL_H
#define HK_OS_SYSCALL_H

#include "os/platform.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* For a call that returns an address. */
HK_INLINE bool hk_sys_failed(long result)
{
	return (unsigned long)result >= -4095ul;
}

#if defined(HK_SANITIZED)
#define HK_SYSCALL_BY_LIBC
#elif defined(__x86_64__) && defined(__LP64__)
HK_INLINE long hk_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;

	__asm__ volatile("syscall" : "+a"(number)
			 : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return number;
}
#elif defined(__i386__)
/* No call here has a sixth argument, so the compiler can keep ebp. */
HK_INLINE long hk_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	(void)f;
	__asm__ volatile("int $0x80" : "+a"(number)
			 : "b"(a), "c"(b), "d"(c), "S"(d), "D"(e) : "memory");
	return number;
}
#elif defined(__aarch64__)
HK_INLINE long hk_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c, x3 __asm__("x3") = d, x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;

	__asm__ volatile("svc 0" : "+r"(x0)
			 : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
	return x0;
}
#elif defined(__arm__)
/* r7 may be the frame pointer, so it is saved explicitly. */
HK_INLINE long hk_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	register long r0 __asm__("r0") = a, r1 __asm__("r1") = b, r2 __asm__("r2") = c;
	register long r3 __asm__("r3") = d, r4 __asm__("r4") = e, r5 __asm__("r5") = f;
	long saved;

	__asm__ volatile("mov %1, r7\n\tmov r7, %2\n\tsvc 0\n\tmov r7, %1"
			 : "+r"(r0), "=&r"(saved)
			 : "r"(number), "r"(r1), "r"(r2), "r"(r3), "r"(r4), "r"(r5) : "memory");
	return r0;
}
#elif defined(__riscv)
HK_INLINE long hk_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	register long a7 __asm__("a7") = number, a0 __asm__("a0") = a, a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c, a3 __asm__("a3") = d, a4 __asm__("a4") = e;
	register long a5 __asm__("a5") = f;

	__asm__ volatile("ecall" : "+r"(a0)
			 : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5) : "memory");
	return a0;
}
#elif defined(__loongarch__)
HK_INLINE long hk_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	register long a7 __asm__("$a7") = number, a0 __asm__("$a0") = a, a1 __asm__("$a1") = b;
	register long a2 __asm__("$a2") = c, a3 __asm__("$a3") = d, a4 __asm__("$a4") = e;
	register long a5 __asm__("$a5") = f;

	__asm__ volatile("syscall 0" : "+r"(a0)
			 : "r"(a7), "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5)
			 : "$t0", "$t1", "$t2", "$t3", "$t4", "$t5", "$t6", "$t7", "$t8", "memory");
	return a0;
}
#elif defined(__s390x__)
HK_INLINE long hk_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	register long r1 __asm__("1") = number, r2 __asm__("2") = a, r3 __asm__("3") = b;
	register long r4 __asm__("4") = c, r5 __asm__("5") = d, r6 __asm__("6") = e;
	register long r7 __asm__("7") = f;

	__asm__ volatile("svc 0" : "+d"(r2)
			 : "d"(r1), "d"(r3), "d"(r4), "d"(r5), "d"(r6), "d"(r7) : "memory");
	return r2;
}
#elif defined(__powerpc__)
/* The kernel reports an error by a bit of the condition register and a positive number. */
HK_INLINE long hk_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	register long r0 __asm__("r0") = number, r3 __asm__("r3") = a, r4 __asm__("r4") = b;
	register long r5 __asm__("r5") = c, r6 __asm__("r6") = d, r7 __asm__("r7") = e;
	register long r8 __asm__("r8") = f;

	__asm__ volatile("sc\n\tbns+ 1f\n\tneg %1, %1\n1:"
			 : "+r"(r0), "+r"(r3), "+r"(r4), "+r"(r5), "+r"(r6), "+r"(r7), "+r"(r8)
			 : : "memory", "cr0", "ctr", "xer", "r9", "r10", "r11", "r12");
	return r3;
}
#else
#define HK_SYSCALL_BY_LIBC
#endif

#ifdef HK_SYSCALL_BY_LIBC
/* Sanitizers intercept libc's functions, and must see each mapping and unmapping. */
#include <errno.h>
#include <unistd.h>

HK_INLINE long hk_syscall_done(long result)
{
	return result == -1 ? -errno : result;
}

HK_INLINE long hk_syscall(long number, long a, long b, long c, long d, long e, long f)
{
	int saved = errno;
	long result;

	switch (number) {
	case SYS_munmap:
		result = munmap((void *)a, (size_t)b);
		break;
	case SYS_madvise:
		result = madvise((void *)a, (size_t)b, (int)c);
		break;
	case SYS_mremap:
		result = (long)mremap((void *)a, (size_t)b, (size_t)c, (int)d, (void *)e);
		break;
	default:
		result = syscall(number, a, b, c, d, e, f);
	}
	result = hk_syscall_done(result);
	errno = saved;
	return result;
}

HK_INLINE void *hk_sys_map_near(uintptr_t hint, size_t size, int access)
{
	int saved = errno;
	void *p = mmap((void *)hint, size, access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	errno = saved;
	return p == MAP_FAILED ? NULL : p;
}
#else
/* A private mapping of zeros, or NULL; at this address if it is free. */
HK_INLINE void *hk_sys_map_near(uintptr_t hint, size_t size, int access)
{
	const long flags = MAP_PRIVATE | MAP_ANONYMOUS;
	long p;
#if defined(__i386__) || defined(__s390x__)
	/* These kernels take the six arguments from a block of memory. */
	const unsigned long argument[6] = { hint, size, (unsigned long)access, (unsigned long)flags,
					    (unsigned long)-1, 0 };

	p = hk_syscall(SYS_mmap, (long)argument, 0, 0, 0, 0, 0);
#elif defined(SYS_mmap2)
	p = hk_syscall(SYS_mmap2, (long)hint, (long)size, access, flags, -1, 0);
#else
	p = hk_syscall(SYS_mmap, (long)hint, (long)size, access, flags, -1, 0);
#endif
	return hk_sys_failed(p) ? NULL : (void *)p;
}
#endif

HK_INLINE void *hk_sys_map(size_t size, int access)
{
	return hk_sys_map_near(0, size, access);
}

#if defined(__i386__) && !defined(HK_SYSCALL_BY_LIBC)
#define HK_SYS_HAS_SIXTH false
#else
#define HK_SYS_HAS_SIXTH true
#endif
#define HK_SYS(name, a, b, c, d, e) \
	hk_syscall(SYS_##name, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

/* On architectures that once had 16-bit user IDs, geteuid is the old call. */
#ifdef SYS_geteuid32
#define HK_SYS_GETEUID() HK_SYS(geteuid32, 0, 0, 0, 0, 0)
#else
#define HK_SYS_GETEUID() HK_SYS(geteuid, 0, 0, 0, 0, 0)
#endif

#endif
