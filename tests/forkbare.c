/*
 * Children that no fork handler has seen, of _Fork, clone and vfork, while
 * other threads or the library's own hold its locks: the child has a copy of
 * them. It allocates and ends all the same.
 */
#include "forks.h"

static pid_t (*make_child)(void);

/* Memory that the scavenger finds something to do with, in blocks of 1 KB to 3 MB. */
static void come_and_go(unsigned long round)
{
	enum { COUNT = 4000 };
	static void *p[COUNT];
	size_t count = round % 3 ? COUNT : 8, i;

	for (i = 0; i < count; i++) {
		size_t size = round % 3 ? 1000 * (1 + i % 3) : 3 * MB;

		memset(p[i] = hide(malloc(size)), 1, size);
	}
	for (i = 0; i < count; i++)
		free(p[i]);
}

static void make_children(void)
{
	unsigned long round;

	usleep(200000);		/* there is no scavenger in the first moments */
	for (round = 0; more(40); round++) {
		pid_t pid;
		int end;

		if (round % 8 == 0)
			come_and_go(round / 8);
		pid = make_child();
		if (pid == 0)
			_exit(use_every_size() ? 0 : 90);
		end = pid < 0 ? 95 : child_end(pid);
		if (end)
			fail("child %lu failed with %d (128 + signal)\n", round, end);
		step();
	}
}

static void beside(void *(*body)(void *), unsigned threads, pid_t (*make)(void))
{
	pthread_t id[3];
	uintptr_t i;

	make_child = make;
	for (i = 0; i < threads; i++)
		start_thread(&id[i], body, (void *)i);
	make_children();
	churn_stop = true;
	for (i = 0; i < threads; i++, step())
		pthread_join(id[i], NULL);
}

static void *rest(void *unused)
{
	while (!churn_stop)
		usleep(10000);
	return unused;
}

static pid_t by_fork(void)
{
	return fork();
}

#define BESIDE(name, body, threads, make)		\
static void name(void)					\
{							\
	beside(body, threads, make);			\
}

BESIDE(rest_fork, rest, 1, by_fork)
BESIDE(rest_bare, rest, 1, bare_fork)
BESIDE(rest_clone, rest, 1, fork_by_clone)
BESIDE(rest_vfork, rest, 1, by_vfork)
BESIDE(busy_bare, churn_on, 3, bare_fork)
BESIDE(busy_clone, churn_on, 3, fork_by_clone)
BESIDE(busy_vfork, churn_on, 3, by_vfork)

int main(int argc, char **argv)
{
	static const char *const on[] = { "HAKMEM_SCAVENGER", "1" };
	static const char *const off[] = { "HAKMEM_SCAVENGER", "0" };
	struct guest guest[] = {
		{ "fork", rest_fork, "fork beside the scavenger", on[0], on[1], true, 0 },
		{ "bare", rest_bare, "_Fork beside the scavenger", on[0], on[1], true, 0 },
		{ "clone", rest_clone, "clone beside the scavenger", on[0], on[1], true, 0 },
		{ "vfork", rest_vfork, "vfork beside the scavenger", on[0], on[1], false, 0 },
		{ "alone-bare", busy_bare, "_Fork beside busy threads, no scavenger", off[0], off[1], true, 0 },
		{ "alone-clone", busy_clone, "clone beside busy threads, no scavenger", off[0], off[1], true, 0 },
		{ "busy-bare", busy_bare, "_Fork beside busy threads", on[0], on[1], true, 0 },
		{ "busy-clone", busy_clone, "clone beside busy threads", on[0], on[1], true, 0 },
		{ "busy-vfork", busy_vfork, "vfork beside busy threads", on[0], on[1], false, 0 },
	};

	return guest_main(argc, argv, guest, sizeof guest / sizeof *guest);
}
