/*
 * What a process keeps after a burst. It fills a heap with blocks of three
 * sizes, frees all but one in twenty, and then makes no call for --quiet
 * milliseconds. Reports the resident memory before and after the blocks are
 * freed, and at the end.
 */
#include "common.h"

static uint64_t blocks = 300000, kept = 20;

static const struct bench_option options[] = {
	{ "blocks", BENCH_COUNT, &blocks, 6, UINT32_MAX, "half of 512 bytes, a third of 1024, a sixth of 2048", NULL },
	{ "kept", BENCH_COUNT, &kept, 1, UINT32_MAX, "one in so many stays in use", NULL },
	{ 0 },
};

static uint64_t filled_kb, freed_kb;

static size_t size_of(uint64_t number)
{
	return number < blocks / 2 ? 512 : number < blocks / 2 + blocks / 3 ? 1024 : 2048;
}

static void work(struct bench_worker *w)
{
	uint64_t i;

	w->slots = (void **)bench_map(blocks * sizeof *w->slots);
	for (i = 0; i < blocks; i++)
		w->slots[i] = bench_block_paged(size_of(i), size_of(i));
	if (!w->number)
		filled_kb = bench_resident_kb();
	for (i = 0; i < blocks; i++)
		if (i % kept)
			free(w->slots[i]);
	w->ops = blocks * 2 - blocks / kept;
}

static void rest(struct bench_worker *w)
{
	if (!w->number)
		freed_kb = bench_resident_kb();
	bench_quiet();
}

int main(int argc, char **argv)
{
	bench_quiet_ms = 10000;
	bench_start(argc, argv, "Fills a heap, frees most of it, and makes no further call.", options);
	bench_all_with(NULL, work, rest, (struct bench_extra[]){
		{ "filled_rss_kb", &filled_kb },
		{ "freed_rss_kb", &freed_kb },
		{ 0 },
	});
	return 0;
}
