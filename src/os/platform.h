/*
 * Every platform conditional of the library but os/glibc.h and
 * os/probe.h: what the compiler, the target and configure say. Other files ask for a name from here instead.
 */
#ifndef HK_OS_PLATFORM_H
#define HK_OS_PLATFORM_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

/* Cache line of the target; configure sets it per architecture. */
#ifndef HK_CACHE_LINE
#define HK_CACHE_LINE 64
#endif

/*
 * A malloc must not use dynamic TLS: the first access of a thread may itself
 * allocate. Two pointers in static TLS are all that the library takes; where
 * the compiler lacks the attribute, build with -ftls-model=initial-exec.
 */
#if defined(HAVE_CONFIG_H) && !defined(HK_TLS_IE)
#define HK_TLS _Thread_local
#else
#define HK_TLS __attribute__((tls_model("initial-exec"))) _Thread_local
#endif

/* The largest page size of any kernel for the target, as linkers assume too. */
#if defined(__x86_64__) || defined(__i386__) || defined(__s390x__) || defined(__riscv)
#define HK_PAGE_MOST 4096
#else
#define HK_PAGE_MOST 65536
#endif

/* Bits of a user-space address that the page map covers. */
#if UINTPTR_MAX == UINT32_MAX
#define HK_ADDRESS_BITS 32
#elif defined(__s390x__)
#define HK_ADDRESS_BITS 53
#else
#define HK_ADDRESS_BITS 48
#endif

/* More bytes than any block can have: the kernel gives addresses below this without
 * being asked for others. With 32 bits the signed range is less. */
#if UINTPTR_MAX == UINT32_MAX
#define HK_IMPOSSIBLE ((size_t)PTRDIFF_MAX - (4 << 20))
#elif defined(__x86_64__) || defined(__powerpc64__) || defined(__riscv) || defined(__loongarch__)
#define HK_IMPOSSIBLE ((size_t)1 << 47)
#else
#define HK_IMPOSSIBLE ((size_t)1 << HK_ADDRESS_BITS)
#endif

/* Advice that the headers may not know; the kernel refuses -1. */
#ifdef HAVE_MADV_HUGEPAGE
#define HK_MADV_HUGEPAGE MADV_HUGEPAGE
#define HK_MADV_NOHUGEPAGE MADV_NOHUGEPAGE
#else
#define HK_MADV_HUGEPAGE (-1)
#define HK_MADV_NOHUGEPAGE (-1)
#endif
#define HK_MADV_POPULATE_WRITE 23	/* these on all architectures; Linux 5.14 */
#define HK_MADV_WIPEONFORK 18	/* 4.14 */
#define HK_MADV_COLLAPSE 25	/* 6.1 */
#define HK_MADV_GUARD_INSTALL 102	/* 6.13 */
#define HK_MADV_GUARD_REMOVE 103

#define HK_API __attribute__((visibility("default")))
#define HK_HIDDEN __attribute__((visibility("hidden")))
#define HK_COLD __attribute__((cold, noinline))
#define HK_NOINLINE __attribute__((noinline))
#define HK_INLINE static inline __attribute__((always_inline))
#define HK_ALIGNED(n) __attribute__((aligned(n)))
#if defined(__x86_64__) || defined(__i386__)
#define HK_PAUSE() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define HK_PAUSE() __asm__ volatile("isb" ::: "memory")
#else
#define HK_PAUSE() __asm__ volatile("" ::: "memory")
#endif
/* Keeps a value that will be returned in the result register; otherwise the compiler
 * moves it there at the end. */
#if defined(__x86_64__)
#define HK_IN_RESULT(x) __asm__("" : "+a"(x))
#else
#define HK_IN_RESULT(x) ((void)0)
#endif
#define hk_likely(x) __builtin_expect(!!(x), 1)
#define hk_unlikely(x) __builtin_expect(!!(x), 0)

/* Sanitizers watch libc's calls and atomics; see os/syscall.h and below. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HK_SANITIZED
#endif
#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HK_SANITIZED
#endif
#if __has_feature(thread_sanitizer)
#define HK_ATOMIC_FOLDED
#endif
#endif

/* Can the library have a thread that libc does not know of? i386 has another way to
 * its thread-local variables, musl's clone() makes none. See os/guest.c. */
#if defined(__GLIBC__) && !defined(__i386__) && !defined(HK_SANITIZED)
#define HK_UNKNOWN_THREAD 1
#else
#define HK_UNKNOWN_THREAD 0
#endif
#if defined(__x86_64__)
#define HK_THREAD_POINTER() __extension__({ char *tp; __asm__("mov %%fs:0, %0" : "=r"(tp)); tp; })
#else
#define HK_THREAD_POINTER() ((char *)__builtin_thread_pointer())
#endif

/*
 * A relaxed load of what another thread may change meanwhile, and whose old and
 * new value are equally good: left to the compiler, which makes it part of the
 * instruction that uses it, as it does not with an atomic one. The store is for
 * words of which others look at single bits that it leaves as they are.
 */
#if defined(__SANITIZE_THREAD__) || defined(HK_ATOMIC_FOLDED)
#define HK_FOLDED_LOAD(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define HK_FOLDED_STORE(x, value) __atomic_store_n(&(x), (value), __ATOMIC_RELAXED)
#else
#define HK_FOLDED_LOAD(x) (x)
#define HK_FOLDED_STORE(x, value) ((x) = (value))
#endif

/* Where the compiler can: a call that takes the address from the GOT by itself
 * instead of by a jump in between. */
#if __has_attribute(noplt)
#define HK_NO_PLT __attribute__((noplt))
#else
#define HK_NO_PLT
#endif

/* Another name of a function, with its attributes where the compiler can. */
#if __has_attribute(copy)
#define HK_ALIAS(name) HK_API __attribute__((alias(#name), copy(name)))
#else
#define HK_ALIAS(name) HK_API __attribute__((alias(#name)))
#endif

/* Invariants: on in debug builds, hints nowhere else. */
#ifdef HK_DEBUG
#define HK_DEBUG_BUILD 1
#define hk_assert(x) ((x) ? (void)0 : hk_assert_failed(#x, __FILE__, __LINE__))
#else
#define HK_DEBUG_BUILD 0
#define hk_assert(x) ((void)0)
#endif
_Noreturn void hk_assert_failed(const char *what, const char *file, int line);

#endif
