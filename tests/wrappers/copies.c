/* As tracers of copies do. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* No large blocks: with HAKMEM_HARDEN each is cleared. */
static void use_heap(void)
{
	static unsigned turn;
	/* volatile: or the compiler drops the pair. */
	char *volatile p = malloc(turn++ % 2 ? 20 : 5000);

	if (!p)
		abort();
	free(p);
}

/* volatile: or the compiler makes calls of these loops. */
void *memcpy(void *to, const void *from, size_t size)
{
	volatile char *out = to;
	const char *in = from;
	size_t i;

	for (i = 0; i < size; i++)
		out[i] = in[i];
	use_heap();
	return to;
}

void *memmove(void *to, const void *from, size_t size)
{
	volatile char *out = to;
	const char *in = from;
	size_t i;

	for (i = 0; i < size; i++)
		if ((uintptr_t)to <= (uintptr_t)from)
			out[i] = in[i];
		else
			out[size - 1 - i] = in[size - 1 - i];
	use_heap();
	return to;
}

void *memset(void *at, int value, size_t size)
{
	volatile char *out = at;
	size_t i;

	for (i = 0; i < size; i++)
		out[i] = (char)value;
	use_heap();
	return at;
}
