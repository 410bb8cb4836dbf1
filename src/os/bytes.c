/*
 * The functions that os/bytes.h describes. They are called on slow paths, so they are short rather
 * than fast; large blocks of the program are cleared and copied by libc (block.c).
 */
#define HK_LIBC_BYTES	/* otherwise debuggers would name each of these memset and so on */
#include "os/os.h"

#if HK_OWN_BYTES

/* used: the compiler sees no calls, because the assembler replaces the names. */
#define OWN HK_HIDDEN __attribute__((used))

/* Hides a loop from the compiler, which could replace it by a call of the same function. */
#define HIDE(x) __asm__("" : "+r"(x))

typedef uintptr_t word __attribute__((aligned(1), may_alias));
enum { WORD = sizeof(word) };

/* From this size on, a string instruction is faster in spite of its start-up time. */
enum { LONG = 512 };

/* These write whole words in ascending order, and return the number of bytes. */
static size_t set_words(char *to, word value, size_t size)
{
	size_t words = size / WORD, i;

#if defined(__x86_64__) && defined(__LP64__)
	if (size >= LONG) {
		__asm__ volatile("rep stosq" : "+D"(to), "+c"(words) : "a"(value) : "memory");
		return size & -(size_t)WORD;
	}
#endif
	for (i = 0; i < words; i++) {
		((word *)(void *)to)[i] = value;
		HIDE(to);
	}
	return words * WORD;
}

static size_t copy_words(char *to, const char *from, size_t size)
{
	size_t words = size / WORD, i;

#if defined(__x86_64__) && defined(__LP64__)
	if (size >= LONG) {
		__asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
		return size & -(size_t)WORD;
	}
#endif
	for (i = 0; i < words; i++) {
		((word *)(void *)to)[i] = ((const word *)(const void *)from)[i];
		HIDE(to);
	}
	return words * WORD;
}

OWN void *hk_memset(void *to, int byte, size_t size)
{
	char *p = to;
	size_t i;

	for (i = set_words(p, (unsigned char)byte * (~(uintptr_t)0 / 255), size); i < size; i++) {
		p[i] = (char)byte;
		HIDE(p);
	}
	return to;
}

/* Each step reads its bytes before it writes, so the parts may overlap in the direction of the
 * copy. */
static void copy_up(char *to, const char *from, size_t size)
{
	size_t i;

	for (i = copy_words(to, from, size); i < size; i++) {
		to[i] = from[i];
		HIDE(to);
	}
}

static void copy_down(char *to, const char *from, size_t size)
{
	while (size % WORD) {
		size--;
		to[size] = from[size];
		HIDE(to);
	}
	while (size) {
		size -= WORD;
		*(word *)(void *)(to + size) = *(const word *)(const void *)(from + size);
		HIDE(to);
	}
}

OWN void *hk_memmove(void *to, const void *from, size_t size)
{
	if ((uintptr_t)to - (uintptr_t)from >= size)
		copy_up(to, from, size);
	else
		copy_down(to, from, size);
	return to;
}

OWN int hk_memcmp(const void *a, const void *b, size_t size)
{
	const unsigned char *p = a, *q = b;

	for (; size >= WORD && *(const word *)(const void *)p == *(const word *)(const void *)q; size -= WORD) {
		p += WORD;
		q += WORD;
		HIDE(p);
	}
	for (; size && *p == *q; size--) {
		p++;
		q++;
		HIDE(p);
	}
	return size ? *p - *q : 0;
}

OWN void *hk_memchr(const void *in, int byte, size_t size)
{
	const unsigned char *p = in;

	for (; size; size--, p++) {
		if (*p == (unsigned char)byte)
			return (void *)(uintptr_t)p;
		HIDE(p);
	}
	return NULL;
}

OWN size_t hk_strnlen(const char *text, size_t most)
{
	size_t length = 0;

	while (length < most && text[length]) {
		length++;
		HIDE(length);
	}
	return length;
}

OWN size_t hk_strlen(const char *text)
{
	return hk_strnlen(text, SIZE_MAX);
}

OWN int hk_strncmp(const char *a, const char *b, size_t most)
{
	for (; most && *a && *a == *b; most--) {
		a++;
		b++;
		HIDE(a);
	}
	return most ? (unsigned char)*a - (unsigned char)*b : 0;
}

OWN int hk_strcmp(const char *a, const char *b)
{
	return hk_strncmp(a, b, SIZE_MAX);
}

/* The first or the last such byte of a string, which includes its final null byte. */
static char *find(const char *text, int byte, bool last)
{
	const char *found = NULL;

	for (;; text++) {
		if (*text == (char)byte) {
			found = text;
			if (!last)
				break;
		}
		if (!*text)
			break;
		HIDE(text);
	}
	return (char *)(uintptr_t)found;
}

OWN char *hk_strchr(const char *text, int byte)
{
	return find(text, byte, false);
}

OWN char *hk_strrchr(const char *text, int byte)
{
	return find(text, byte, true);
}

OWN char *hk_strstr(const char *text, const char *part)
{
	size_t length = hk_strlen(part);

	for (; hk_strncmp(text, part, length); text++)
		if (!*text)
			return NULL;
	return (char *)(uintptr_t)text;
}

OWN void *hk_memset_chk(void *to, int byte, size_t size, size_t room)
{
	if (size > room)
		__builtin_trap();
	return hk_memset(to, byte, size);
}

OWN void *hk_memmove_chk(void *to, const void *from, size_t size, size_t room)
{
	if (size > room)
		__builtin_trap();
	return hk_memmove(to, from, size);
}

#endif
