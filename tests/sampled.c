/* Allocates from functions with known names, for heap-profile.sh: one holds 40 MB at its end, one 10 MB,
 * and one allocates 100 MB and holds nothing. With "wait" it waits at its end; with "all"
 * it only calls the functions that allocate. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { BLOCKS = 20000 };

static void *volatile kept[2 * BLOCKS];

__attribute__((noinline)) static void keep_much(int i)
{
	kept[i] = calloc(1, 2048);
}

__attribute__((noinline)) static void keep_little(int i)
{
	kept[BLOCKS + i] = strdup(memset((char[512]){ 0 }, 'x', 500));
}

__attribute__((noinline)) static void keep_nothing(void)
{
	void *volatile p = malloc(5120);

	free(p);
}

static void run(void)
{
	int i;

	for (i = 0; i < BLOCKS; i++) {
		keep_much(i);
		keep_little(i);
		keep_nothing();
	}
}

/* Each function of the library that allocates, some of which call others. */
__attribute__((noinline)) static void allocate_by_all(void)
{
	void *volatile p;
	void *q = NULL;

	p = malloc(100);
	p = realloc(p, 5000);
	p = reallocarray(p, 100, 1000);
	p = calloc(100, 10);
	p = memalign(64, 300);
	p = aligned_alloc(128, 600);
	p = valloc(700);
	p = pvalloc(800);
	if (posix_memalign(&q, 64, 1000) == 0)
		p = q;
	if (posix_memalign(&q, 8192, 100000) == 0)
		p = q;
	(void)p;
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "all")) {
		allocate_by_all();
		return 0;
	}
	if (argc > 1 && !strcmp(argv[1], "fork") && fork() == 0)
		exit(0);
	run();
	while (wait(NULL) > 0)
		;
	if (argc > 1 && !strcmp(argv[1], "wait")) {
		puts("ready");
		fflush(stdout);
		pause();
	}
	return 0;
}
