/*
 * For programs that open their modules with RTLD_DEEPBIND, as Debian's PHP does:
 * opens them without it, so that they see the malloc that is preloaded. A module
 * with functions of its own under names that the program has too gets the
 * program's then.
 *
 *	cc -O2 -shared -fPIC -o shallow.so shallow.c
 *	LD_PRELOAD='libhakmem.so.1 /path/to/shallow.so' php ...
 *
 * With -O2 the last call is a jump: dlopen searches the RPATH of its caller.
 */
#define _GNU_SOURCE
#include <dlfcn.h>

static void *(*libc_dlopen)(const char *, int);

__attribute__((constructor)) static void find(void)
{
	libc_dlopen = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
}

void *dlopen(const char *file, int mode)
{
	if (!libc_dlopen)
		find();
	return libc_dlopen(file, mode & ~RTLD_DEEPBIND);
}
