/* For tests that have the library inside: says which block of this thread is sampled next. */
#ifndef TESTS_SAMPLER_H
#define TESTS_SAMPLER_H

#include "cache/internal.h"
#include "sample/random.h"

TAP_UNUSED static void set_sampler(struct hk_sampler *s, int64_t left, uint64_t random)
{
	s->started = true;
	s->left = left;
	s->random = random;
}

/* Calls set for the sampler of each Tiny class, and for that of all larger blocks. Blocks that are
 * already counted are returned. */
TAP_UNUSED static void each_sampler(void (*set)(struct hk_sampler *s, uint64_t argument), uint64_t argument)
{
	struct hk_cache *cache = hk_enter();
	unsigned class;

	if (!cache)
		bail("the heap cannot be entered");
	set(&cache->sampler, argument);
	for (class = 0; hk_cache_private(cache) && class < HK_TINY_CLASSES; class++) {
		hk_hide(cache, class);
		set(&cache->shown[class].sampler, argument + class + 1);
	}
	hk_leave(cache);
	/* The compiler assumes that malloc reads no variable of this file. */
	__asm__ volatile("" ::: "memory");
}

static void set_due(struct hk_sampler *s, uint64_t unused)
{
	(void)unused;
	set_sampler(s, 0, s->random);
}

/* The next block of each Tiny class is sampled, and the next larger block. */
TAP_UNUSED static void sample_next(void)
{
	each_sampler(set_due, 0);
}

static void set_far(struct hk_sampler *s, uint64_t unused)
{
	(void)unused;
	set_sampler(s, INT64_MAX / 2, s->random);
}

TAP_UNUSED static void sample_none(void)
{
	each_sampler(set_far, 0);
}

static void set_sequence(struct hk_sampler *s, uint64_t number)
{
	int64_t left = hk_random_distance(&number, hk_sample_mean);

	set_sampler(s, left, number);
}

/* This thread starts its countdowns with these random sequences. */
TAP_UNUSED static void seed(uint64_t number)
{
	each_sampler(set_sequence, number * 1000);
}

#endif
