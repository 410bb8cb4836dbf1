/* hakmem top: the table of processes, and the screen that shows it. */
#ifndef HK_CMD_TOP_H
#define HK_CMD_TOP_H

#include "cmd/heap.h"

enum sort { SORT_MEMORY, SORT_RSS, SORT_GROWTH, SORT_SLOW, SORT_PID, SORTS };

struct row {
	struct heap *heap;
	size_t rss, anonymous;
	size_t in_use_first;		/* in the first reading */
	double rate;			/* slow paths per second; < 0: unknown yet */
};

struct table {
	struct heap *heap;		/* NULL: reading was stopped */
	struct row *row;
	unsigned count, good, hidden;
	double when;
};

/* What the user chose to show. */
struct view {
	enum sort sort;
	char filter[64];		/* has room for the name of a command */
	unsigned first;			/* index of the first row on the screen */
	bool help, editing;		/* editing: keys change the filter */
	bool ended, refresh;
};

enum { TOP_LINE = 512 };
void table_sort(struct table *t, enum sort sort);
bool table_shows(const struct view *v, const struct row *row);
void table_summary(const struct table *t, char line[TOP_LINE]);
void table_head(char line[TOP_LINE]);
void table_row(const struct row *row, char line[TOP_LINE]);
/* The text that replaces the rows if there are none. */
const char *table_none(const struct table *t);
extern const char *const sort_names[SORTS];

/* screen.c, with ncurses. False: the cursor of this terminal cannot be moved. */
#ifdef HAVE_NCURSES
bool screen_open(void);
void screen_close(void);
/* Reads the keys that were pressed; true: the screen must be redrawn. */
bool screen_keys(struct view *v);
void screen_draw(struct table *t, struct view *v);
#else
#define screen_open() false
#define screen_close() ((void)0)
#define screen_keys(v) ((void)(v), false)
#define screen_draw(t, v) ((void)(t), (void)(v))
#endif

#endif
