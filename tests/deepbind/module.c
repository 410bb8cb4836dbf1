/* What a program opens with RTLD_DEEPBIND. Two builds: with libc alone, and
 * with HAKMEM before it. */
#include "deepbind/module.h"

#include <stdlib.h>
#include <string.h>

void *module_malloc(size_t size)
{
	return malloc(size);
}

void module_free(void *p)
{
	free(p);
}

char *module_strdup(const char *text)
{
	return strdup(text);
}
