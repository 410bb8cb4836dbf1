/*
 * A heap to be looked at: writes what the library says of it as JSON and XML,
 * says so on standard output, and waits. heap DIRECTORY; with a second argument
 * threads allocate while it waits, and with "ended" its main thread ends.
 */
#include <hakmem/hakmem.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void to_file(void *argument, const char *text, size_t length)
{
	fwrite(text, 1, length, argument);
}

static void *some_blocks(void *argument)
{
	void *volatile p;
	size_t i;

	(void)argument;
	for (i = 0; i < 3000; i++) {
		p = malloc(i * 37 % 60000);
		if (i % 3)
			free(p);
	}
	return NULL;
}

static void *for_ever(void *argument)
{
	for (;;) {
		void *volatile p[1000];
		size_t i;

		for (i = 0; i < 1000; i++)
			p[i] = malloc(i);
		for (i = 0; i < 1000; i++)
			free(p[i]);
	}
	return argument;
}

/* Nothing between the two reports may allocate. */
static FILE *file(const char *directory, const char *name, char *buffer, size_t size)
{
	char path[4096];
	FILE *out;

	snprintf(path, sizeof path, "%s/%s", directory, name);
	out = fopen(path, "w");
	if (!out)
		exit(99);
	setvbuf(out, buffer, _IOFBF, size);
	return out;
}

int main(int argc, char **argv)
{
	static char buffer[2][65536];
	void *volatile large = malloc(5 << 20), *volatile huge = malloc(50 << 20);
	FILE *json = file(argv[1], "json", buffer[0], sizeof buffer[0]);
	FILE *xml = file(argv[1], "xml", buffer[1], sizeof buffer[1]);
	pthread_t thread;

	pthread_create(&thread, NULL, some_blocks, NULL);
	pthread_join(thread, NULL);
	some_blocks(NULL);
	free(large);
	if (argc > 2)
		pthread_create(&thread, NULL, for_ever, NULL);
	hak_stats_json(to_file, json);
	malloc_info(0, xml);
	fflush(json);
	fflush(xml);
	if (write(STDOUT_FILENO, "ready\n", 6) != 6)
		return 1;
	if (argc > 2 && !strcmp(argv[2], "ended"))
		pthread_exit(NULL);
	pause();
	free(huge);
	return 0;
}
