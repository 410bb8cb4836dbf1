/*
 * For libraries that wrap functions of libc, as debuggers, sandboxes and
 * message passing do: the first call looks for an older name, which is not
 * there, so that dlsym allocates a message; every call uses the heap.
 */
#ifndef TESTS_WRAPPERS_WRAP_H
#define TESTS_WRAPPERS_WRAP_H

#include <dlfcn.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define UNUSED __attribute__((unused))

static void use_heap(void)
{
	static const size_t size[] = { 20, 600, 5000, 40000, 3 << 20 };
	static unsigned turn;
	int saved = errno;
	/* volatile: or the compiler drops the pair. */
	char *volatile p = malloc(size[turn++ % 5]);

	if (!p)
		abort();
	*p = 1;
	free(p);
	errno = saved;
}

static void *look_up(const char *name)
{
	int saved = errno;
	void *found;

	dlsym(RTLD_NEXT, "a_name_of_long_ago");
	dlerror();
	found = dlsym(RTLD_NEXT, name);
	if (!found)
		abort();
	errno = saved;
	return found;
}

#define WRAP(type, name, parameters, arguments)				\
type name parameters							\
{									\
	static type (*real) parameters;					\
									\
	if (!real)							\
		*(void **)&real = look_up(#name);			\
	use_heap();							\
	return real arguments;						\
}

#endif
