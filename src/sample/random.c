#include "sample/random.h"

#include <string.h>

#define LN2 0.69314718055994530942

/* splitmix64 (Steele, Lea & Flood, OOPSLA 2014). */
uint64_t hk_random_next(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15u;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* -ln(n / 2^53), for n of 1 to 2^53. */
static double minus_log(uint64_t n)
{
	unsigned top = 63 - (unsigned)__builtin_clzll(n);
	uint64_t bits = (n << (63 - top) << 1 >> 12) | (uint64_t)1023 << 52;
	double m, t, square, sum = 0;
	int odd;

	/* n = m * 2^top, and ln m = 2 artanh t. */
	memcpy(&m, &bits, sizeof m);
	t = (m - 1) / (m + 1);
	square = t * t;
	for (odd = 31; odd > 0; odd -= 2)
		sum = sum * square + 1.0 / odd;
	return (53 - (int)top) * LN2 - 2 * t * sum;
}

int64_t hk_random_distance(uint64_t *state, size_t mean)
{
	return (int64_t)(minus_log((hk_random_next(state) >> 11) + 1) * (double)mean);
}

/* 1 - exp(-x), for x of 0 to 1/16. */
static double small(double x)
{
	double sum = 0;
	int n;

	for (n = 10; n > 0; n--)
		sum = (1 - sum) * x / n;
	return sum;
}

double hk_sample_probability(size_t size, size_t mean)
{
	double x = (double)size / (double)mean, p;
	unsigned doublings = 0;

	if (x > 64)
		return 1;
	for (; x > 1.0 / 16; x /= 2)
		doublings++;
	for (p = small(x); doublings; doublings--)
		p *= 2 - p;
	return p > 0 ? p : 1;
}

uint64_t hk_sample_weight(size_t size, size_t mean)
{
	return (uint64_t)((double)size / hk_sample_probability(size, mean) + 0.5);
}
