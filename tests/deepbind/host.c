/* Opens argv[2] with RTLD_DEEPBIND; argv[1] says which heap gives and which takes. */
#include "deepbind/module.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#ifndef RTLD_DEEPBIND
#define RTLD_DEEPBIND 0
#endif

static void *must(void *p)
{
	if (!p) {
		fprintf(stderr, "%s\n", dlerror());
		exit(3);
	}
	return p;
}

int main(int argc, char **argv)
{
	struct rlimit none = { 0, 0 };
	void *module, *p;
	void *(*give)(size_t);
	char *(*copy)(const char *);
	void (*take)(void *);

	if (argc != 3)
		return 2;
	setrlimit(RLIMIT_CORE, &none);
	module = must(dlopen(argv[2], RTLD_NOW | RTLD_DEEPBIND));
	*(void **)&give = must(dlsym(module, "module_malloc"));
	*(void **)&take = must(dlsym(module, "module_free"));
	*(void **)&copy = must(dlsym(module, "module_strdup"));
	p = !strncmp(argv[1], "module", 6) ? give(100) : !strncmp(argv[1], "strdup", 6) ? copy("text") : malloc(100);
	printf("hakmem: free(): %p is not a hakmem block\n", must(p));
	fflush(stdout);
	memset(p, 1, 5);
	if (strstr(argv[1], "-module"))
		take(p);
	else
		free(p);
	return 0;
}
