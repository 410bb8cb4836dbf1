/* Wrappers like those of tracers. Each calls malloc, calloc and realloc, which clear and copy. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* No large blocks: with HAKMEM_HARDEN each is cleared. */
static void use_heap(void)
{
	static unsigned turn;
	/* volatile: or the compiler drops the calls. */
	char *volatile p = malloc(turn++ % 2 ? 20 : 5000);
	char *volatile q = calloc(1, turn % 3 ? 100 : 4000);

	p = realloc(p, 6000);
	if (!p || !q || q[99])
		abort();
	free(p);
	free(q);
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

int memcmp(const void *a, const void *b, size_t size)
{
	const volatile unsigned char *p = a, *q = b;
	size_t i;

	use_heap();
	for (i = 0; i < size; i++)
		if (p[i] != q[i])
			return p[i] - q[i];
	return 0;
}

size_t strlen(const char *text)
{
	const volatile char *p = text;
	size_t n = 0;

	while (p[n])
		n++;
	use_heap();
	return n;
}

int strncmp(const char *a, const char *b, size_t most)
{
	const volatile unsigned char *p = (const void *)a, *q = (const void *)b;
	size_t i;

	use_heap();
	for (i = 0; i < most; i++)
		if (p[i] != q[i] || !p[i])
			return p[i] - q[i];
	return 0;
}

int strcmp(const char *a, const char *b)
{
	return strncmp(a, b, PTRDIFF_MAX);
}

/* In parentheses, because it may be a macro. */
char *(strchr)(const char *text, int byte)
{
	const volatile char *p = text;

	use_heap();
	for (;; p++)
		if (*p == (char)byte)
			return (char *)(uintptr_t)p;
		else if (!*p)
			return NULL;
}
