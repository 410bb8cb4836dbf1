/* The arithmetic of samples, without libm. */
#ifndef HK_SAMPLE_RANDOM_H
#define HK_SAMPLE_RANDOM_H

#include <stddef.h>
#include <stdint.h>

/* The next random number of a generator with this state, which may be any number. */
uint64_t hk_random_next(uint64_t *state);

/* An exponentially distributed distance, rounded down. */
int64_t hk_random_distance(uint64_t *state, size_t mean);

/* The probability that a block of this size is sampled, more than 0. */
double hk_sample_probability(size_t size, size_t mean);

/* The bytes that a sampled block stands for. */
uint64_t hk_sample_weight(size_t size, size_t mean);

#endif
