/*
 * The table of samples: the stacks from which sampled blocks were allocated, with sums, and the
 * sampled blocks that are in use. It has a fixed size, is never unmapped, and is changed without
 * locks, so that another process can read it at any time, and so can the child of a fork.
 * hakmem-stats-page(5) documents it.
 */
#ifndef HK_SAMPLE_TABLE_H
#define HK_SAMPLE_TABLE_H

#include "config/policy.h"
#include "os/platform.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HK_SAMPLE_TABLE_VERSION = 2 };
#define HK_SAMPLE_TABLE_MAGIC "hakmem samples"

/* Sums over samples. weight: the bytes for which the samples stand. Relaxed. */
struct hk_sample_sum {
	_Atomic uint64_t samples, bytes, weight;
};

/*
 * The samples that have a stack in common, and nearly a size: up to 32 KiB the same, above with
 * the same three highest bits. depth is written last (release), and the members before it do not
 * change afterwards. Two sites may have the same stack and size.
 */
struct hk_sample_site {
	uint32_t hash, first;		/* first: of depth return addresses in the array of frames */
	uint32_t key;			/* of the size */
	_Atomic uint32_t depth;		/* 0: incomplete */
	struct hk_sample_sum all, live;	/* live: of the blocks in use */
};

/* A sampled block. site is written last (release). */
struct hk_sample {
	_Atomic uint32_t site;		/* its index + 1; 0: not in use */
	_Atomic uint32_t next;		/* table.c */
	_Atomic uint64_t address, size, weight;
	_Atomic uint64_t time;		/* of its allocation: ms of the coarse monotonic clock */
	_Atomic uint64_t waste;		/* bytes of weight that were not requested */
};

/*
 * The members up to frame are constant, except for mean, which is the current distance or the
 * last one. mixed: there are samples that were taken with another one.
 * on: samples are taken now. whole: they have been taken since the start of the process. Relaxed.
 */
struct hk_sample_table {
	char magic[16];
	uint32_t version, size;		/* size: of this structure */
	uint32_t site_size, sample_size, frame_size;
	uint32_t sites_most, samples_most, frames_most;
	_Atomic uint64_t mean;		/* the distance in bytes */
	struct hk_sample_site *site;
	struct hk_sample *sample;
	uintptr_t *frame;
	/* How many of each were used so far. */
	_Atomic uint32_t sites, samples, frames;

	_Atomic uint64_t unused;	/* samples; table.c */
	_Atomic uint32_t *index;
	_Atomic bool mixed, on, whole;
};

/* NULL: the sampler was never on. Acquire. */
extern _Atomic(struct hk_sample_table *) hk_sample_table;

/* For statistics: samples so far, those that were not recorded for lack of room, and sites;
 * sampled blocks between guard pages, and those for which there was no room there; the waste for
 * which the samples in use stand. Relaxed. */
struct hk_sample_counters {
	_Atomic size_t taken, lost, sites;
	_Atomic size_t waste;
	_Atomic size_t guarded, unguarded;
};
extern struct hk_sample_counters hk_sample_counters;

/* Makes the table, once. False: there is no memory. No lock held. */
bool hk_table_make(void);
/* Sets the mean distance of further samples; 0: there are none. */
void hk_table_mean(size_t mean);
/* The process starts with samples; after hk_table_make. */
void hk_table_whole(void);

/* The site of a stack, or NULL if there is no room. */
struct hk_sample_site *hk_table_site(const uintptr_t *frame, uint32_t depth, size_t size);

/* The number of a sample that is not in use, from 1 on, or 0. The caller sets its members.
 * hk_table_free makes it available again. */
uint32_t hk_table_new(void);
void hk_table_free(uint32_t sample);
/* Is there such a sample now? */
bool hk_table_has_room(void);

#endif
