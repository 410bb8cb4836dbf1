/*
 * Conditionals on the compiler, the target and the results of configure, as names for the
 * other files; os/glibc.h and os/probe.h have their own.
 */
#ifndef HK_OS_PLATFORM_H
#define HK_OS_PLATFORM_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <limits.h>
#include <stddef.h>
#include <stdint.h>

/* Cache-line size of the target; configure sets it for each architecture. */
#ifndef HK_CACHE_LINE
#define HK_CACHE_LINE 64
#endif

/*
 * A malloc must not use dynamic TLS, because the first access of a thread may allocate
 * memory. The library needs little static TLS. If the compiler lacks the attribute, build
 * with -ftls-model=initial-exec.
 */
#if defined(HAVE_CONFIG_H) && !defined(HK_TLS_IE)
#define HK_TLS _Thread_local
#else
#define HK_TLS __attribute__((tls_model("initial-exec"))) _Thread_local
#endif

/* The largest page size of any kernel for the target, as assumed by linkers. */
#if defined(__x86_64__) || defined(__i386__) || defined(__s390x__) || defined(__riscv)
#define HK_PAGE_MOST 4096
#else
#define HK_PAGE_MOST 65536
#endif

/* The width of the user-space addresses that the page map covers. */
#if UINTPTR_MAX == UINT32_MAX
#define HK_ADDRESS_BITS 32
#elif defined(__s390x__)
#define HK_ADDRESS_BITS 53
#else
#define HK_ADDRESS_BITS 48
#endif

/* A size that no block can have: without an address hint the kernel maps memory only below
 * this address. On 32-bit targets the limit is that of ptrdiff_t. */
#if UINTPTR_MAX == UINT32_MAX
#define HK_IMPOSSIBLE ((size_t)PTRDIFF_MAX - (4 << 20))
#elif defined(__x86_64__) || defined(__powerpc64__) || defined(__riscv) || defined(__loongarch__)
#define HK_IMPOSSIBLE ((size_t)1 << 47)
#else
#define HK_IMPOSSIBLE ((size_t)1 << HK_ADDRESS_BITS)
#endif

/* Advice that the headers may not define. -1: the kernel rejects it. */
#ifdef HAVE_MADV_HUGEPAGE
#define HK_MADV_HUGEPAGE MADV_HUGEPAGE
#define HK_MADV_NOHUGEPAGE MADV_NOHUGEPAGE
#else
#define HK_MADV_HUGEPAGE (-1)
#define HK_MADV_NOHUGEPAGE (-1)
#endif
#define HK_MADV_POPULATE_WRITE 23	/* these are the same everywhere; Linux 5.14 */
#define HK_MADV_WIPEONFORK 18	/* 4.14 */
#define HK_MADV_COLLAPSE 25	/* 6.1 */
#define HK_MADV_GUARD_INSTALL 102	/* 6.13 */
#define HK_MADV_GUARD_REMOVE 103

#define HK_API __attribute__((visibility("default")))
#define HK_HIDDEN __attribute__((visibility("hidden")))
#define HK_COLD __attribute__((cold, noinline))
/* For large variables, of which most programs write to few pages or none. src/start.ld places
 * them behind the small variables, which then share pages; without it, both are mixed. */
#define HK_BEHIND __attribute__((section(".bss.behind")))
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
/* Keeps a value that will be returned in the result register; otherwise the compiler moves it
 * there at the end. */
#if defined(__x86_64__)
#define HK_IN_RESULT(x) __asm__("" : "+a"(x))
#else
#define HK_IN_RESULT(x) ((void)0)
#endif
#define hk_likely(x) __builtin_expect(!!(x), 1)
#define hk_unlikely(x) __builtin_expect(!!(x), 0)

/* Sanitizers intercept libc's functions and atomics; see os/syscall.h and below. */
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

/* Can the library have a thread that libc does not know? i386 finds its thread-local
 * variables in another way, and musl's clone() cannot create such a thread. See os/guest.c. */
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
 * A relaxed load of a word that another thread may be changing; the old value and the new one
 * are equally valid. The load is not atomic, so that the compiler can make it an operand of
 * the instruction that uses it. The store is for words of which other threads read only bits
 * that it does not change.
 */
#if defined(__SANITIZE_THREAD__) || defined(HK_ATOMIC_FOLDED)
#define HK_FOLDED_LOAD(x) __atomic_load_n(&(x), __ATOMIC_RELAXED)
#define HK_FOLDED_STORE(x, value) __atomic_store_n(&(x), (value), __ATOMIC_RELAXED)
#else
#define HK_FOLDED_LOAD(x) (x)
#define HK_FOLDED_STORE(x, value) ((x) = (value))
#endif

/* If the compiler can, calls the function through the GOT directly, without a PLT entry. */
#if __has_attribute(noplt)
#define HK_NO_PLT __attribute__((noplt))
#else
#define HK_NO_PLT
#endif

/* An alias of a function, with the function's attributes if the compiler supports that. */
#if __has_attribute(copy)
#define HK_ALIAS(name) HK_API __attribute__((alias(#name), copy(name)))
#else
#define HK_ALIAS(name) HK_API __attribute__((alias(#name)))
#endif

/* hk_assert states an invariant. Debug builds check it. Other builds do not evaluate it, not
 * even as a hint to the compiler. */
#ifdef HK_DEBUG
#define HK_DEBUG_BUILD 1
#define hk_assert(x) ((x) ? (void)0 : hk_assert_failed(#x, __FILE__, __LINE__))
#else
#define HK_DEBUG_BUILD 0
#define hk_assert(x) ((void)0)
#endif
_Noreturn void hk_assert_failed(const char *what, const char *file, int line);

#include "os/bytes.h"

#endif
