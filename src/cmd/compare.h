/*
 * What hakmem compare consists of: one run (measure.c), what is in its processes while it
 * runs (watch.c), the figures of many and what follows from them (judge.c), tables
 * (report.c) and pictures (plot.c).
 */
#ifndef HK_CMD_COMPARE_H
#define HK_CMD_COMPARE_H

#include "cmd/cmd.h"

#include <limits.h>
#include <stdint.h>

/* watch.c: a child of the command that reads a program and its descendants and reports
 * to the command through a pipe. */
struct watcher {
	pid_t program;
	bool ready;		/* report once when the program waits for clients */
	bool orphans;		/* those of the command belong to the program too */
	const pid_t *apart;	/* children of the command that do not; ends in 0 */
};

/* What is in the largest of the processes. */
struct identity {
	uint8_t valid, ours;
	uint32_t others;		/* a bit for each, see allocator_of */
	char program[PATH_MAX];
};

struct sight {
	double when, bytes;		/* PSS of all processes together */
	double shared;			/* how much more their RSS is */
	double delay;			/* seconds that they waited for a processor */
	uint8_t ready, several, partly;
};

struct watch {
	pid_t child;			/* or -1 */
	int in;				/* sights, each written at once; non-blocking */
	struct identity *identity;	/* written by the child: not to be trusted */
};
bool watch_begin(struct watch *w, const struct watcher *what);
void watch_end(struct watch *w);
/* The children of a process, which may have ended meanwhile, in a list that ends in 0. */
pid_t *children_of(pid_t pid);

/* measure.c */
enum figure { WALL, CPU, PEAK, AVERAGE, FAULTS, FIGURES };

struct sample {
	double when;			/* seconds from the start */
	double bytes;
};

struct run {
	double figure[FIGURES];		/* seconds, bytes, counts */
	char *fault;			/* how it failed, or NULL */
	char *words;			/* what it wrote last, or NULL */
	struct sample *curve;		/* memory over time */
	unsigned samples;
	double delay;			/* seconds of waiting for a processor, about */
	bool partly;			/* memory of some processes is RSS */
	struct identity identity;
};

struct subject {
	char *const *argv;
	const char *load;		/* a command that drives a server, or NULL */
	const char *prepare;		/* a command before each run, or NULL */
	const char *input;		/* the path of the standard input */
};

/* Installs handlers: a signal ends the current run, and the command continues. */
void measure_begin(void);
bool measure_interrupted(void);
/* False: interrupted, or prepare failed, which was said. */
bool measure(struct run *r, const struct subject *s, char *const *environment);
void run_free(struct run *r);

enum kind { AS_IT_IS, AGAIN, C_LIBRARY, PROFILE, PEER };

struct contender {
	enum kind kind;
	char *name;
	int other;			/* the allocator, see allocator_of; -1: HAKMEM or glibc */
	char **environment;
	struct run *run;		/* one for each round */
	char *fault;			/* why it has no figures, or NULL */
};

/* judge.c: the list starts with the program as it is and the same again. */
struct comparison {
	struct contender *list;
	unsigned count, rounds;		/* rounds: complete ones */
	double others;			/* the share of the processors that others used */
};
double median(double *values, unsigned count);		/* and sorts them */
double median_of(const struct comparison *c, unsigned which, enum figure f);
/* Half of the distance between the quartiles, as a share of the median. */
double spread_of(const struct comparison *c, unsigned which, enum figure f);

struct advice {
	int best;			/* a contender, or -1: no clear winner */
	char *reason;
	enum figure time;		/* WALL or CPU decides */
	bool brief;			/* too short for any percentage */
	double noise_time, noise_memory;	/* shares; of no use if brief */
};
struct advice judge(const struct comparison *c);

struct setting {
	char *command;			/* printable */
	char *machine, *date;
	char *const *set;		/* of -s, or NULL */
};

struct outcome {
	const struct comparison *c;
	const struct advice *advice;
	const struct setting *setting;
};

/* report.c */
void report_table(const struct outcome *o);
void report_json(const struct outcome *o, char *const *argv);
void report_markdown(FILE *out, const void *outcome);

/* plot.c: memory over time in the last round, as SVG. */
void plot(FILE *out, const void *outcome);

#endif
