/* Allocates in 8192 functions of one source file, for cmd-profile.sh. With a file as its argument, the process has
 * 20000 mappings of this file, which precede those of its libraries. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static void *volatile kept;

#define FUNCTION(n) __attribute__((noinline)) static void site_##n(void) { kept = malloc(100); }
#define TWO(f, n) f(n##0) f(n##1)
#define FOUR(f, n) TWO(f, n##0) TWO(f, n##1)
#define SIXTEEN(f, n) FOUR(f, n##0) FOUR(f, n##1) FOUR(f, n##2) FOUR(f, n##3)
#define MANY(f, n) SIXTEEN(f, n##0) SIXTEEN(f, n##1) SIXTEEN(f, n##2) SIXTEEN(f, n##3)
#define MORE(f, n) MANY(f, n##0) MANY(f, n##1) MANY(f, n##2) MANY(f, n##3) \
	MANY(f, n##4) MANY(f, n##5) MANY(f, n##6) MANY(f, n##7)
#define ALL(f) MORE(f, 1) MORE(f, 2) MORE(f, 3) MORE(f, 4) MORE(f, 5) MORE(f, 6) MORE(f, 7) MORE(f, 8) \
	MORE(f, 11) MORE(f, 12) MORE(f, 13) MORE(f, 14) MORE(f, 15) MORE(f, 16) MORE(f, 17) MORE(f, 18)
ALL(FUNCTION)

#define ADDRESS(n) site_##n,
static void (*const sites[])(void) = { ALL(ADDRESS) };

static void map_often(const char *path)
{
	int fd = open(path, O_RDONLY), i;

	/* With the same rights, they would become one. */
	for (i = 0; i < 20000; i++)
		if (mmap(NULL, 4096, i & 1 ? PROT_READ : PROT_NONE, MAP_PRIVATE, fd, 0) == MAP_FAILED)
			exit(1);
}

int main(int argc, char **argv)
{
	size_t i;

	if (argc > 1)
		map_often(argv[1]);
	for (i = 0; i < sizeof sites / sizeof *sites; i++)
		sites[i]();
	puts("ready");
	fflush(stdout);
	pause();
	return 0;
}
