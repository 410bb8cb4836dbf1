/*
 * Strings and vectors that grow by realloc: random ones of a set get some
 * bytes more, and start again when they have reached their limit. A factor of
 * 100 makes every growth exactly what is needed, as a string does that keeps
 * no reserve.
 */
#include "common.h"

#include <string.h>

static uint64_t growths = 10000000, buffers = 1000, limit = 4096, step = 64, factor = 100;

static const struct bench_option options[] = {
	{ "growths", BENCH_COUNT, &growths, 0, UINT64_MAX, "appends by each thread", NULL },
	{ "buffers", BENCH_COUNT, &buffers, 1, UINT32_MAX, "that grow at a time", NULL },
	{ "limit", BENCH_BYTES, &limit, 64, UINT64_MAX / 1024, "bytes in a full buffer", NULL },
	{ "step", BENCH_BYTES, &step, 1, UINT32_MAX, "most bytes appended at once", NULL },
	{ "factor", BENCH_COUNT, &factor, 100, 1000, "capacity is multiplied by so many percent", NULL },
	{ 0 },
};

struct buffer {
	unsigned char *bytes;
	size_t used, room;
};

static unsigned char mark(const struct buffer *b, size_t at)
{
	return (unsigned char)((uintptr_t)b / sizeof *b ^ at >> 4);
}

static void finish(struct buffer *b, struct bench_worker *w)
{
	size_t at;

	for (at = 0; at < b->used; at += 4096)
		if (b->bytes[at] != mark(b, at))
			bench_die("byte %zu of buffer %p is wrong", at, (void *)b->bytes);
	free(b->bytes);
	w->ops++;
	*b = (struct buffer){ 0 };
}

static void append(struct buffer *b, size_t more, struct bench_worker *w)
{
	size_t from = b->used, at;

	b->used += more;
	if (b->used > b->room) {
		b->room = b->room * factor / 100;
		if (b->room < b->used)
			b->room = b->used;
		b->bytes = (unsigned char *)bench_got(realloc(b->bytes, b->room), b->room);
		w->ops++;
	}
	memset(b->bytes + from, 0x55, more);
	for (at = (from + 4095) / 4096 * 4096; at < b->used; at += 4096)
		b->bytes[at] = mark(b, at);
}

static void work(struct bench_worker *w)
{
	struct buffer *all = (struct buffer *)bench_map(buffers * sizeof *all);
	uint64_t left, i;

	for (left = growths; left--;) {
		uint64_t r = bench_random(&w->random);
		struct buffer *b = &all[bench_scale(r >> 32, buffers)];

		if (b->used >= limit)
			finish(b, w);
		append(b, bench_between(r, 1, step), w);
	}
	for (i = 0; i < buffers; i++)
		finish(&all[i], w);
}

int main(int argc, char **argv)
{
	bench_start(argc, argv, "Grows buffers by realloc.", options);
	bench_all(NULL, work, NULL);
	return 0;
}
