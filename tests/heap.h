/* Shared by the heap tests: random numbers, contents of blocks, and the size of the process. */
#ifndef TESTS_HEAP_H
#define TESTS_HEAP_H

#include "emulated.h"

#include "os/glibc.h"
#include <pthread.h>

/* splitmix64, which is small and accepts any seed. */
TAP_UNUSED static uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

TAP_UNUSED static size_t random_below(uint64_t *state, size_t bound)
{
	return (size_t)(random_next(state) % bound);
}

/* A size up to most; small sizes are much more frequent. */
TAP_UNUSED static size_t random_size(uint64_t *state, size_t most)
{
	size_t cap = (size_t)16 << random_below(state, 40);

	if (cap > most || cap < 16)
		cap = (size_t)16 << random_below(state, 8);
	if (cap > most)
		cap = most;
	return random_below(state, cap) + 1;
}

/* Every byte of a block depends on the key and on its position. */
TAP_UNUSED static void fill(void *block, size_t size, uint64_t key)
{
	unsigned char *p = (unsigned char *)block;
	uint64_t word = key * 0x9e3779b97f4a7c15u | 1;
	size_t i;

	for (i = 0; i + 8 <= size; i += 8, word += 0x0101010101010107u)
		memcpy(p + i, &word, 8);
	memcpy(p + i, &word, size - i);
}

/* True if the first size bytes are those that fill has written. */
TAP_UNUSED static bool filled(const void *block, size_t size, uint64_t key)
{
	const unsigned char *p = (const unsigned char *)block;
	uint64_t word = key * 0x9e3779b97f4a7c15u | 1, seen;
	size_t i;

	for (i = 0; i + 8 <= size; i += 8, word += 0x0101010101010107u) {
		memcpy(&seen, p + i, 8);
		if (seen != word)
			return false;
	}
	return memcmp(p + i, &word, size - i) == 0;
}

TAP_UNUSED static bool all_zero(const void *block, size_t size)
{
	const unsigned char *p = (const unsigned char *)block;

	return size == 0 || (p[0] == 0 && memcmp(p, p + 1, size - 1) == 0);
}

/* Bytes from /proc/self/statm: field 0 is the address space, 1 resident memory, 5 data. */
static size_t statm(int field)
{
	char text[128], *at = text;
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		bail("cannot read /proc/self/statm");
	text[n] = 0;
	while (field-- > 0)
		strtoul(at, &at, 10);
	return strtoul(at, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

TAP_UNUSED static size_t resident(void)
{
	return emulator() ? emulated_memory(true) : statm(1);
}

TAP_UNUSED static size_t address_space(void)
{
	return emulator() ? emulated_memory(false) : statm(0);
}

/* The writable address space, without reserved ranges. */
TAP_UNUSED static size_t writable_space(void)
{
	return emulator() ? emulated_memory(false) : statm(5);
}

/* Allows the process to grow by at most this much. */
TAP_UNUSED static void limit(int resource, size_t more)
{
	struct rlimit l;

	l.rlim_cur = l.rlim_max = statm(resource == RLIMIT_AS ? 0 : 5) + more;
	if (setrlimit((__rlimit_resource_t)resource, &l))
		bail("setrlimit: errno %d", errno);
}

/* Allocates small blocks, enough to reach the slow path repeatedly. */
TAP_UNUSED static void small_activity(void)
{
	static void *p[2000];
	int i;

	for (i = 0; i < 2000; i++)
		p[i] = malloc(64);
	for (i = 0; i < 2000; i++)
		free(p[i]);
}

/* Is this a profile that learns? It releases free memory while the program is idle or, as
 * long as the process has no second thread, as it frees. */
TAP_UNUSED static bool learning_profile(void)
{
	const char *profile = getenv("HAKMEM_PROFILE");

	return profile && strcmp(profile, "default");
}

#define KB ((size_t)1 << 10)
#define MB ((size_t)1 << 20)
#define GB ((size_t)1 << 30)

static void *free_it(void *p)
{
	free(p);
	return NULL;
}

TAP_UNUSED static void free_elsewhere(void *p)
{
	pthread_t t;

	if (pthread_create(&t, NULL, free_it, p) != 0)
		_exit(3);
	pthread_join(t, NULL);
}

/* Not truncated first: the library may read the file at any moment. */
TAP_UNUSED static void rewrite_file(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(3);
	close(fd);
}

#endif
