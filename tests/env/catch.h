/*
 * The settings linked into a test program by themselves, with their messages
 * caught instead of written.
 */
#ifndef TESTS_ENV_CATCH_H
#define TESTS_ENV_CATCH_H

#include "../tap.h"

/* Lines go to the catcher below instead of standard error: it takes the place
 * of the function in the linker's eyes. */
#define hk_line_write hk_line_write_for_real
#include "os/line.c"
#undef hk_line_write

#include "config/settings.h"
#include "os/os.h"

enum { CAUGHT = 16 };
static char caught[CAUGHT][sizeof((struct hk_line *)0)->text + 1];
static unsigned lines;
static bool cut;

void hk_line_write(struct hk_line *line);
void hk_line_write(struct hk_line *line)
{
	cut |= line->length >= sizeof line->text - 1;
	if (lines < CAUGHT) {
		memcpy(caught[lines], line->text, line->length);
		caught[lines][line->length] = 0;
	}
	lines++;
}

static long process_id = 12345;

long hk_os_process_id(void)
{
	return process_id;
}

static void load(char *const *list)
{
	lines = 0;
	cut = false;
	hk_settings_load(list, false);
}

TAP_UNUSED static const char *value_of(unsigned id)
{
	static struct hk_line line;

	line.length = 0;
	hk_setting_value(id, &line);
	line.text[line.length] = 0;
	return line.text;
}

/* Comparing structures with memcmp would see their padding. */
TAP_UNUSED static bool same(const struct hk_settings *a, const struct hk_settings *b, bool sources)
{
	return a->profile == b->profile && a->alloc_learn == b->alloc_learn &&
	       a->alloc_learn_window == b->alloc_learn_window &&
	       a->alloc_learn_rate == b->alloc_learn_rate && a->mem_learn == b->mem_learn &&
	       a->mem_learn_window == b->mem_learn_window &&
	       a->mem_learn_threshold == b->mem_learn_threshold &&
	       a->learn_advanced == b->learn_advanced && a->scavenger == b->scavenger &&
	       !strcmp(a->learn_save, b->learn_save) && a->superslab_reuse == b->superslab_reuse &&
	       a->superslab_prewarm == b->superslab_prewarm && a->tiny_preset == b->tiny_preset &&
	       a->debug_level == b->debug_level && a->stats == b->stats &&
	       !memcmp(a->cache_capacity, b->cache_capacity, sizeof a->cache_capacity) &&
	       !memcmp(a->refill_batch, b->refill_batch, sizeof a->refill_batch) &&
	       !strcmp(a->stats_dump, b->stats_dump) &&
	       (!sources || !memcmp(a->source, b->source, sizeof a->source));
}

TAP_UNUSED static void said_so(void)
{
	unsigned i;

	for (i = 0; i < lines && i < CAUGHT; i++)
		diag("  said: %s", caught[i]);
}

#endif
