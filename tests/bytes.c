/* Compares the library's own memset and similar functions (os/bytes.h) with libc's. */
#include "heap.h"

#include "os/os.h"

enum { SIZE = 2048, ROUNDS = 20000 };
static unsigned char ours[SIZE], theirs[SIZE];
static uint64_t seed;

static size_t below(size_t bound)
{
	return random_below(&seed, bound);
}

/* Small sizes, and those that string instructions serve. */
static size_t any_size(void)
{
	return below(2) ? below(40) : below(SIZE / 2);
}

static bool same(void)
{
	return memcmp(ours, theirs, SIZE) == 0;
}

static void refill(void)
{
	size_t i;

	for (i = 0; i < SIZE; i++)
		ours[i] = theirs[i] = (unsigned char)below(256);
}

static bool sets(void)
{
	size_t at = below(SIZE / 2), size = any_size();
	int byte = (int)below(256);

	memset(theirs + at, byte, size);
	return hk_memset(ours + at, byte, size) == ours + at && same();
}

static bool moves(void)
{
	size_t from = below(SIZE / 2), near = from + below(32), size = any_size();
	size_t to = below(2) ? below(SIZE / 2) : near > SIZE / 2 ? SIZE / 2 : near;

	if (below(2)) {
		size_t other = from;

		from = to;
		to = other;
	}
	memmove(theirs + to, theirs + from, size);
	return hk_memmove(ours + to, ours + from, size) == ours + to && same();
}

static bool clears(void)
{
	size_t at = below(SIZE / 2) & ~(size_t)15, size = any_size();

	memset(theirs + at, 0, size);
	hk_block_clear(ours + at, size);
	return same();
}

static int sign(int n)
{
	return (n > 0) - (n < 0);
}

static bool compares(void)
{
	size_t at = below(SIZE / 2), size = any_size(), other = at + below(SIZE / 2);
	bool good;

	ours[other] ^= (unsigned char)below(2);
	good = sign(hk_memcmp(ours + at, theirs + at, size)) == sign(memcmp(ours + at, theirs + at, size)) &&
	       hk_memchr(ours + at, theirs[other], size) == memchr(ours + at, theirs[other], size);
	ours[other] = theirs[other];
	return good;
}

/* The texts consist of few different characters, so that they have parts in common. */
static void make_text(char *text, size_t most)
{
	size_t length = below(most), i;

	for (i = 0; i < length; i++)
		text[i] = below(20) ? "aab\xff"[below(4)] : 'c';
	text[i] = 0;
}

static bool searches(void)
{
	char a[64], b[8];
	size_t most = below(70);
	int byte;

	make_text(a, sizeof a);
	make_text(b, below(2) ? 3 : sizeof b);
	byte = below(8) ? b[0] : 0;
	return hk_strlen(a) == strlen(a) && hk_strnlen(a, most) == strnlen(a, most) &&
	       sign(hk_strcmp(a, b)) == sign(strcmp(a, b)) && sign(hk_strncmp(a, b, most)) == sign(strncmp(a, b, most)) &&
	       hk_strchr(a, byte) == strchr(a, byte) && hk_strrchr(a, byte) == strrchr(a, byte) &&
	       hk_strstr(a, b) == strstr(a, b) && hk_strcmp(a, a) == 0;
}

static void repeat(bool (*once)(void), const char *name)
{
	int round;

	refill();
	for (round = 0; round < ROUNDS && once(); round++)
		;
	ok(round == ROUNDS, "%s", name);
}

int main(void)
{
	free(hide(malloc(1)));		/* or the linker would drop the rest of the library */
	tap_start();
	seed = tap_seed();
	repeat(sets, "memset");
	repeat(moves, "memmove, with parts that overlap");
	repeat(clears, "clearing a block");
	repeat(compares, "memcmp and memchr");
	repeat(searches, "strlen, strcmp, strchr, strstr and similar functions");
	return tap_end();
}
