/*
 * What hakmem compare consists of: one run (measure.c, spawn.c), what is in its processes
 * while it runs (watch.c, listen.c), the figures of many and what follows from them
 * (judge.c), on what machine (machine.c), tables (report.c) and pictures (plot.c).
 */
#ifndef HK_CMD_COMPARE_H
#define HK_CMD_COMPARE_H

#include "cmd/cmd.h"

#include <limits.h>
#include <signal.h>
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
/* Reads a file of /proc into a buffer, which it ends with a NUL; 0: it cannot. */
size_t slurp(const char *path, char *to, size_t size);
/* listen.c: does a server wait for its first client? Called in the watcher, with all its
 * processes, the first of which is the program. */
bool is_ready(const pid_t *pid, unsigned count, double now);
/* The children of a process, which may have ended meanwhile, in a list that ends in 0. */
pid_t *children_of(pid_t pid);

/* spawn.c */
struct output {
	int in;				/* or -1 */
	char tail[2048];		/* the end of what was written */
	size_t length;
};
extern sigset_t outside_mask;		/* of whoever started the command */
/* Starts a process and returns when it has called exec; 0, or errno. Its standard error is
 * kept, and with all its standard output too. */
int spawn(struct output *o, pid_t *pid, char *const *argv, char *const *environment, const char *input, bool all);
void output_read(struct output *o);	/* what there is by now */
char *output_last(struct output *o);	/* the last lines, printable and indented, or NULL */
void output_end(struct output *o);
/* How a process ended, by its status of wait; NULL: it succeeded. */
char *exit_text(int status);

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

/* machine.c */
struct setting describe(const struct args *a);
struct use {
	bool known;
	double when, all, here;		/* seconds: of all processors, of this command and its children */
};
struct use machine_use(void);
double used_by_others(const struct use *before);	/* their share of the processors since then */

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
