/*
 * Memory over time, as SVG. The colours are those of Okabe and Ito, which colour-blind
 * readers can distinguish; in black-and-white print, marks and dashes differ. The curves of
 * other allocators are dashed.
 */
#include "cmd/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
	WIDTH = 900, HEIGHT = 520, LEFT = 64, TOP = 74, BOTTOM = 56, KEY_LINE = 34, KEY_ROW = 22,
	MARKS = 6,			/* on a curve */
	LETTER = 8,			/* upper limit of the width of one, at 13 pixels */
	TITLE = 108,			/* characters in a line */
};

struct style {
	const char *colour, *dash;
	int mark;			/* 0: none */
};

/* For the program as it is, the same again, and the C library's malloc. */
static const struct style others[] = {
	{ "#000000", "", 0 }, { "#777777", "2 3", 0 }, { "#777777", "10 3 2 3", 0 },
};
static const struct style profiles[] = {
	{ "#0072B2", "", 1 }, { "#D55E00", "", 2 }, { "#009E73", "", 3 }, { "#CC79A7", "", 4 }, { "#E69F00", "", 5 },
};
/* By allocator, so that each looks the same in every plot. */
static const struct style peers[] = {
	{ "#56B4E9", "8 4", 0 }, { "#000000", "9 3 2 3", 0 }, { "#882255", "3 3", 0 },
};

struct picture {
	FILE *out;
	double seconds, bytes;		/* at the right and the upper edge */
	double right;			/* right edge of the curves, in pixels */
};

static double x_of(const struct picture *p, double when)
{
	return LEFT + (p->right - LEFT) * when / p->seconds;
}

static double y_of(const struct picture *p, double bytes)
{
	return HEIGHT - BOTTOM - (HEIGHT - BOTTOM - TOP) * bytes / p->bytes;
}

static struct style style_of(const struct comparison *c, unsigned which)
{
	const struct contender *one = &c->list[which];
	unsigned i, before = 0;

	for (i = 0; i < which; i++)
		before += c->list[i].kind == one->kind;
	if (one->kind == PROFILE)
		return profiles[before % (sizeof profiles / sizeof *profiles)];
	if (one->kind == PEER)
		return peers[(unsigned)one->other % (sizeof peers / sizeof *peers)];
	return others[one->kind];
}

static void put_text(FILE *out, double x, double y, const char *how, const char *words)
{
	fprintf(out, "<text x=\"%.1f\" y=\"%.1f\"%s>", x, y, how);
	put_xml(out, words);
	fputs("</text>\n", out);
}

static void put_line(FILE *out, double x1, double y1, double x2, double y2, const char *colour)
{
	fprintf(out, "<path d=\"M%.1f %.1fL%.1f %.1f\" stroke=\"%s\" fill=\"none\"/>\n", x1, y1, x2, y2, colour);
}

static void put_mark(FILE *out, int mark, double x, double y, const char *colour)
{
	static const char *const shapes[] = {
		"m-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0z", "m-4 -4h8v8h-8z", "m0 -5l5 9h-10z", "m0 -5l5 5l-5 5l-5 -5z",
		"m0 5l5 -9h-10z",
	};

	if (mark)
		fprintf(out, "<path d=\"M%.1f %.1f%s\" fill=\"%s\" stroke=\"#fff\"/>\n", x, y, shapes[mark - 1], colour);
}

static void put_stroke(FILE *out, const struct style *s, bool thick)
{
	fprintf(out, "\" fill=\"none\" stroke=\"%s\" stroke-width=\"%s\" stroke-linejoin=\"round\"", s->colour,
		thick ? "2.5" : "1.8");
	if (*s->dash)
		fprintf(out, " stroke-dasharray=\"%s\"", s->dash);
	fputs("/>\n", out);
}

/* Of the samples in the same half pixel, draws the first, the highest and the last. */
static void put_points(const struct picture *p, const struct run *r)
{
	double column = -1, high = 0;
	unsigned i;

	for (i = 0; i < r->samples; i++) {
		double x = floor(2 * x_of(p, r->curve[i].when)) / 2, y = y_of(p, r->curve[i].bytes);

		if (i && x == column && i + 1 < r->samples) {
			high = y < high ? y : high;
			continue;
		}
		if (i && high < y_of(p, r->curve[i - 1].bytes))
			fprintf(p->out, "L%.1f %.1f", column, high);
		if (i && x != column)
			fprintf(p->out, "L%.1f %.1f", column, y_of(p, r->curve[i - 1].bytes));
		fprintf(p->out, "%c%.1f %.1f", i ? 'L' : 'M', x, y);
		column = x;
		high = y;
	}
}

static void put_curve(const struct picture *p, const struct comparison *c, unsigned which)
{
	const struct run *r = &c->list[which].run[c->rounds - 1];
	struct style s = style_of(c, which);
	unsigned i, mark = 0;

	if (!r->samples)
		return;
	fprintf(p->out, "<path d=\"");
	put_points(p, r);
	put_stroke(p->out, &s, which == AS_IT_IS);
	/* Curves have their marks at different positions. */
	for (i = 0; i < r->samples && s.mark; i++) {
		double at = (mark + (s.mark - 0.5) / 5) / MARKS * r->curve[r->samples - 1].when;

		if (r->curve[i].when < at)
			continue;
		put_mark(p->out, s.mark, x_of(p, r->curve[i].when), y_of(p, r->curve[i].bytes), s.colour);
		mark++;
	}
}

/* 1, 2 or 5 times a power of ten, so that the axis has four to ten steps. */
static double step_for(double range)
{
	double step = pow(10, floor(log10(range)));

	return range / step < 2 ? step / 5 : range / step < 4 ? step / 2 : step;
}

static void put_scales(const struct picture *p)
{
	double step = step_for(p->seconds), at, top = p->bytes / (1 << 20);
	char number[32];

	for (at = 0; at <= p->seconds * 1.0001; at += step) {
		snprintf(number, sizeof number, "%.10g", at);
		put_line(p->out, x_of(p, at), TOP, x_of(p, at), HEIGHT - BOTTOM, "#ddd");
		put_text(p->out, x_of(p, at), HEIGHT - BOTTOM + 18, " text-anchor=\"middle\"", number);
	}
	step = step_for(top);
	for (at = 0; at <= top * 1.0001; at += step) {
		snprintf(number, sizeof number, "%.10g", at);
		put_line(p->out, LEFT, y_of(p, at * (1 << 20)), p->right, y_of(p, at * (1 << 20)), "#ddd");
		put_text(p->out, LEFT - 6, y_of(p, at * (1 << 20)) + 4, " text-anchor=\"end\"", number);
	}
	put_line(p->out, LEFT, HEIGHT - BOTTOM, p->right, HEIGHT - BOTTOM, "#000");
	put_line(p->out, LEFT, TOP, LEFT, HEIGHT - BOTTOM, "#000");
	put_text(p->out, (LEFT + p->right) / 2, HEIGHT - 16, " text-anchor=\"middle\"", "seconds");
	fprintf(p->out, "<text transform=\"translate(16 %d) rotate(-90)\" text-anchor=\"middle\">memory (PSS), MiB</text>\n",
		(TOP + HEIGHT - BOTTOM) / 2);
}

static void put_key(const struct picture *p, const struct comparison *c)
{
	double x = p->right + 16, y = TOP + 8;
	unsigned i;

	for (i = 0; i < c->count; i++, y += KEY_ROW) {
		struct style s = style_of(c, i);
		char *words = c->list[i].fault ? text("%s: failed", c->list[i].name) : text("%s", c->list[i].name);

		fprintf(p->out, "<path d=\"M%.1f %.1fh%d", x, y, KEY_LINE);
		put_stroke(p->out, &s, i == AS_IT_IS);
		put_mark(p->out, s.mark, x + KEY_LINE / 2.0, y, s.colour);
		put_text(p->out, x + KEY_LINE + 6, y + 4, "", words);
		free(words);
	}
}

/* The command in one or two lines; what does not fit is omitted. */
static void put_title(FILE *out, const struct setting *setting, unsigned rounds)
{
	size_t length = strlen(setting->command), first = length < TITLE ? length : TITLE;
	const char *rest;
	char *words;
	int below;

	while (first < length && first > TITLE / 2 && setting->command[first] != ' ')
		first--;
	rest = setting->command + first;
	words = text("%.*s", (int)first, setting->command);
	put_text(out, 16, 22, " font-size=\"14\" font-weight=\"bold\"", words);
	free(words);
	words = text("%.*s%s", TITLE - 3, rest + (*rest == ' '), strlen(rest) > TITLE - 3 ? "..." : "");
	put_text(out, 16, 40, " font-size=\"14\" font-weight=\"bold\"", words);
	below = *words ? 60 : 44;
	free(words);
	words = text("round %u, %s, %s", rounds, setting->date, setting->machine);
	put_text(out, 16, below, " fill=\"#444\"", words);
	free(words);
}

static void measure_picture(struct picture *p, const struct comparison *c)
{
	size_t longest = 0;
	unsigned i, j;

	for (i = 0; i < c->count; i++) {
		const struct contender *one = &c->list[i];
		const struct run *r = &one->run[c->rounds - 1];
		size_t length = strlen(one->name) + (one->fault ? strlen(": failed") : 0);

		longest = length > longest ? length : longest;
		for (j = 0; !one->fault && j < r->samples; j++) {
			p->seconds = fmax(p->seconds, r->curve[j].when);
			p->bytes = fmax(p->bytes, r->curve[j].bytes);
		}
	}
	p->right = WIDTH - 16 - KEY_LINE - 6 - 10 - (double)longest * LETTER;
	p->seconds = fmax(p->seconds, 0.001);
	p->bytes = fmax(p->bytes * 1.05, 1 << 16);
}

void plot(FILE *out, const void *argument)
{
	const struct outcome *o = argument;
	const struct comparison *c = o->c;
	struct picture p = { .out = out };
	unsigned i;

	measure_picture(&p, c);
	fprintf(out, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\" height=\"%d\" "
		"font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\" font-size=\"13\">\n<title>", WIDTH, HEIGHT,
		WIDTH, HEIGHT);
	put_xml(out, o->setting->command);
	fprintf(out, "</title>\n<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n", WIDTH, HEIGHT);
	put_title(out, o->setting, c->rounds);
	put_scales(&p);
	/* The curve of the program as it is comes last, above the others. */
	for (i = c->count; i--; )
		if (!c->list[i].fault)
			put_curve(&p, c, i);
	put_key(&p, c);
	fputs("</svg>\n", out);
}
