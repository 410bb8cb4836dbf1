/* The name of each figure and its place in the structure, in the order of figures.def. */
#ifndef HK_STATS_FIGURES_H
#define HK_STATS_FIGURES_H

#include "stats/snapshot.h"

struct hk_named_figure {
	const char *name;
	size_t offset;
};
static const struct hk_named_figure hk_figures[HK_FIGURES] = {
#define FIGURE(field, ...) { #field, offsetof(struct hak_stats, field) },
#include "stats/figures.def"
};
static const struct hk_named_figure hk_class_figures[HK_CLASS_FIGURES] = {
#define CLASS_FIGURE(field, ...) { #field, offsetof(struct hak_class_stats, field) },
#include "stats/figures.def"
};

/* How many figures of a class there are. history: also those that are counted with HAKMEM_STATS=1. */
static inline unsigned hk_class_figure_count(bool history)
{
	return history ? HK_CLASS_FIGURES : HK_CLASS_FIGURE_filled;
}

#endif
