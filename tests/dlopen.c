/*
 * The library opened with dlopen, in a program that runs on libc's malloc.
 * This program is not linked with it; TEST_LIBRARY is where it was built.
 */
#include "child.h"
#include "heap.h"

#include <link.h>
#include <pthread.h>
#include <stdatomic.h>

static void *(*hak_malloc)(size_t);
static void *(*hak_calloc)(size_t, size_t);
static void *(*hak_realloc)(void *, size_t);
static void (*hak_free)(void *);
static size_t (*hak_usable_size)(void *);
static _Atomic unsigned long faults;

static void *library(int flags)
{
	void *handle = dlopen(TEST_LIBRARY, RTLD_NOW | flags);

	if (!handle)
		bail("dlopen: %s", dlerror());
	*(void **)&hak_malloc = dlsym(handle, "hak_malloc");
	*(void **)&hak_calloc = dlsym(handle, "hak_calloc");
	*(void **)&hak_realloc = dlsym(handle, "hak_realloc");
	*(void **)&hak_free = dlsym(handle, "hak_free");
	*(void **)&hak_usable_size = dlsym(handle, "hak_malloc_usable_size");
	if (!hak_malloc || !hak_calloc || !hak_realloc || !hak_free)
		bail("the hak_ functions are missing");
	return handle;
}

static void use(uint64_t random)
{
	enum { HOLD = 200 };
	struct { void *p; size_t size; } own[HOLD] = { { NULL, 0 } };
	int n;
	size_t i;

	for (n = 0; n < 20000; n++) {
		i = random_below(&random, HOLD);
		if (own[i].p && n % 5 == 0) {
			size_t size = random_size(&random, 50000);

			own[i].p = hak_realloc(own[i].p, size);
			if (!own[i].p || !filled(own[i].p, size < own[i].size ? size : own[i].size, i))
				faults++;
			own[i].size = size;
			fill(own[i].p, size, i);
		} else if (own[i].p) {
			if (!filled(own[i].p, own[i].size, i))
				faults++;
			hak_free(own[i].p);
			own[i].p = NULL;
		} else {
			own[i].size = random_size(&random, 50000);
			own[i].p = n % 2 ? hak_malloc(own[i].size) : hak_calloc(1, own[i].size);
			if (!own[i].p)
				faults++;
			else
				fill(own[i].p, own[i].size, i);
		}
	}
	for (i = 0; i < HOLD; i++)
		hak_free(own[i].p);
}

static pthread_barrier_t used, closed;

static void *use_then_outlive(void *arg)
{
	use((uintptr_t)arg);
	*(void **)arg = hak_malloc(100);
	pthread_barrier_wait(&used);
	pthread_barrier_wait(&closed);
	return NULL;		/* the thread ends when the library was closed */
}

static void close_before_threads_end(void *flags)
{
	enum { N = 6 };
	void *handle = library(*(int *)flags), *left[N];
	pthread_t id[N];
	int i;

	pthread_barrier_init(&used, NULL, N + 1);
	pthread_barrier_init(&closed, NULL, N + 1);
	for (i = 0; i < N; i++)
		if (pthread_create(&id[i], NULL, use_then_outlive, &left[i]))
			_exit(2);
	use(99);
	pthread_barrier_wait(&used);
	for (i = 0; i < N; i++)
		hak_free(left[i]);
	if (dlclose(handle))
		_exit(3);
	pthread_barrier_wait(&closed);
	for (i = 0; i < N; i++)
		pthread_join(id[i], NULL);
	if (faults)
		_exit(1);
	exit(0);
}

static void *use_only(void *arg)
{
	use((uintptr_t)arg);
	return NULL;
}

static void open_and_close(void *unused)
{
	size_t rss = 0, space = 0;
	int round;

	(void)unused;
	for (round = 0; round < 120; round++) {
		void *handle = library(RTLD_LOCAL), *left[2];
		pthread_t id[2];
		int i;

		if (round == 20) {
			rss = resident();
			space = address_space();
		}
		for (i = 0; i < 2; i++)
			if (pthread_create(&id[i], NULL, use_only, &left[i]))
				_exit(2);
		if (round % 2)
			dlclose(handle);
		for (i = 0; i < 2; i++)
			pthread_join(id[i], NULL);
		if (!(round % 2))
			dlclose(handle);
	}
	if (faults)
		_exit(1);
	if (resident() > rss + 16 * MB)
		_exit(4);
	if (address_space() > space + 64 * MB)
		_exit(5);
}

/* Threads that were there before the library get its thread-local storage late. */
static void *wait_then_use(void *arg)
{
	pthread_barrier_wait(&used);
	use((uintptr_t)arg);
	return NULL;
}

static void older_threads(void *unused)
{
	enum { N = 4 };
	void *left[N];
	pthread_t id[N];
	int i;

	(void)unused;
	pthread_barrier_init(&used, NULL, N + 1);
	for (i = 0; i < N; i++)
		if (pthread_create(&id[i], NULL, wait_then_use, &left[i]))
			_exit(2);
	library(RTLD_LOCAL);
	pthread_barrier_wait(&used);
	for (i = 0; i < N; i++)
		pthread_join(id[i], NULL);
	if (faults)
		_exit(1);
}

static void *open_in_thread(void *unused)
{
	library(RTLD_LOCAL);
	use(3);
	return unused;
}

static void opened_by_thread(void *unused)
{
	pthread_t id;

	if (pthread_create(&id, NULL, open_in_thread, NULL))
		_exit(2);
	pthread_join(id, NULL);
	use(4);
	(void)unused;
	if (faults)
		_exit(1);
}

/* libc's own malloc goes on beside it, neither in the other's way. */
static void beside_libc(void *flags)
{
	void *p[300], *q[300], *fresh;
	size_t i;

	for (i = 0; i < 300; i++) {
		p[i] = hide(malloc(i * 20 + 1));
		fill(p[i], i * 20 + 1, i);
	}
	library(*(int *)flags);
	for (i = 0; i < 300; i++) {
		q[i] = hak_malloc(i * 20 + 1);
		fill(q[i], i * 20 + 1, i + 1);
	}
	for (i = 0; i < 300; i++) {
		if (!filled(p[i], i * 20 + 1, i) || !filled(q[i], i * 20 + 1, i + 1))
			_exit(1);
		free(p[i]);
		hak_free(q[i]);
	}
	fresh = hide(malloc(1000000));
	free(fresh);
	use(5);
	if (faults)
		_exit(1);
}

static void fork_with_it(void *unused)
{
	int status = 0;
	pid_t pid;

	(void)unused;
	library(RTLD_LOCAL);
	use(1);
	pid = fork();
	use(2);
	if (pid == 0)
		_exit(faults != 0);
	waitpid(pid, &status, 0);
	if (status || faults)
		_exit(1);
}

static void free_of_libcs(void *unused)
{
	void *p = hide(malloc(100));

	(void)unused;
	library(RTLD_LOCAL);
	use(1);
	expect("hakmem: free(): %p is not a hakmem block", p);
	hak_free(p);
}

/* What the loader may give to thread-local storage of opened libraries is little. */
static int find_tls(struct dl_phdr_info *info, size_t size, void *found)
{
	int i;

	(void)size;
	if (!info->dlpi_name || !strstr(info->dlpi_name, "libhakmem"))
		return 0;
	for (i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_TLS)
			*(size_t *)found = info->dlpi_phdr[i].p_memsz;
	return 1;
}

#ifdef HK_DEBUG
enum { OF_DEBUG = 2 };
#else
enum { OF_DEBUG = 0 };
#endif

int main(void)
{
	static int local = RTLD_LOCAL, global = RTLD_GLOBAL, deep = RTLD_LOCAL | RTLD_DEEPBIND;
	size_t tls = 0;

	tap_watch(300);
	ok(dlsym(RTLD_DEFAULT, "hak_malloc") == NULL, "the program is not linked with the library");
	child_ok(beside_libc, &local, 60, "opened late, beside libc's malloc");
	child_ok(beside_libc, &global, 60, "the same with RTLD_GLOBAL");
	child_ok(beside_libc, &deep, 60, "the same with RTLD_DEEPBIND");
	child_ok(close_before_threads_end, &local, 60, "closed while its threads live, which end later");
	child_ok(close_before_threads_end, &deep, 60, "the same with RTLD_DEEPBIND");
	child_ok(open_and_close, NULL, 120, "opened and closed 120 times without growth");
	child_ok(older_threads, NULL, 60, "threads older than the library use it");
	child_ok(opened_by_thread, NULL, 60, "opened by a thread that ends, used by main");
	child_ok(fork_with_it, NULL, 60, "fork with the library opened");
	child_aborts(free_of_libcs, NULL, "a block of libc's malloc is refused by hak_free");
	library(RTLD_LOCAL);
	dl_iterate_phdr(find_tls, &tls);
	if (!ok(tls > 0 && tls <= 2 * sizeof(void *) + 4 + OF_DEBUG, "its static thread-local storage is two pointers and 4 bytes"))
		diag("%zu bytes", tls);
	return tap_end();
}
