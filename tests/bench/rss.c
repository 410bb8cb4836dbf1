/*
 * How much memory a program holds in all its ages. It grows to a given size
 * of live data, small and middle-sized objects mixed; replaces objects at
 * random; frees most of them at random; then makes no call for --quiet
 * milliseconds. Reports the resident memory just after freeing, and at the end.
 */
#include "common.h"

static uint64_t size = 1 << 30, churn = 200, freed = 90;

static const struct bench_option options[] = {
	{ "size", BENCH_BYTES, &size, 1 << 16, UINT64_MAX / 2, "bytes live at the peak, all threads", NULL },
	{ "churn", BENCH_COUNT, &churn, 0, 1000000, "objects replaced, in percent of all", NULL },
	{ "freed", BENCH_COUNT, &freed, 0, 100, "objects freed before the idle age, in percent", NULL },
	{ 0 },
};

static uint64_t after_free_kb, live_kb;

/* About 30, 26 and 44 percent of the bytes. */
static size_t pick(uint64_t r)
{
	uint64_t share = bench_scale(r >> 32, 100);

	if (share < 90)
		return 16 + bench_scale(r, 256 - 16);
	if (share < 99)
		return 256 + bench_scale(r, 2048 - 256);
	return 2048 + bench_scale(r, 32768 - 2048);
}

static void work(struct bench_worker *w)
{
	uint64_t most = size / bench_threads, live = 0, count = 0, i, at, r;
	uint64_t room = most / 64 + 64;

	w->slots = (void **)bench_map(room * sizeof *w->slots);
	for (; live < most && count < room; count++, w->ops++) {
		size_t bytes = pick(bench_random(&w->random));

		w->slots[count] = bench_block_paged(bytes, bytes);
		live += bytes;
	}
	for (i = count * churn / 100; i; i--, w->ops += 2) {
		r = bench_random(&w->random);
		at = bench_scale(r >> 32, count);
		r = pick(bench_random(&w->random));
		/* The mark of a block is its size: here the old one is not needed. */
		live -= *(bench_word *)w->slots[at];
		free(w->slots[at]);
		w->slots[at] = bench_block_paged(r, r);
		live += r;
	}
	for (i = count * freed / 100; i; i--, w->ops++) {
		at = bench_scale(bench_random(&w->random), count);
		live -= *(bench_word *)w->slots[at];
		free(w->slots[at]);
		w->slots[at] = w->slots[--count];
	}
	__atomic_fetch_add(&live_kb, live / 1024, __ATOMIC_RELAXED);
}

static void rest(struct bench_worker *w)
{
	if (!w->number)
		after_free_kb = bench_resident_kb();
	bench_quiet();
}

int main(int argc, char **argv)
{
	bench_quiet_ms = 2000;
	bench_start(argc, argv, "Grows, churns, frees most, idles; reports resident memory.",
		    options);
	bench_all_with(NULL, work, rest, (struct bench_extra[]){
		{ "freed_rss_kb", &after_free_kb },
		{ "idle_live_kb", &live_kb },
		{ 0 },
	});
	return 0;
}
