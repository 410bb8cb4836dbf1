/*
 * What the benchmark programs share: options, threads, random numbers, blocks
 * that are really used, and the report.
 *
 * The programs call plain malloc and free and are not linked against HAKMEM:
 * the same binary runs under every allocator through LD_PRELOAD. Their own
 * tables come from mmap, so that the heap holds what is measured and nothing
 * else.
 */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

enum bench_unit { BENCH_COUNT, BENCH_BYTES };	/* what k, m and g multiply by */

struct bench_option {
	const char *name;		/* NULL ends a table */
	enum bench_unit unit;
	uint64_t *value;		/* holds the default at the start */
	uint64_t least, most;
	const char *help;
	const char *const *names;	/* NULL, or words for 0 to most */
};

extern uint64_t bench_threads, bench_seed, bench_quiet_ms;

/* Reads argv into the table and into bench_threads, bench_seed and bench_quiet_ms. */
void bench_start(int argc, char **argv, const char *about,
		 const struct bench_option *table);
_Noreturn void bench_die(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

double bench_now(void);
void *bench_map(size_t bytes);		/* zeroed, touched only when used */
uint64_t bench_resident_kb(void);

struct bench_worker {
	unsigned number;
	uint64_t random;
	uint64_t ops;			/* calls to malloc and to free */
	void **slots;
	double start, end;
	pthread_t id;
};

typedef void bench_part(struct bench_worker *);

/*
 * Runs the three parts in each of bench_threads workers and returns the
 * seconds from the first start to the last end of work. prepare and finish
 * may be NULL. All workers have prepared before one works, and all have
 * worked before one finishes.
 */
double bench_run(struct bench_worker *workers, bench_part *prepare,
		 bench_part *work, bench_part *finish);
struct bench_worker *bench_workers(void);
uint64_t bench_seed_for(unsigned number);
uint64_t bench_ops(const struct bench_worker *workers);

struct bench_extra {
	const char *name;		/* NULL ends a list */
	const uint64_t *value;		/* read when it is reported */
};

/*
 * A wait of --quiet milliseconds without a call, at the end of which the
 * resident memory is noted. Every thread that should be alive meanwhile calls it.
 */
void bench_quiet(void);

/*
 * One line, or readable text without --json. extra may be NULL. Waits in quiet
 * if the program has not.
 */
void bench_report(uint64_t ops, double seconds, const struct bench_extra *extra);

/* Runs the parts in new workers, and reports; with: also these figures. */
void bench_all(bench_part *prepare, bench_part *work, bench_part *finish);
void bench_all_with(bench_part *prepare, bench_part *work, bench_part *finish, const struct bench_extra *extra);

static inline uint64_t bench_random(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dULL;
}

/* 0 .. below-1, from 32 bits of a random number: no division. */
static inline uint64_t bench_scale(uint64_t random, uint64_t below)
{
	return (uint64_t)(uint32_t)random * below >> 32;
}

/* Below 1 << (most_bits + 1); every power of two is as likely as the next. */
static inline size_t bench_log_between(uint64_t random, unsigned least_bits, unsigned most_bits)
{
	uint64_t low = 1ULL << (least_bits + bench_scale(random, most_bits - least_bits + 1));

	return low + (random >> 32) % low;
}

/* For bench_log_between: the powers of two from the smallest size to the largest. */
static inline void bench_bits(uint64_t smallest, uint64_t largest, unsigned *least_bits, unsigned *most_bits)
{
	*least_bits = 63 - (unsigned)__builtin_clzl(smallest);
	*most_bits = 63 - (unsigned)__builtin_clzl(largest < smallest ? smallest : largest);
	if (*most_bits > *least_bits)
		--*most_bits;
}

static inline size_t bench_between(uint64_t random, uint64_t least, uint64_t most)
{
	return least + bench_scale(random, most - least + 1);
}

typedef uint64_t __attribute__((aligned(1), may_alias)) bench_word;

enum { BENCH_STEP = 4096, BENCH_LEAST = sizeof(bench_word) };

static inline void *bench_got(void *p, size_t size)
{
	if (__builtin_expect(!p, 0))
		bench_die("no memory for %zu bytes", size);
	return p;
}

/*
 * A block with a mark in its first and last word. The last is written first:
 * in a block of 9 to 15 bytes the two overlap, and the first is the one that
 * bench_drop reads.
 */
static inline void *bench_block(size_t size, uint64_t mark)
{
	char *p = (char *)bench_got(malloc(size), size);

	*(bench_word *)(p + size - sizeof(bench_word)) = mark;
	*(bench_word *)p = mark;
	return p;
}

/* As above, and one word in each step between: every page is resident. */
static inline void *bench_block_paged(size_t size, uint64_t mark)
{
	char *p = (char *)bench_block(size, mark);
	size_t at;

	for (at = BENCH_STEP; at + sizeof(bench_word) < size; at += BENCH_STEP)
		*(bench_word *)(p + at) = mark;
	return p;
}

static inline void bench_drop(void *p, uint64_t mark)
{
	if (__builtin_expect(*(bench_word *)p != mark, 0))
		bench_die("block %p was overwritten while in use", p);
	free(p);
}

#endif
