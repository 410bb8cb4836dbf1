/*
 * Random calls of every kind against a shadow of the heap: a sorted list of
 * what is live. Any overlap, lost byte, wrong alignment or short block shows.
 */
#include "heap.h"

enum { MOST = 3000 };

static struct live {
	uintptr_t start, end;	/* the usable bytes */
	size_t size;		/* as asked for: what is filled */
	uint64_t key;
} live[MOST];
static int count;
static uint64_t random_state;
static const char *fault;

/* Where the block that starts at p is, or would be. */
static int place(uintptr_t p)
{
	int low = 0, high = count;

	while (low < high) {
		int middle = (low + high) / 2;

		if (live[middle].start < p)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void enter(void *block, size_t size, size_t alignment)
{
	uintptr_t p = (uintptr_t)block;
	struct live new = { p, p + malloc_usable_size(block), size, random_next(&random_state) };
	int i = place(p);

	if (new.end - p < size)
		fault = "a block is shorter than asked for";
	if (p % alignment || p % 16)
		fault = "a block is misaligned";
	if (i < count && live[i].start < new.end)
		fault = "a block reaches into the next one";
	if (i > 0 && live[i - 1].end > p)
		fault = "a block starts inside another";
	memmove(&live[i + 1], &live[i], (size_t)(count - i) * sizeof *live);
	live[i] = new;
	count++;
	fill(block, size, new.key);
}

/* Checks and strikes out block i. */
static void *leave(int i, size_t kept)
{
	void *block = (void *)live[i].start;

	if (!filled(block, kept, live[i].key))
		fault = "a block lost its contents";
	if (malloc_usable_size(block) != live[i].end - live[i].start)
		fault = "the usable size of a block changed";
	count--;
	memmove(&live[i], &live[i + 1], (size_t)(count - i) * sizeof *live);
	return block;
}

static void get(size_t most)
{
	size_t size = random_size(&random_state, most), alignment = 16;
	void *p = NULL;

	switch (random_below(&random_state, 8)) {
	case 0:
		p = calloc(1, size);
		if (p && !all_zero(p, size))
			fault = "calloc gave dirty memory";
		break;
	case 1:
		alignment <<= random_below(&random_state, 12);
		p = memalign(alignment, size);
		break;
	case 2:
		alignment <<= random_below(&random_state, 4);
		if (posix_memalign(&p, alignment, size))
			p = NULL;
		break;
	case 3:
		p = realloc(hide(NULL), size);
		break;
	default:
		p = malloc(size);
	}
	if (!p)
		fault = "no memory";
	else
		enter(hide(p), size, alignment);
}

static void drop(int i)
{
	free(leave(i, live[i].size));
}

static void resize(int i, size_t most)
{
	struct live old = live[i];
	size_t size = random_size(&random_state, most), kept = size < old.size ? size : old.size;
	void *block = leave(i, old.size), *p = hide(realloc(block, size));

	if (!p) {
		fault = "no memory";
		return;
	}
	if (!filled(p, kept, old.key))
		fault = "realloc lost contents";
	enter(p, size, 16);
}

static void check_all(void)
{
	int i;

	for (i = 0; i < count; i++)
		if (!filled((void *)live[i].start, live[i].size, live[i].key))
			fault = "a block was overwritten";
}

/* hold: how many blocks to settle at. The heap swells and empties in turn. */
static void play(const char *name, unsigned long calls, int hold, size_t most)
{
	unsigned long n;

	fault = NULL;
	for (n = 0; n < calls && !fault; n++) {
		int target = n / 8192 % 4 == 3 ? hold / 10 : hold;
		size_t dice = random_below(&random_state, 100);

		if (count == 0 || (count < MOST - 1 && dice < (count < target ? 60u : 30u)))
			get(most);
		else if (dice < 75)
			drop((int)random_below(&random_state, (size_t)count));
		else
			resize((int)random_below(&random_state, (size_t)count), most);
		if (n % 16384 == 0)
			check_all();
	}
	check_all();
	if (!ok(!fault, "%s", name))
		diag("call %lu: %s", n, fault);
	fault = NULL;
	while (count)
		drop((int)random_below(&random_state, (size_t)count));
	if (fault)
		ok(false, "%s, at the end: %s", name, fault);
}

static const char wide_name[] = "blocks in a heap wider than 4 GiB";

/* Blocks that lie 4 GiB and more apart, freed in turn: no look-up may mix them up. */
static void wide(void)
{
	enum { APART = 4200, N = 200000 };
	static char *early[N], *late[N];
	static void *between[APART];
	bool good = true;
	int i, round;

	for (i = 0; i < N; i++)
		early[i] = (char *)hide(malloc(100));
	for (i = 0; i < APART; i++)
		good &= (between[i] = hide(malloc(MB))) != NULL;
	for (i = 0; i < N; i++)
		late[i] = (char *)hide(malloc(100));
	for (round = 0; round < 3; round++) {
		for (i = 0; i < N; i++) {
			fill(early[i], 100, (uint64_t)i);
			fill(late[i], 100, (uint64_t)i + N);
		}
		for (i = 0; i < N; i++) {
			good &= filled(early[i], 100, (uint64_t)i) &&
				filled(late[i], 100, (uint64_t)i + N);
			free(early[i]);
			free(late[i]);
			late[i] = (char *)hide(malloc(100));
			early[i] = (char *)hide(malloc(100));
			fill(early[i], 100, (uint64_t)i);
			fill(late[i], 100, (uint64_t)i + N);
		}
	}
	for (i = 0; i < N; i++) {
		free(early[i]);
		free(late[i]);
	}
	for (i = 0; i < APART; i++)
		free(between[i]);
	ok(good, "%s", wide_name);
}

int main(void)
{
	tap_start();
	random_state = tap_seed();
	play("tiny blocks, few at a time", tap_rounds(1000000), 30, 256);
	play("tiny blocks, many", tap_rounds(1000000), MOST - 1, 2048);
	play("sizes to 40000, past the largest class", tap_rounds(400000), 2000, 40000);
	play("page runs", tap_rounds(60000), 200, 500000);
	play("all kinds up to 8 MiB", tap_rounds(20000), 60, 8 << 20);
	play("tiny again, in what the others left", tap_rounds(500000), MOST - 1, 1024);
	if (sizeof(void *) > 4)
		wide();
	else
		skip(wide_name, "addresses have 32 bits");
	return tap_end();
}
