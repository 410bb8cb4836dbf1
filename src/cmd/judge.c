/*
 * What follows from the runs. Rounds are interleaved, so contenders are
 * compared round by round, which takes out what the machine did meanwhile:
 *
 *	score = ln(wall) + ln(time-averaged RSS) / 2
 *
 * that is, 10 % of time count like 20 % of memory. One is clearly better than
 * another if the median of the differences is at least 2 % and more than their
 * spread, the medians of the figures say the same, and all rounds agree but
 * one in eight: by chance, five of five do so once in 32 times.
 */
#include "cmd/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Between the two nearest; the values are sorted. */
static double quantile(const double *sorted, unsigned count, double share)
{
	double place = share * (count - 1);
	unsigned i = (unsigned)place;

	return i + 1 < count ? sorted[i] + (sorted[i + 1] - sorted[i]) * (place - i) : sorted[i];
}

double median(double *values, unsigned count)
{
	qsort(values, count, sizeof *values, ascending);
	return quantile(values, count, 0.5);
}

static double *figures_of(const struct contender *c, unsigned rounds, enum figure f)
{
	double *values = grow(NULL, rounds * sizeof *values);
	unsigned i;

	for (i = 0; i < rounds; i++)
		values[i] = c->run[i].figure[f];
	qsort(values, rounds, sizeof *values, ascending);
	return values;
}

double median_of(const struct contender *c, unsigned rounds, enum figure f)
{
	double *values = figures_of(c, rounds, f), result = quantile(values, rounds, 0.5);

	free(values);
	return result;
}

double spread_of(const struct contender *c, unsigned rounds, enum figure f)
{
	double *values = figures_of(c, rounds, f), middle = quantile(values, rounds, 0.5);
	double half = (quantile(values, rounds, 0.75) - quantile(values, rounds, 0.25)) / 2;

	free(values);
	return middle > 0 ? half / middle : 0;
}

static double score(const struct run *r)
{
	double memory = r->figure[AVERAGE] > 0 ? r->figure[AVERAGE] : 1;

	return log(r->figure[WALL]) + log(memory) / 2;
}

enum { LEAST_ROUNDS = 5 };

static bool clearly_better(const struct contender *a, const struct contender *b, unsigned rounds)
{
	const double least = 0.02;
	double *difference = grow(NULL, rounds * sizeof *difference), middle, spread, medians;
	unsigned i, agree = 0;

	for (i = 0; i < rounds; i++) {
		difference[i] = score(&a->run[i]) - score(&b->run[i]);
		agree += difference[i] < 0;
	}
	middle = median(difference, rounds);
	spread = (quantile(difference, rounds, 0.75) - quantile(difference, rounds, 0.25)) / 2;
	free(difference);
	medians = log(median_of(a, rounds, WALL) / median_of(b, rounds, WALL)) +
		  log(median_of(a, rounds, AVERAGE) / median_of(b, rounds, AVERAGE)) / 2;
	return rounds >= LEAST_ROUNDS && middle <= -least && middle < -spread && medians < 0 &&
	       agree >= rounds - rounds / 8;
}

static double median_score(const struct contender *c, unsigned rounds)
{
	double *values = grow(NULL, rounds * sizeof *values), result;
	unsigned i;

	for (i = 0; i < rounds; i++)
		values[i] = score(&c->run[i]);
	result = median(values, rounds);
	free(values);
	return result;
}

static char *in_words(const struct contender *c, const struct contender *base, unsigned rounds)
{
	double time = median_of(c, rounds, WALL) / median_of(base, rounds, WALL) * 100 - 100;
	double memory = median_of(c, rounds, AVERAGE) / median_of(base, rounds, AVERAGE) * 100 - 100;

	return text("%+.1f %% time, %+.1f %% memory against %s", time, memory, base->name);
}

/* Of profiles that are as good as the best the first in the table is taken:
 * the table begins with the simplest. */
struct advice judge(const struct contender *list, unsigned count, unsigned rounds)
{
	struct advice a = { .best = -1 };
	int best = -1;
	unsigned i, ties = 0;
	char *words;

	for (i = 1; i < count; i++)
		if (list[i].profile >= 0 && !list[i].broken &&
		    (best < 0 || median_score(&list[i], rounds) < median_score(&list[best], rounds)))
			best = (int)i;
	if (best < 0) {
		a.reason = text("no profile ran this program to its end");
		return a;
	}
	words = in_words(&list[best], &list[0], rounds);
	if (rounds < LEAST_ROUNDS) {
		a.reason = text("no clear winner: it takes at least %d rounds, -n %d (%s: %s)", LEAST_ROUNDS,
				LEAST_ROUNDS, list[best].name, words);
		free(words);
		return a;
	}
	if (!clearly_better(&list[best], &list[0], rounds)) {
		a.reason = text("no clear winner: no profile is ahead of glibc by more than the rounds differ "
				"(best is %s, %s; more rounds may tell: -n %u)", list[best].name, words, 3 * rounds);
		free(words);
		return a;
	}
	for (i = 1; i < count; i++) {
		if (list[i].profile < 0 || list[i].broken || clearly_better(&list[best], &list[i], rounds))
			continue;
		if (!ties++)
			a.best = (int)i;
	}
	free(words);
	words = in_words(&list[a.best], &list[0], rounds);
	a.reason = text("%s: %s%s", list[a.best].name, words,
			ties > 1 ? "; other profiles are as good, this is the simplest of them" : "");
	free(words);
	return a;
}
