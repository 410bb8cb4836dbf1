/* The full screen of hakmem top. ncurses handles SIGTSTP and SIGWINCH. */
#include "cmd/top.h"

#include <ncurses.h>
#include <stdlib.h>
#include <string.h>
#include <term.h>
#include <unistd.h>

static SCREEN *screen;
static int rows;			/* lines for processes in the last frame */

static const char *const help[] = {
	"m  sort by memory: what the heap has mapped",
	"r  sort by RSS, the memory of the whole process",
	"g  sort by growth of what is in use since top first saw the process",
	"s  sort by slow paths: refills and flushes of lists of threads",
	"p  sort by process id",
	"/  show only commands that contain a text; Enter ends it, Escape clears it",
	"   up, down, page up, page down, Home, End: other rows",
	"   space: read all processes now",
	"q  quit",
};

bool screen_open(void)
{
	const char *move;
	int error;

	if (setupterm(NULL, STDOUT_FILENO, &error) != OK)
		return false;
	move = tigetstr("cup");
	if (!move || move == (char *)-1)
		return false;
	screen = newterm(NULL, stdout, stdin);
	if (!screen)
		return false;
	cbreak();
	noecho();
	nodelay(stdscr, TRUE);
	keypad(stdscr, TRUE);
	set_escdelay(25);
	curs_set(0);
	/* Also runs when the command exits because there is no memory. */
	atexit(screen_close);
	return true;
}

void screen_close(void)
{
	if (!screen)
		return;
	endwin();
	delscreen(screen);
	screen = NULL;
}

static void edit(struct view *v, int key)
{
	size_t length = strlen(v->filter);

	if (key == '\n' || key == '\r' || key == KEY_ENTER || key == 27)
		v->editing = false;
	if (key == 27)
		*v->filter = 0;
	if ((key == KEY_BACKSPACE || key == 127 || key == '\b') && length)
		v->filter[length - 1] = 0;
	if (key >= ' ' && key <= '~' && length + 1 < sizeof v->filter) {
		v->filter[length] = (char)key;
		v->filter[length + 1] = 0;
	}
}

static void scroll_by(struct view *v, int by)
{
	v->first = by < 0 && v->first < (unsigned)-by ? 0 : v->first + (unsigned)by;
}

static void sort_or_scroll(struct view *v, int key)
{
	switch (key) {
	case 'm': v->sort = SORT_MEMORY; break;
	case 'r': v->sort = SORT_RSS; break;
	case 'g': v->sort = SORT_GROWTH; break;
	case 's': v->sort = SORT_SLOW; break;
	case 'p': v->sort = SORT_PID; break;
	case KEY_UP: scroll_by(v, -1); break;
	case KEY_DOWN: scroll_by(v, 1); break;
	case KEY_PPAGE: scroll_by(v, -rows); break;
	case KEY_NPAGE: scroll_by(v, rows); break;
	case KEY_HOME: v->first = 0; break;
	case KEY_END: v->first = 1u << 30; break;
	}
}

static void act(struct view *v, int key)
{
	if (key == KEY_RESIZE || key == 'L' - '@') {
		clearok(curscr, TRUE);
		return;
	}
	if (v->editing) {
		edit(v, key);
		return;
	}
	if (v->help) {
		v->help = false;
		v->ended = key == 'q' || key == 'Q';
		return;
	}
	switch (key) {
	case 'q': case 'Q': v->ended = true; break;
	case ' ': v->refresh = true; break;
	case 'h': case '?': v->help = true; break;
	case '/': v->editing = true; break;
	case 27: *v->filter = 0; break;
	default: sort_or_scroll(v, key);
	}
}

bool screen_keys(struct view *v)
{
	bool some = false;
	int key;

	while (!v->ended && (key = getch()) != ERR) {
		act(v, key);
		some = true;
	}
	return some;
}

static void put(int line, attr_t how, const char *what)
{
	if (line >= LINES)
		return;
	attrset(how);
	mvaddnstr(line, 0, what, COLS);
	attrset(A_NORMAL);
}

static void put_status(const struct view *v)
{
	char line[TOP_LINE];

	if (v->editing)
		snprintf(line, sizeof line, "show commands that contain: %s_", v->filter);
	else
		snprintf(line, sizeof line, "sorted by %s%s%s; h helps, q quits", sort_names[v->sort],
			 *v->filter ? "; only commands that contain " : "", v->filter);
	put(1, v->editing ? A_BOLD : A_NORMAL, line);
}

static void put_rows(const struct table *t, struct view *v)
{
	unsigned i, shown = 0, skip;
	char line[TOP_LINE];
	int at = 3;

	rows = LINES > at ? LINES - at : 1;
	for (i = 0; i < t->count; i++)
		shown += table_shows(v, &t->row[i]);
	if (v->first + (unsigned)rows > shown)
		v->first = shown > (unsigned)rows ? shown - (unsigned)rows : 0;
	for (i = 0, skip = v->first; i < t->count; i++) {
		if (!table_shows(v, &t->row[i]) || (skip && skip--))
			continue;
		table_row(&t->row[i], line);
		put(at++, t->row[i].heap->state == HEAP_READ ? A_NORMAL : A_DIM, line);
	}
	if (!shown)
		put(at, A_NORMAL, table_none(t));
}

void screen_draw(struct table *t, struct view *v)
{
	char line[TOP_LINE];
	unsigned i;

	erase();
	table_summary(t, line);
	put(0, A_NORMAL, line);
	if (v->help) {
		for (i = 0; i < sizeof help / sizeof *help; i++)
			put((int)i + 2, A_NORMAL, help[i]);
		put((int)i + 3, A_NORMAL, "any key leaves this help");
	} else {
		put_status(v);
		table_head(line);
		put(2, A_BOLD, line);
		table_sort(t, v->sort);
		put_rows(t, v);
	}
	refresh();
}
