/*
 * fork while other threads allocate. The child has one thread and a heap that
 * was copied in mid-flight; it must allocate, free its parent's blocks and
 * start threads. A child that hangs is ended by its alarm and counted.
 */
#include "child.h"
#include "heap.h"

#include <pthread.h>
#include <stdatomic.h>

enum { NOISY = 4, BLOCKS = 400 };

static _Atomic bool stop;
static _Atomic unsigned long faults;
static uint64_t seed;
static _Atomic(void *) exchange[64];

/* Every path a thread can be on when fork strikes: all kinds, other threads' blocks too. */
static void *noise(void *arg)
{
	uint64_t random = seed + (uintptr_t)arg;
	void *own[200] = { NULL };
	size_t i;

	while (!stop) {
		i = random_below(&random, 200);
		if (!own[i])
			own[i] = malloc(random_size(&random, i % 50 ? 4000 : 600000));
		else if (i % 4)
			own[i] = realloc(own[i], random_size(&random, 3000));
		else
			own[i] = atomic_exchange(&exchange[random_below(&random, 64)], own[i]);
		if (i % 3 == 0) {
			free(own[i]);
			own[i] = NULL;
		}
	}
	for (i = 0; i < 200; i++)
		free(own[i]);
	return NULL;
}

static struct { void *p; size_t size; } parents[BLOCKS];

static void fill_parents(void)
{
	uint64_t random = seed;
	size_t i;

	for (i = 0; i < BLOCKS; i++) {
		parents[i].size = random_size(&random, i % 20 ? 3000 : 400000);
		parents[i].p = hide(malloc(parents[i].size));
		fill(parents[i].p, parents[i].size, i);
	}
}

static void free_parents(void)
{
	size_t i;

	for (i = 0; i < BLOCKS; i++) {
		if (!filled(parents[i].p, parents[i].size, i))
			faults++;
		if (i % 3 == 0)
			parents[i].p = hide(realloc(parents[i].p, parents[i].size * 2));
		free(parents[i].p);
	}
}

static void use_heap(uint64_t random, int calls)
{
	enum { HOLD = 100 };
	struct { void *p; size_t size; } own[HOLD] = { { NULL, 0 } };
	size_t i;

	while (calls--) {
		i = random_below(&random, HOLD);
		if (own[i].p) {
			if (!filled(own[i].p, own[i].size, i))
				faults++;
			free(own[i].p);
			own[i].p = NULL;
		} else {
			own[i].size = random_size(&random, 100000);
			own[i].p = hide(malloc(own[i].size));
			if (!own[i].p) {
				faults++;
				continue;
			}
			fill(own[i].p, own[i].size, i);
		}
	}
	for (i = 0; i < HOLD; i++)
		free(own[i].p);
}

static void *use_heap_thread(void *unused)
{
	use_heap(seed ^ 77, 2000);
	return unused;
}

static void threads_in_child(void)
{
	pthread_t id[3];
	int i;

	for (i = 0; i < 3; i++)
		if (pthread_create(&id[i], NULL, use_heap_thread, NULL))
			_exit(94);
	for (i = 0; i < 3; i++)
		pthread_join(id[i], NULL);
}

/* Blocks of the parent's other threads: the child frees some of those as well. */
static void free_exchange(void)
{
	size_t i;

	for (i = 0; i < 64; i++)
		free(atomic_exchange(&exchange[i], NULL));
}

/* Ends with what pid's end says: 0 only if it ended well. */
static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return 96;
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

static void nested(int depth)
{
	pid_t pid;

	use_heap(seed + (uint64_t)depth, 300);
	if (depth == 0)
		return;
	pid = fork();
	if (pid == 0) {
		tap_watch(30);
		nested(depth - 1);
		_exit(faults != 0);
	}
	if (pid < 0 || wait_for(pid))
		faults++;
	use_heap(seed + (uint64_t)depth, 300);
}

enum what { PLAIN, THREADS, NESTED, EXITS };

static void child(enum what what, uint64_t random)
{
	tap_watch(30);
	faults = 0;
	use_heap(random, 500);
	free_parents();
	free_exchange();
	if (what == THREADS)
		threads_in_child();
	if (what == NESTED)
		nested(3);
	use_heap(random + 1, 500);
	malloc_trim(0);
	if (what == EXITS)
		exit(faults != 0);
	_exit(faults != 0);
}

static int fork_one(enum what what, uint64_t random)
{
	pid_t pid = fork();

	if (pid == 0)
		child(what, random);
	return pid < 0 ? 95 : wait_for(pid);
}

static void storm(enum what what, unsigned long forks, const char *name)
{
	unsigned long n, bad = 0;
	uint64_t random = seed;
	int last = 0;

	for (n = 0; n < forks; n++) {
		int result = fork_one(what, random_next(&random));

		bad += result != 0;
		last = result ? result : last;
		use_heap(random, 50);
	}
	if (!ok(bad == 0, "%s", name))
		diag("%lu of %lu children failed, the last with %d (128 + signal)", bad, forks, last);
}

static pthread_barrier_t together;
static _Atomic int last_bad;

/* All fork in between; none starts or ends then: the case below does that. */
static void *storm_in_thread(void *bad)
{
	uint64_t random = seed + (uintptr_t)&random;
	int n, result;

	pthread_barrier_wait(&together);
	for (n = 0; n < 20; n++) {
		result = fork_one(n % 2 || emulator() ? PLAIN : THREADS, random_next(&random));
		if (result) {
			++*(_Atomic unsigned long *)bad;
			last_bad = result;
		}
	}
	pthread_barrier_wait(&together);
	return NULL;
}

/* Several threads fork at once. Their children start threads where LACK_FORK does not forbid it. */
static void storm_in_threads(void)
{
	static _Atomic unsigned long bad;
	pthread_t id[3];
	int i;

	pthread_barrier_init(&together, NULL, 4);
	for (i = 0; i < 3; i++)
		if (pthread_create(&id[i], NULL, storm_in_thread, &bad))
			bail("cannot start a thread");
	pthread_barrier_wait(&together);
	pthread_barrier_wait(&together);
	for (i = 0; i < 3; i++)
		pthread_join(id[i], NULL);
	if (!ok(bad == 0, "three threads fork at once"))
		diag("%lu children failed, the last with %d (128 + signal)", (unsigned long)bad, last_bad);
}

static void *start_threads(void *unused)
{
	pthread_t id;

	while (!stop)
		if (pthread_create(&id, NULL, use_heap_thread, NULL) || pthread_join(id, NULL))
			bail("cannot start a thread");
	return unused;
}

/* The child gets caches that their threads were just taking or giving back. */
static void storm_while_threads_start(void)
{
	const char *name = "fork while threads start and end";
	pthread_t id[2];
	int i;

#ifdef __SANITIZE_ADDRESS__
	skip(name, "AddressSanitizer's own heap, used as a thread starts, stays locked in the child");
	return;
#endif
	if (emulator_fails(LACK_FORK, name))
		return;
	for (i = 0; i < 2; i++)
		if (pthread_create(&id[i], NULL, start_threads, NULL))
			bail("cannot start a thread");
	storm(THREADS, tap_rounds(60), name);
	stop = true;
	for (i = 0; i < 2; i++)
		pthread_join(id[i], NULL);
}

/* In the child, blocks of threads that no longer exist are freed and memory stays bounded. */
static void orphans_in_child(void *unused)
{
	size_t before = resident();
	int round;

	(void)unused;
	for (round = 0; round < 50; round++) {
		enum { N = 20000 };
		static void *p[N];
		int i;

		for (i = 0; i < N; i++)
			p[i] = hide(malloc(100));
		for (i = 0; i < N; i++)
			free(p[i]);
	}
	free_parents();
	free_exchange();
	if (resident() > before + 32 * MB || faults)
		_exit(1);
}

/*
 * pthread_atfork handlers that use the heap, on all three sides: registered
 * before and after the library's own.
 */
static _Atomic unsigned long handled;

static void handler(void)
{
	void *p = hide(malloc(500)), *q = hide(malloc(50000));

	if (!p || !q)
		faults++;
	free(q);
	free(p);
	handled++;
}

static void early_atfork(void)
{
	pthread_atfork(handler, handler, handler);
}

__attribute__((section(".preinit_array"), used)) static void (*const preinit)(void) = early_atfork;

int main(void)
{
	pthread_t id[NOISY];
	uintptr_t i;

	tap_start();
	seed = tap_seed();
	fill_parents();
	storm(PLAIN, tap_rounds(100), "fork from a single thread");
	storm(NESTED, tap_rounds(20), "forks within forks");
	child_ok(orphans_in_child, NULL, 60, "a child's heap does not grow without need");
	pthread_atfork(handler, handler, handler);
	for (i = 0; i < NOISY; i++)
		if (pthread_create(&id[i], NULL, noise, (void *)i))
			bail("cannot start a thread");
	storm(PLAIN, tap_rounds(200), "fork while four threads allocate");
	if (!emulator_fails(LACK_FORK, "the child starts threads of its own"))
		storm(THREADS, tap_rounds(60), "the child starts threads of its own");
	storm(NESTED, tap_rounds(25), "the child forks again, three deep");
	storm(EXITS, tap_rounds(25), "the child ends by exit");
	storm_in_threads();
	child_ok(orphans_in_child, NULL, 60, "a child frees what lost threads left");
	ok(handled > 0, "atfork handlers may allocate");
	storm_while_threads_start();	/* and sets stop */
	stop = true;
	for (i = 0; i < NOISY; i++)
		pthread_join(id[i], NULL);
	faults = 0;
	free_parents();
	ok(faults == 0, "the parent's blocks are untouched after all that");
	return tap_end();
}
