/* Ends in several ways, with or without a block of 1 MB, for cmd-leaks.sh: leaves HOW [STATUS], or leaves opens LIBRARY. */
#include <dlfcn.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static void *volatile block;

__attribute__((noinline)) static void keep_block(void)
{
	block = calloc(1, 1000000);
}

static void wait_for_signal(void)
{
	char line[32];
	int length = snprintf(line, sizeof line, "%d\n", (int)getpid());

	if (write(STDOUT_FILENO, line, (size_t)length) == length)
		for (;;)
			pause();
}

static void exit_now(int number)
{
	exit(number == SIGUSR1 ? 7 : 8);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "";
	int status = argc > 2 && strcmp(how, "opens") != 0 ? atoi(argv[2]) : 0;

	if (!strcmp(how, "fork") && fork() > 0) {
		wait(NULL);
		return status;
	}
	keep_block();
	if (!strcmp(how, "frees") || !strcmp(how, "prints") || !strcmp(how, "opens"))
		free(block);
	if (!strcmp(how, "opens") && !dlopen(argv[2], RTLD_NOW))
		return 1;
	if (!strcmp(how, "prints"))
		puts("a line");
	if (!strcmp(how, "_exit"))
		_exit(status);
	if (!strcmp(how, "signal"))
		raise(status);
	if (!strcmp(how, "waits")) {
		signal(SIGUSR1, exit_now);
		wait_for_signal();
	}
	return status;
}
