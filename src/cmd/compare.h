/* What hakmem compare consists of: one run (measure.c), the figures of many
 * and what follows from them (judge.c), pictures (plot.c). */
#ifndef HK_CMD_COMPARE_H
#define HK_CMD_COMPARE_H

#include "cmd/cmd.h"

enum figure { WALL, CPU, PEAK, AVERAGE, FAULTS, FIGURES };

struct sample {
	double when;		/* seconds from the start */
	double bytes;
};

struct run {
	double figure[FIGURES];	/* seconds, bytes, counts */
	int status;		/* as of the shell: 128 + signal */
	struct sample *curve;	/* RSS over time */
	unsigned samples;
};

struct contender {
	char *name;
	int profile;		/* its place in the table, or -1 */
	char **environment;
	struct run *run;	/* one for each round */
	bool broken;		/* ended otherwise than the baseline */
};

/* load: a command of the shell that drives the program as a server, or NULL.
 * input: a path to give it as standard input. */
struct run measure(char *const *argv, const struct contender *c, const char *load, const char *input);

/* Statistics over the rounds; the list starts with the baseline, glibc. */
double median(double *values, unsigned count);		/* and sorts them */
double median_of(const struct contender *c, unsigned rounds, enum figure f);
/* Half of the distance between the quartiles, as a share of the median. */
double spread_of(const struct contender *c, unsigned rounds, enum figure f);

struct advice {
	int best;		/* a contender, or -1: no clear winner */
	char *reason;
};
struct advice judge(const struct contender *list, unsigned count, unsigned rounds);

/* True: drawn; else a message. can_plot says before hours of runs. */
bool can_plot(const char *path);
bool plot(const char *path, const struct contender *list, unsigned count, unsigned round,
	  const char *title);

#endif
