/* Recognises allocators by the names of their shared libraries. */
#include "cmd/cmd.h"

#include <string.h>

static const struct {
	const char *file, *name;
} known[] = {
	{ "libjemalloc", "jemalloc" },
	{ "libtcmalloc", "tcmalloc" },
	{ "libmimalloc", "mimalloc" },
	{ "libsnmalloc", "snmalloc" },
	{ "libhardened_malloc", "hardened_malloc" },
	{ "libscudo", "scudo" },
	{ "librpmalloc", "rpmalloc" },
	{ "libasan", "ASan" },
};

const char *base_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int allocator_of(const char *path)
{
	const char *base = base_of(path);
	int i;

	for (i = 0; i < (int)(sizeof known / sizeof *known); i++)
		if (!strncmp(base, known[i].file, strlen(known[i].file)))
			return i;
	return -1;
}

const char *allocator_name(int which)
{
	return which >= 0 && which < (int)(sizeof known / sizeof *known) ? known[which].name : "glibc";
}

bool is_library(const char *path)
{
	return !strncmp(base_of(path), "libhakmem.so", 12);
}
