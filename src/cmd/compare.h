/*
 * The parts of hakmem compare: one run (measure.c, spawn.c), observation of its processes
 * (watch.c, listen.c), conclusions from the figures of all runs (judge.c), properties of the
 * machine (machine.c), tables (report.c) and plots (plot.c).
 */
#ifndef HK_CMD_COMPARE_H
#define HK_CMD_COMPARE_H

#include "cmd/cmd.h"

#include <limits.h>
#include <signal.h>
#include <stdint.h>

/* watch.c: a child of the command that observes a program and its descendants and reports
 * through a pipe. */
struct watcher {
	pid_t program;
	bool ready;		/* reports once when the program waits for clients */
	bool orphans;		/* orphans adopted by the command belong to the program too */
	const pid_t *apart;	/* children of the command that do not; ends in 0 */
};

/* What is mapped in the largest process. */
struct identity {
	uint8_t valid, ours;
	uint32_t others;		/* one bit for each; see allocator_of */
	char program[PATH_MAX];
};

struct sight {
	double when, bytes;		/* bytes: the sum of PSS of all processes */
	double shared;			/* how much the sum of RSS exceeds that */
	double delay;			/* seconds that they waited for a processor */
	uint8_t ready, several, partly;
};

struct watch {
	pid_t child;			/* or -1 */
	int in;				/* sights, each written by one write; non-blocking */
	struct identity *identity;	/* written by the child, so untrusted */
};
bool watch_begin(struct watch *w, const struct watcher *what);
void watch_end(struct watch *w);
/* Reads a file of /proc into a buffer and appends a NUL; returns 0 on failure. */
size_t slurp(const char *path, char *to, size_t size);
/* listen.c: does a server wait for its first client? The watcher calls it with all processes
 * of the program; the first is the program itself. */
bool is_ready(const pid_t *pid, unsigned count, double now);
/* The children of a process, which may have ended meanwhile, as a list that ends in 0. */
pid_t *children_of(pid_t pid);
bool is_among(const pid_t *list, pid_t pid);

/* spawn.c */
struct output {
	int in;				/* or -1 */
	char tail[2048];		/* the end of what was written */
	size_t length;
};
extern sigset_t outside_mask;		/* the signal mask that the command was started with */
/* Starts a process and returns when it has called exec; 0, or errno. The end of its standard
 * error is recorded; if all is set, also that of its standard output. */
int spawn(struct output *o, pid_t *pid, char *const *argv, char *const *environment, const char *input, bool all);
void output_read(struct output *o);	/* reads what has been written so far */
char *output_last(struct output *o);	/* the last lines, printable and indented, or NULL */
void output_end(struct output *o);
/* How a process ended, from its wait status; NULL: it succeeded. */
char *exit_text(int status);

/* measure.c */
enum figure { WALL, CPU, PEAK, AVERAGE, FAULTS, FIGURES };

struct sample {
	double when;			/* seconds since the start */
	double bytes;
};

struct run {
	double figure[FIGURES];		/* seconds, bytes, counts */
	char *fault;			/* the kind of failure, or NULL */
	char *words;			/* its last output, or NULL */
	struct sample *curve;		/* memory over time */
	unsigned samples;
	double delay;			/* approximate seconds of waiting for a processor */
	bool partly;			/* for some processes only RSS is known */
	struct identity identity;
};

struct subject {
	char *const *argv;
	const char *load;		/* a command that drives a server, or NULL */
	const char *prepare;		/* a command before each run, or NULL */
	const char *input;		/* the path of the standard input */
};

/* Installs handlers: a signal ends the current run but not the command. */
void measure_begin(void);
bool measure_interrupted(void);
/* False: it was interrupted, or the command of prepare failed, which was reported. */
bool measure(struct run *r, const struct subject *s, char *const *environment);
void run_free(struct run *r);

enum kind { AS_IT_IS, AGAIN, C_LIBRARY, PROFILE, PEER };

struct contender {
	enum kind kind;
	char *name;
	int other;			/* the allocator, see allocator_of; -1: HAKMEM or glibc */
	char **environment;
	struct run *run;		/* one for each round */
	char *fault;			/* the reason if it has no figures, or NULL */
};

/* judge.c: the first two contenders are the program as it is, twice. */
struct comparison {
	struct contender *list;
	unsigned count, rounds;		/* rounds: the number of complete ones */
	double others;			/* share of the processors that other processes used */
};
double median(double *values, unsigned count);		/* also sorts the values */
double median_of(const struct comparison *c, unsigned which, enum figure f);
/* Half of the interquartile range, as a share of the median. */
double spread_of(const struct comparison *c, unsigned which, enum figure f);

struct advice {
	int best;			/* a contender, or -1 if none is clearly best */
	char *reason;
	enum figure time;		/* the figure that decides: WALL or CPU */
	bool brief;			/* runs too short for percentages */
	double noise_time, noise_memory;	/* as shares; meaningless if brief */
};
struct advice judge(const struct comparison *c);

struct setting {
	char *command;			/* printable */
	char *machine, *date;
	char *const *set;		/* settings of -s, or NULL */
};

/* machine.c */
struct setting describe(const struct args *a);
struct use {
	bool known;
	double when, all, here;		/* seconds: of all processors, of this command */
};
struct use machine_use(void);
double used_by_others(const struct use *before);	/* their share of the processors since before */

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
