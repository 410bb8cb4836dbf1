/*
 * Conclusions from the runs. Rounds are interleaved, and contenders are compared within each
 * round, which removes the effect of other load on the machine:
 *
 *	score = ln(time) + ln(time-averaged memory) / 2
 *
 * So 10 % of time weigh as much as 20 % of memory. The program as it is takes part twice; the
 * difference between the two is noise.
 *
 * One contender is clearly better than another if the median of the differences is at least 2
 * % and exceeds both their spread and the noise, if the medians of the figures agree with
 * that, and if at most one in eight rounds disagrees: by chance, five of five rounds agree
 * once in 32 times. A recommended profile is clearly better than the program as it is, both
 * times.
 *
 * Time is wall-clock time. If other processes use the processors, it is processor time,
 * unless the program mostly waits.
 */
#include "cmd/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_ROUNDS = 5 };
static const double least = 0.02;		/* the smallest difference worth a recommendation */
static const double shortest = 0.1;		/* seconds; shorter runs have no percentages */
static const double busy = 0.1;			/* share of the processors used by others */

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Interpolates between the two nearest values; the values are sorted. */
static double quantile(const double *sorted, unsigned count, double share)
{
	double place = share * (count - 1);
	unsigned i = (unsigned)place;

	return i + 1 < count ? sorted[i] + (sorted[i + 1] - sorted[i]) * (place - i) : sorted[i];
}

static double half_distance(const double *sorted, unsigned count)
{
	return (quantile(sorted, count, 0.75) - quantile(sorted, count, 0.25)) / 2;
}

double median(double *values, unsigned count)
{
	qsort(values, count, sizeof *values, ascending);
	return quantile(values, count, 0.5);
}

static double *figures_of(const struct comparison *c, unsigned which, enum figure f)
{
	double *values = grow(NULL, c->rounds * sizeof *values);
	unsigned i;

	for (i = 0; i < c->rounds; i++)
		values[i] = c->list[which].run[i].figure[f];
	qsort(values, c->rounds, sizeof *values, ascending);
	return values;
}

double median_of(const struct comparison *c, unsigned which, enum figure f)
{
	double *values = figures_of(c, which, f), result = quantile(values, c->rounds, 0.5);

	free(values);
	return result;
}

double spread_of(const struct comparison *c, unsigned which, enum figure f)
{
	double *values = figures_of(c, which, f), middle = quantile(values, c->rounds, 0.5);
	double half = half_distance(values, c->rounds);

	free(values);
	return middle > 0 ? half / middle : 0;
}

static double log_of(const struct run *r, enum figure f)
{
	const double tick = f == AVERAGE ? 1 : 1e-4;

	return log(r->figure[f] > tick ? r->figure[f] : tick);
}

static double score(const struct run *r, enum figure time)
{
	return log_of(r, time) + log_of(r, AVERAGE) / 2;
}

/* The median of the differences between two contenders over the rounds, and their spread by
 * chance. */
struct difference {
	double middle, spread;
	unsigned agree;			/* rounds in which the first has less */
};

static struct difference differ(const struct comparison *c, unsigned a, unsigned b,
				double (*of)(const struct run *r, enum figure f), enum figure f)
{
	double *values = grow(NULL, c->rounds * sizeof *values);
	struct difference d = { 0 };
	unsigned i;

	for (i = 0; i < c->rounds; i++) {
		values[i] = of(&c->list[a].run[i], f) - of(&c->list[b].run[i], f);
		d.agree += values[i] < 0;
	}
	d.middle = median(values, c->rounds);
	d.spread = half_distance(values, c->rounds);
	free(values);
	return d;
}

static double noise_of(const struct comparison *c, double (*of)(const struct run *r, enum figure f), enum figure f)
{
	struct difference d = differ(c, AS_IT_IS, AGAIN, of, f);
	double middle = fabs(d.middle);

	return middle > d.spread ? middle : d.spread;
}

static double ratio(const struct comparison *c, unsigned a, unsigned b, enum figure f)
{
	double below = median_of(c, b, f);

	return below > 0 ? median_of(c, a, f) / below : 1;
}

static bool clearly_better(const struct comparison *c, unsigned a, unsigned b, enum figure time)
{
	struct difference d = differ(c, a, b, score, time);
	double medians = log(ratio(c, a, b, time)) + log(ratio(c, a, b, AVERAGE)) / 2;

	return c->rounds >= LEAST_ROUNDS && d.middle <= -least && d.middle < -d.spread &&
	       d.middle < -noise_of(c, score, time) && medians < 0 && d.agree >= c->rounds - c->rounds / 8;
}

static double median_score(const struct comparison *c, unsigned which, enum figure time)
{
	double *values = grow(NULL, c->rounds * sizeof *values), result;
	unsigned i;

	for (i = 0; i < c->rounds; i++)
		values[i] = score(&c->list[which].run[i], time);
	result = median(values, c->rounds);
	free(values);
	return result;
}

static char *in_words(const struct comparison *c, unsigned which, enum figure time)
{
	return text("%+.1f %% %s, %+.1f %% memory against %s", ratio(c, which, AS_IT_IS, time) * 100 - 100,
		    time == CPU ? "CPU time" : "time", ratio(c, which, AS_IT_IS, AVERAGE) * 100 - 100,
		    allocator_name(c->list[AS_IT_IS].other));
}

static bool is_profile(const struct comparison *c, unsigned which)
{
	return c->list[which].kind == PROFILE && !c->list[which].fault;
}

/* Among profiles that are as good as the best, the first in the table is recommended: the
 * table begins with the simplest. */
static void recommend(struct advice *a, const struct comparison *c, unsigned best)
{
	unsigned i, ties = 0;
	char *words;

	for (i = 0; i < c->count; i++)
		if (is_profile(c, i) && !clearly_better(c, best, i, a->time) && !ties++)
			a->best = (int)i;
	words = in_words(c, (unsigned)a->best, a->time);
	a->reason = text("%s: %s%s", c->list[a->best].name, words,
			 ties > 1 ? "; other profiles are as good, this is the simplest of them" : "");
	free(words);
}

/* Does the program run, or wait for a processor, at least half of the time? */
static bool works(const struct comparison *c)
{
	double *share = grow(NULL, c->rounds * sizeof *share), middle;
	unsigned i;

	for (i = 0; i < c->rounds; i++) {
		const struct run *r = &c->list[AS_IT_IS].run[i];

		share[i] = (r->figure[CPU] + r->delay) / r->figure[WALL];
	}
	middle = median(share, c->rounds);
	free(share);
	return middle >= 0.5;
}

static enum figure deciding(const struct comparison *c)
{
	return c->others > busy && works(c) ? CPU : WALL;
}

static void judge_measured(struct advice *a, const struct comparison *c)
{
	int best = -1;
	unsigned i;
	char *words;

	a->time = deciding(c);
	a->brief = median_of(c, AS_IT_IS, WALL) < shortest;
	a->noise_time = exp(noise_of(c, log_of, a->time)) - 1;
	a->noise_memory = exp(noise_of(c, log_of, AVERAGE)) - 1;
	for (i = 0; i < c->count; i++)
		if (is_profile(c, i) &&
		    (best < 0 || median_score(c, i, a->time) < median_score(c, (unsigned)best, a->time)))
			best = (int)i;
	if (best < 0) {
		a->reason = text("no profile ran this program to its end");
		return;
	}
	if (a->brief) {
		a->reason = text("no recommendation: a run takes less than %.1f s, and starting is most of it; "
				 "give it more work", shortest);
		return;
	}
	words = in_words(c, (unsigned)best, a->time);
	if (c->rounds < LEAST_ROUNDS)
		a->reason = text("no clear winner: it takes at least %d rounds, -n %d (%s: %s)", LEAST_ROUNDS,
				 LEAST_ROUNDS, c->list[best].name, words);
	else if (!clearly_better(c, (unsigned)best, AS_IT_IS, a->time) ||
		 !clearly_better(c, (unsigned)best, AGAIN, a->time))
		a->reason = text("no clear winner: no profile is ahead of %s by more than the noise "
				 "(best is %s, %s; more rounds may tell: -n %u)",
				 allocator_name(c->list[AS_IT_IS].other), c->list[best].name, words, 3 * c->rounds);
	else
		recommend(a, c, (unsigned)best);
	free(words);
}

struct advice judge(const struct comparison *c)
{
	struct advice a = { .best = -1, .time = WALL, .brief = true };

	if (c->list[AS_IT_IS].fault || c->list[AGAIN].fault)
		a.reason = text("nothing to recommend: the program does not succeed as it is");
	else
		judge_measured(&a, c);
	return a;
}
