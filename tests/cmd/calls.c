/*
 * A program whose settings are changed: calls KIND. "busy": threads allocate and free all the
 * time; "waits": it sleeps until SIGUSR1, and then allocates once; "one": it frees and takes the
 * same block; "mid": the same with a block of 4000 bytes; "title": it overwrites its environment,
 * as programs do that change the title in ps.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void *blocks(void *unused)
{
	for (;;) {
		void *volatile p[500];
		size_t i;

		for (i = 0; i < 500; i++)
			p[i] = malloc(i * 20);
		for (i = 0; i < 500; i++)
			free(p[i]);
		usleep(1000);
	}
	return unused;
}

static void large(void)
{
	void *volatile p = malloc(1 << 20);

	memset(p, 1, 1 << 20);
	free(p);
}

int main(int argc, char **argv)
{
	sigset_t set;
	pthread_t id;
	int signal;

	large();
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (argc < 2 || write(STDOUT_FILENO, "ready\n", 6) != 6)
		return 1;
	if (!strcmp(argv[1], "busy")) {
		pthread_create(&id, NULL, blocks, NULL);
		blocks(NULL);
	}
	if (!strcmp(argv[1], "title"))
		for (; *environ; environ++)
			memset(*environ, 0, strlen(*environ));
	while (!strcmp(argv[1], "one")) {
		void *volatile p = malloc(100);

		free(p);
	}
	while (!strcmp(argv[1], "mid")) {
		void *volatile p = malloc(4000);

		free(p);
	}
	for (;;) {
		sigwait(&set, &signal);
		large();
	}
}
