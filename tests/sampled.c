/* Allocates from functions with known names, for heap-profile.sh: one holds 40 MB at its end, one 10 MB,
 * and one allocates 100 MB and holds nothing. With "wait" it waits at its end. */
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

int main(int argc, char **argv)
{
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
