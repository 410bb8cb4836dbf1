/* A program whose memory comes and goes, in threads, at all sizes; then it forks. */
#include "guest.h"

#include <malloc.h>

enum { THREADS = 3, ROUNDS = 3 };

static void come_and_go(void)
{
	enum { COUNT = 20000 };
	static _Thread_local void *p[COUNT];
	size_t i;

	for (i = 0; i < COUNT; i++)
		memset(p[i] = hide(malloc(100 + i % 900)), 1, 100);
	for (i = 0; i < COUNT; i++)
		free(p[i]);
}

static void *work(void *number)
{
	struct churn *churn = churn_new((uintptr_t)number);
	int i;

	for (i = 0; i < 3000; i++)
		churn_once(churn);
	come_and_go();
	if (!use_every_size())
		fail("no memory\n");
	churn_delete(churn);
	return NULL;
}

int main(void)
{
	pthread_t id[THREADS];
	uintptr_t i;
	pid_t pid;
	int round;

	for (round = 0; round < ROUNDS; round++) {
		for (i = 0; i < THREADS; i++)
			start_thread(&id[i], work, (void *)i);
		work((void *)i);
		for (i = 0; i < THREADS; i++)
			pthread_join(id[i], NULL);
		malloc_trim(0);
		pid = fork();
		if (pid == 0)
			_exit(use_every_size() ? 0 : 90);
		if (pid < 0 || child_end(pid))
			fail("a child failed\n");
		usleep(60000);	/* a scavenger may start, and finds something to do */
	}
	puts("it worked");
	return 0;
}
