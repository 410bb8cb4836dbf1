/*
 * malloc before main: from the executable's preinit functions, which run
 * before any library is initialised, and from constructors of the highest
 * priority, threads included; and after main, from atexit and destructors.
 */
#include "child.h"
#include "heap.h"

#include <pthread.h>

enum { EARLY = 300 };

static void *pre[EARLY], *early[EARLY], *plain[EARLY], *threaded[EARLY];
static bool thread_started;

static void take(void **out, uint64_t key)
{
	size_t i;

	for (i = 0; i < EARLY; i++) {
		out[i] = i % 3 ? malloc(i * i % 5000 + 1) : calloc(1, i * i % 5000 + 1);
		if (out[i])
			fill(out[i], i * i % 5000 + 1, key + i);
		free(hide(malloc(i * 20)));
	}
}

static bool give_back(void **in, uint64_t key)
{
	bool good = true;
	size_t i;

	for (i = 0; i < EARLY; i++) {
		good &= in[i] && filled(in[i], i * i % 5000 + 1, key + i);
		if (i % 2)
			in[i] = hide(realloc(in[i], 7000));
		free(in[i]);
	}
	return good;
}

/* A thread that begins and ends before any library's constructor. */
enum { LEFT = 200000 };

static void *left[LEFT];

static void *leave_behind(void *unused)
{
	size_t i;

	for (i = 0; i < LEFT; i++) {
		left[i] = malloc(200);
		if (left[i])
			memset(left[i], 1, 200);
	}
	return unused;
}

static void before_libraries(void)
{
	pthread_t id;

	take(pre, 1);
	if (pthread_create(&id, NULL, leave_behind, NULL) == 0)
		pthread_join(id, NULL);
}

static bool used_again(void)
{
	size_t before = resident(), i;

	for (i = 0; i < LEFT; i++)
		free(left[i]);
	leave_behind(NULL);
	for (i = 0; i < LEFT; i++)
		free(left[i]);
	return resident() < before + 16 * MB;
}

__attribute__((section(".preinit_array"), used)) static void (*const preinit)(void) = before_libraries;

static void *in_thread(void *unused)
{
	take(threaded, 3);
	return unused;
}

__attribute__((constructor(101))) static void at_101(void)
{
	pthread_t id;

	take(early, 2);
	thread_started = pthread_create(&id, NULL, in_thread, NULL) == 0 && pthread_join(id, NULL) == 0;
}

__attribute__((constructor)) static void at_default(void)
{
	take(plain, 4);
}

/* After main: the heap still serves, and blocks of main may be freed. */
static bool leaving;
static void *of_main[EARLY];

static void say(const char *word)
{
	if (write(STDERR_FILENO, word, strlen(word)) < 0)
		_exit(97);
}

static void at_exit_function(void)
{
	if (!leaving)
		return;
	if (give_back(of_main, 5))
		say("atexit ");
	take(of_main, 6);
}

__attribute__((destructor(101))) static void last_destructor(void)
{
	if (!leaving)
		return;
	if (give_back(of_main, 6))
		say("destructor");
}

static void *linger(void *unused)
{
	void *p[64] = { NULL };
	size_t i;

	for (i = 0;; i++) {
		free(p[i % 64]);
		p[i % 64] = malloc(i * 7 % 3000);
	}
	return unused;
}

static void leave(void *with_threads)
{
	leaving = true;
	atexit(at_exit_function);
	take(of_main, 5);
	if (with_threads) {
		pthread_t id;
		int i;

		for (i = 0; i < 3; i++)
			pthread_create(&id, NULL, linger, NULL);
		usleep(10000);
	}
	exit(7);
}

static void exit_case(void *with_threads, const char *name)
{
	struct child c = child_run(leave, with_threads, 60);

	if (!ok(WIFEXITED(c.status) && WEXITSTATUS(c.status) == 7 && !strcmp(c.err, "atexit destructor"),
		"%s", name))
		child_diag(&c);
}

/* A thread ends by pthread_exit of main: the process goes on in the other. */
static void *after_main(void *arg)
{
	void **blocks = (void **)arg;

	usleep(20000);
	_exit(give_back(blocks, 5) ? 0 : 1);
}

static void main_thread_exits(void *unused)
{
	pthread_t id;

	take(of_main, 5);
	pthread_create(&id, NULL, after_main, of_main);
	pthread_exit(unused);
}

int main(void)
{
	tap_start();
	ok(give_back(pre, 1), "blocks from before any library's constructor");
	ok(give_back(early, 2), "blocks from a constructor of priority 101");
	ok(thread_started && give_back(threaded, 3), "blocks from a thread started there");
	ok(give_back(plain, 4), "blocks from a plain constructor");
	ok(used_again(), "what a thread from before the constructors left is used again");
	exit_case(NULL, "malloc and free in atexit functions and destructors");
	exit_case(of_main, "the same while other threads still allocate");
	child_ok(main_thread_exits, NULL, 60, "main ends by pthread_exit, another thread frees its blocks");
	return tap_end();
}
