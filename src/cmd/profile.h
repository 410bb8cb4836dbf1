/*
 * Heap profiles: of a running process, read from its table of samples, or of a file that the
 * library or this command wrote. Nothing in them is trusted: counts are limited, indices are
 * checked, and the worst consequence is a wrong figure.
 */
#ifndef HK_CMD_PROFILE_H
#define HK_CMD_PROFILE_H

#include "cmd/cmd.h"

#include <stdint.h>

/* Doubles, because they can hold any sum of hostile figures, and negative differences. weight: the
 * bytes for which the samples stand. */
struct sum {
	double samples, bytes, weight;
};

/* Samples with the same stack and nearly the same size; the innermost frame first. */
struct site {
	uint32_t first, depth;		/* in the array of frames */
	struct sum live, all;
};

/* A line of source text. An address may have several, the innermost inlined function first. Not
 * escaped for printing; function and file may be NULL. */
struct place {
	char *function, *file;
	unsigned line;
};

struct address {
	uint64_t at;			/* a return address */
	int map;			/* -1: in no file */
	struct place *place;
	unsigned places;
};

struct profile {
	pid_t pid;			/* 0: from a file */
	char *name;			/* of the process or the file, printable */
	uint64_t mean;			/* the distance of samples in bytes */
	bool counted;			/* the two that follow are known */
	double taken, lost;		/* samples so far */
	bool difference;		/* to another profile */
	bool on;			/* samples are taken now */
	bool mixed;			/* there are samples with other distances */
	bool later;			/* sampling may have begun later than the process */
	double damaged;			/* sites that were left out */
	unsigned unnamed;		/* maps in which not all functions were looked up */
	struct site *site;
	size_t sites;
	uint64_t *frame;
	size_t frames;
	struct profile_map *map;		/* in ascending order */
	size_t maps;
	struct address *address;	/* the different frames, in ascending order */
	size_t addresses;
};

/* A mapped file that contains a frame. */
struct profile_map {
	uint64_t start, end, offset;
	dev_t device;
	unsigned long long inode;
	char *path;
};

enum {
	PROFILE_SITES = 1 << 18,	/* limits of what is read from a file */
	PROFILE_FRAMES = 1 << 22,
	PROFILE_MAPS = 1 << 14,
	PROFILE_DEPTH = 1024,
};

/* samples.c: reads a process. min_age: if above 0, the live sums are those of the blocks that
 * were allocated at least this number of seconds ago. False: an error was printed. */
bool profile_read(struct profile *p, pid_t pid, double min_age);

/* profile_file.c: reads the text format of gperftools. False: an error was printed. */
bool profile_load(struct profile *p, const char *path);
void profile_write_text(FILE *out, const struct profile *p);

/* profile_sum.c */
void profile_add_map(struct profile *p, const struct profile_map *map);	/* copies the path */
/* Finds the different addresses; no frames are added afterwards. */
void profile_index(struct profile *p);
const struct address *profile_address(const struct profile *p, uint64_t at);
/* Subtracts an earlier profile. The files may be mapped elsewhere there. */
void profile_subtract(struct profile *p, const struct profile *base);
void site_weigh(struct site *site, uint64_t mean);	/* computes weight from the samples */
double sum_blocks(const struct sum *sum);	/* the blocks for which the samples stand */
size_t size_of_double(double value);		/* the nearest size, without the sign */
void profile_free(struct profile *p);

/* All samples with one stack. */
struct row {
	const uint64_t *frame;
	uint32_t depth;
	double bytes, count, samples;	/* bytes, count: estimates for all blocks */
};
enum view { VIEW_LIVE, VIEW_ALLOCATED };
/* The rows that are not 0, the largest first. */
struct row *profile_rows(const struct profile *p, enum view view, size_t *count, struct row *total);

/* observe.c: waits while the process takes samples, and reads it again; before is what was read
 * first, and p a profile with its process. If the process takes no samples, sampling is turned
 * on for this time. False: an error was printed. */
struct observation {
	double seconds, min_age;	/* seconds: 0 for the default */
	const char *rate;
};
bool profile_observe(struct profile *p, const struct profile *before, const struct observation *o);
bool profile_rate_good(const char *rate);

/* symbols.c: finds the places of all addresses, as far as possible. */
void profile_symbolize(struct profile *p);

/* profile_write.c, flame.c, pprof.c. row_walk calls each for the frames of a row, the innermost
 * first. The texts are not escaped; place is NULL if it is not known. */
void row_walk(const struct profile *p, const struct row *row,
	      void (*each)(const struct address *a, const struct place *place, void *argument), void *argument);
/* A name for a place, which the caller frees: the function, or the file and the offset in it, or
 * the address. */
char *place_name(const struct profile *p, const struct address *a, const struct place *place);
/* The names of the frames, the innermost first, printable and of at most this length. The caller
 * frees each, and the list. */
char **row_names(const struct profile *p, const struct row *row, size_t most, size_t *count);

/* What is shown of a profile. */
struct shown {
	const struct profile *profile;
	enum view view;
	bool growth;
	double min_age;
	unsigned rows;			/* of the table; 0: all */
};
void profile_write_table(FILE *out, const struct shown *s);
void profile_write_folded(FILE *out, const struct shown *s);
void profile_write_flame(FILE *out, const struct shown *s);
void profile_write_pprof(FILE *out, const struct shown *s);
json_t *profile_json(const struct shown *s);
const char *shown_what(const struct shown *s);	/* "in use", and so on */
/* Notes on what is missing from the profile, each a line with this prefix. */
void profile_write_notes(FILE *out, const char *prefix, const struct shown *s);

#endif
