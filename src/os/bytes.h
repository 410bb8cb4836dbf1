/*
 * Copies, comparisons and searches of bytes. Another library may define memset and similar
 * functions, for example to trace them, and may call malloc in them. Compilers insert calls of
 * them, for an assignment or a loop, even where a lock is held. So in each object file of the
 * library, these names mean hidden functions of the library (bytes.c).
 *
 * A declaration with another name is not enough, because compilers do not use it for the calls
 * that they insert late. Therefore the assembler replaces the names. HK_LIBRARY is defined for the
 * object files of the library; the command and the tests use libc's functions. Builds with
 * sanitizers do so too, because sanitizers check the arguments. os/platform.h includes this file,
 * so that each object file has it.
 */
#ifndef HK_OS_BYTES_H
#define HK_OS_BYTES_H

#include <stddef.h>

#if defined(HK_LIBRARY) && !defined(HK_SANITIZED)
#define HK_OWN_BYTES 1
#else
#define HK_OWN_BYTES 0
#endif

/* The *_chk functions end the process if size exceeds room. */
void *hk_memset(void *to, int byte, size_t size);
void *hk_memmove(void *to, const void *from, size_t size);
int hk_memcmp(const void *a, const void *b, size_t size);
void *hk_memchr(const void *in, int byte, size_t size);
size_t hk_strlen(const char *text);
size_t hk_strnlen(const char *text, size_t most);
int hk_strcmp(const char *a, const char *b);
int hk_strncmp(const char *a, const char *b, size_t most);
char *hk_strchr(const char *text, int byte);
char *hk_strrchr(const char *text, int byte);
char *hk_strstr(const char *text, const char *part);
void *hk_memset_chk(void *to, int byte, size_t size, size_t room);
void *hk_memmove_chk(void *to, const void *from, size_t size, size_t room);

#if HK_OWN_BYTES && !defined(HK_LIBC_BYTES)
#define HK_BIND(name, own) __asm__(".hidden " #own "\n\t" #name " = " #own)
HK_BIND(memset, hk_memset);
HK_BIND(memcpy, hk_memmove);
HK_BIND(memmove, hk_memmove);
HK_BIND(memcmp, hk_memcmp);
HK_BIND(bcmp, hk_memcmp);
HK_BIND(memchr, hk_memchr);
HK_BIND(strlen, hk_strlen);
HK_BIND(strnlen, hk_strnlen);
HK_BIND(strcmp, hk_strcmp);
HK_BIND(strncmp, hk_strncmp);
HK_BIND(strchr, hk_strchr);
HK_BIND(strrchr, hk_strrchr);
HK_BIND(strstr, hk_strstr);
/* The checked forms of _FORTIFY_SOURCE. */
HK_BIND(__memset_chk, hk_memset_chk);
HK_BIND(__memcpy_chk, hk_memmove_chk);
HK_BIND(__memmove_chk, hk_memmove_chk);
#undef HK_BIND
#endif

#endif
