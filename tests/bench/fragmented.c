/*
 * A heap that has been in use for long. Before it is measured, the live set
 * grows and shrinks many times, each time with another mix of sizes and with
 * survivors of the times before. Measured is what follows: blocks of the set
 * are replaced at random, and then no call is made for --quiet milliseconds
 * while the set lives.
 */
#include "common.h"

static uint64_t size = 128 << 20, ages = 60, kept = 20, operations = 10000000;

static const struct bench_option options[] = {
	{ "size", BENCH_BYTES, &size, 1 << 16, UINT64_MAX / 2, "most bytes that live, all threads", NULL },
	{ "ages", BENCH_COUNT, &ages, 0, 1000000, "before it is measured", NULL },
	{ "kept", BENCH_COUNT, &kept, 0, 100, "blocks that outlive an age, in percent", NULL },
	{ "operations", BENCH_COUNT, &operations, 0, UINT64_MAX, "measured, of each thread", NULL },
	{ 0 },
};

/* In an age, the sizes are spread over some powers of two, and the next ages shift them. */
enum { LEAST_BITS = 4, SPREAD_BITS = 5, SHIFTS = 5, MEASURED_SHIFT = 2 };

struct set {
	uint64_t count, live, most;
	unsigned shift;
};

static struct set *sets;
static uint64_t live_kb, used_kb;

/* The mark of a block is its size. */
static size_t make(struct bench_worker *w, void **slot, unsigned shift)
{
	unsigned least = LEAST_BITS + shift;
	size_t bytes = bench_log_between(bench_random(&w->random), least, least + SPREAD_BITS);

	*slot = bench_block_paged(bytes, bytes);
	return bytes;
}

static size_t drop(void *block)
{
	size_t bytes = *(bench_word *)block;

	free(block);
	return bytes;
}

static void replace(struct bench_worker *w, struct set *s)
{
	void **slot = &w->slots[bench_scale(bench_random(&w->random), s->count)];

	s->live -= drop(*slot);
	s->live += make(w, slot, s->shift);
}

static void grow(struct bench_worker *w, struct set *s)
{
	while (s->live < s->most)
		s->live += make(w, &w->slots[s->count++], s->shift);
}

/* Grows, replaces some and frees most, which leaves gaps for sizes that come later. */
static void age(struct bench_worker *w, struct set *s)
{
	uint64_t i, at;

	grow(w, s);
	for (i = s->count / 2; i; i--)
		replace(w, s);
	for (i = s->count * (100 - kept) / 100; i; i--) {
		at = bench_scale(bench_random(&w->random), s->count);
		s->live -= drop(w->slots[at]);
		w->slots[at] = w->slots[--s->count];
	}
	s->shift = (s->shift + 1) % SHIFTS;
}

static void prepare(struct bench_worker *w)
{
	struct set *s = &sets[w->number];
	uint64_t i;

	s->most = size / bench_threads;
	w->slots = (void **)bench_map(((s->most >> LEAST_BITS) + 1) * sizeof *w->slots);
	for (i = 0; i < ages; i++)
		age(w, s);
	s->shift = MEASURED_SHIFT;
	grow(w, s);
}

static void work(struct bench_worker *w)
{
	uint64_t left = operations / 2;

	w->ops = left * 2;
	while (left--)
		replace(w, &sets[w->number]);
}

static void rest(struct bench_worker *w)
{
	struct set *s = &sets[w->number];
	uint64_t i;

	__atomic_fetch_add(&live_kb, s->live / 1024, __ATOMIC_RELAXED);
	if (!w->number)
		used_kb = bench_resident_kb();
	bench_quiet();
	for (i = 0; i < s->count; i++)
		drop(w->slots[i]);
}

int main(int argc, char **argv)
{
	bench_quiet_ms = 2000;
	bench_start(argc, argv, "Measures a heap that long churn has fragmented.", options);
	sets = (struct set *)bench_map(bench_threads * sizeof *sets);
	bench_all_with(prepare, work, rest, (struct bench_extra[]){
		{ "used_rss_kb", &used_kb },
		{ "live_kb", &live_kb },
		{ 0 },
	});
	return 0;
}
