/*
 * A flame graph as one SVG file. Each box is a function, below its caller; its width is
 * proportional to its bytes. The outermost function is at the top, because stacks may be deeper
 * than a screen. In a browser, a click makes a box as wide as the picture; without scripts, it is
 * a picture with tooltips.
 */
#include "cmd/profile.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

enum {
	WIDTH = 1200, EDGE = 10, ROW = 18, TOP = 60, BOTTOM = 34,
	LETTER = 7,			/* upper limit of the width of one, at 12 pixels */
	MOST_LEVELS = 200,		/* functions below these are not drawn */
	MOST_NAME = 300,
};
static const double least_width = 0.5;	/* narrower boxes are not drawn */

struct box {
	char *name;			/* printable */
	double bytes, blocks;
	const struct box *above;
	struct box *first, *last, *next; /* the boxes below it; beside it */
};

/* All boxes but the root, to find one by its name and the box above it. */
static void *boxes;

static int compare_boxes(const void *a, const void *b)
{
	const struct box *x = a, *y = b;

	return x->above != y->above ? (x->above < y->above ? -1 : 1) : strcmp(x->name, y->name);
}

/* Takes over the name. */
static struct box *child_of(struct box *box, char *name)
{
	struct box key = { .name = name, .above = box }, *new, **found = tsearch(&key, &boxes, compare_boxes);

	if (!found)
		exit(fail(RUN_FAILED, "out of memory"));
	if (*found != &key) {
		free(name);
		return *found;
	}
	*found = new = grow(NULL, sizeof *new);
	*new = key;
	*(box->last ? &box->last->next : &box->first) = new;
	return box->last = new;
}

static void count(struct box *box, const struct row *row)
{
	box->bytes += row->bytes;
	box->blocks += row->count;
}

static void add_row(struct box *root, const struct profile *p, const struct row *row)
{
	size_t names;
	char **name = row_names(p, row, MOST_NAME, &names);
	struct box *box = root;
	unsigned level;

	count(root, row);
	for (level = 1; names && level < MOST_LEVELS; level++) {
		box = child_of(box, name[--names]);
		count(box, row);
	}
	while (names)
		free(name[--names]);
	free(name);
}

static void keep_box(void *box)
{
	(void)box;
}

static void free_boxes(struct box *box)
{
	struct box *next;

	for (; box; box = next) {
		next = box->next;
		free_boxes(box->first);
		free(box->name);
		free(box);
	}
}

struct picture {
	FILE *out;
	const struct box *root;
	unsigned levels;
};

static double width_of(const struct picture *p, const struct box *box)
{
	return p->root->bytes > 0 ? (WIDTH - 2 * EDGE) * box->bytes / p->root->bytes : 0;
}

static unsigned levels_of(const struct picture *p, const struct box *box)
{
	unsigned most = 0, levels;

	for (box = box->first; box; box = box->next) {
		levels = width_of(p, box) >= least_width ? levels_of(p, box) + 1 : 0;
		most = levels > most ? levels : most;
	}
	return most;
}

/* A function has the same colour everywhere. */
static void put_colour(FILE *out, const char *name)
{
	unsigned hash = 2166136261u;

	for (; *name; name++)
		hash = (hash ^ (unsigned char)*name) * 16777619u;
	fprintf(out, "hsl(%u,%u%%,%u%%)", 10 + hash % 45, 70 + hash / 64 % 20, 62 + hash / 4096 % 14);
}

static void put_title(const struct picture *p, const struct box *box)
{
	fputs("<title>", p->out);
	put_xml(p->out, box->name);
	fprintf(p->out, "\n%s, %.1f %%, about %.0f block%s</title>", SIZE(size_of_double(box->bytes)),
		100 * box->bytes / p->root->bytes, box->blocks, plural(box->blocks));
}

static void put_name(const struct picture *p, const char *name, double width)
{
	char shown[MOST_NAME + 8];
	int room = (int)((width - 6) / LETTER);

	snprintf(shown, sizeof shown, "%s", name);
	if (room < 3)
		*shown = 0;
	else if ((size_t)room < strlen(shown))
		strcpy(shown + room - 2, "..");
	put_xml(p->out, shown);
}

/* The script reads x and width of the boxes. */
static void put_box(const struct picture *p, const struct box *box, double x, unsigned level)
{
	double width = width_of(p, box), y = TOP + level * (double)ROW;

	if (width < least_width)
		return;
	fputs("<g>", p->out);
	put_title(p, box);
	fprintf(p->out, "<rect x=\"%.2f\" y=\"%.0f\" width=\"%.2f\" height=\"%d\" fill=\"", x, y, width, ROW - 1);
	put_colour(p->out, box->name);
	fprintf(p->out, "\"/><text x=\"%.2f\" y=\"%.0f\">", x + 3, y + ROW - 5);
	put_name(p, box->name, width);
	fputs("</text></g>\n", p->out);
	for (box = box->first; box; box = box->next) {
		put_box(p, box, x, level + 1);
		x += width_of(p, box);
	}
}

static const char script[] =
	"<script><![CDATA[\n"
	"(function () {\n"
	"\tvar edge = 10, whole = 1180, boxes = [].slice.call(document.querySelectorAll('g')).map(function (g) {\n"
	"\t\tvar r = g.querySelector('rect');\n"
	"\t\treturn { g: g, r: r, t: g.querySelector('text'), x: +r.getAttribute('x'), w: +r.getAttribute('width'),\n"
	"\t\t\ty: +r.getAttribute('y'), name: g.querySelector('title').textContent.split('\\n')[0] };\n"
	"\t});\n"
	"\tfunction zoom(to) {\n"
	"\t\tboxes.forEach(function (b) {\n"
	"\t\t\tvar caller = b.y < to.y && b.x <= to.x + 0.01 && b.x + b.w >= to.x + to.w - 0.01;\n"
	"\t\t\tvar x = caller ? edge : edge + (b.x - to.x) * whole / to.w, w = caller ? whole : b.w * whole / to.w;\n"
	"\t\t\tvar seen = caller || (b.x >= to.x - 0.01 && b.x + b.w <= to.x + to.w + 0.01 && b.y >= to.y);\n"
	"\t\t\tvar room = Math.floor((w - 6) / 7);\n"
	"\t\t\tb.g.style.display = seen ? '' : 'none';\n"
	"\t\t\tb.g.style.opacity = caller ? 0.5 : 1;\n"
	"\t\t\tb.r.setAttribute('x', x);\n"
	"\t\t\tb.r.setAttribute('width', w);\n"
	"\t\t\tb.t.setAttribute('x', x + 3);\n"
	"\t\t\tb.t.textContent = room < 3 ? '' : b.name.length > room ? b.name.slice(0, room - 2) + '..' : b.name;\n"
	"\t\t});\n"
	"\t}\n"
	"\tboxes.forEach(function (b) { b.g.addEventListener('click', function () { zoom(b); }); });\n"
	"})();\n"
	"]]></script>\n";

static void put_picture(const struct picture *p, const struct shown *s)
{
	unsigned height = TOP + (p->levels + 1) * ROW + BOTTOM;
	const struct box *root = p->root;

	fprintf(p->out, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%u\" viewBox=\"0 0 %d %u\" "
		"font-family=\"monospace\" font-size=\"11\">\n<style>g{cursor:pointer}g:hover rect{stroke:#000}text{"
		"pointer-events:none}</style>\n<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n", WIDTH, height,
		WIDTH, height);
	fprintf(p->out, "<text x=\"%d\" y=\"24\" font-size=\"15\">", EDGE);
	put_xml(p->out, s->profile->name);
	fprintf(p->out, ": %s %s</text>\n<text x=\"%d\" y=\"44\" fill=\"#555\">width: bytes; each function is below its "
		"caller; click a function to enlarge it, and the first row to see all</text>\n",
		SIZE(size_of_double(root->bytes)), shown_what(s), EDGE);
	if (root->bytes > 0)
		put_box(p, root, EDGE, 0);
	fprintf(p->out, "%s</svg>\n", script);
}

void profile_write_flame(FILE *out, const struct shown *s)
{
	struct box root = { .name = printable("all", 3) };
	struct picture picture = { .out = out, .root = &root };
	struct row total, *row;
	size_t rows, i;

	row = profile_rows(s->profile, s->view, &rows, &total);
	for (i = 0; i < rows && row[i].bytes > 0; i++)
		add_row(&root, s->profile, &row[i]);
	free(row);
	picture.levels = levels_of(&picture, &root);
	put_picture(&picture, s);
	tdestroy(boxes, keep_box);
	boxes = NULL;
	free_boxes(root.first);
	free(root.name);
}
