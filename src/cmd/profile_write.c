/* Heap profiles as a table, as folded stacks and as JSON. */
#include "cmd/profile.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_TEXT = 512, TABLE_FRAMES = 8, TABLE_LIBRARY = 24, TABLE_NAME = 100 };

char *place_name(const struct profile *p, const struct address *a, const struct place *place)
{
	const struct profile_map *m = a->map >= 0 ? &p->map[a->map] : NULL;

	if (place && place->function)
		return text("%s", place->function);
	if (m)
		return text("%s+0x%" PRIx64, base_of(m->path), a->at - 1 - m->start + m->offset);
	return text("0x%" PRIx64, a->at);
}

void row_walk(const struct profile *p, const struct row *row,
	      void (*each)(const struct address *a, const struct place *place, void *argument), void *argument)
{
	uint32_t i;
	unsigned j;

	for (i = 0; i < row->depth; i++) {
		const struct address *a = profile_address(p, row->frame[i]);

		for (j = 0; a && j < a->places; j++)
			each(a, &a->place[j], argument);
		if (a && !a->places)
			each(a, NULL, argument);
	}
}

struct names {
	const struct profile *profile;
	char **name;
	size_t count, most;
};

static void add_name(const struct address *a, const struct place *place, void *argument)
{
	struct names *n = argument;
	char *name = place_name(n->profile, a, place);

	n->name = grow(n->name, (n->count + 1) * sizeof *n->name);
	n->name[n->count++] = printable(name, n->most);
	free(name);
}

char **row_names(const struct profile *p, const struct row *row, size_t most, size_t *count)
{
	struct names n = { .profile = p, .most = most };

	row_walk(p, row, add_name, &n);
	*count = n.count;
	return n.name;
}

static const char *sign_of(double value, bool growth)
{
	return value < 0 ? "-" : growth ? "+" : "";
}

static const char *escaped(char **kept, const char *from, size_t most)
{
	free(*kept);
	*kept = printable(from, most);
	return *kept;
}

/* Replaces the full name of std::string by its usual one, which is shorter, in place. */
static void shorten(char *name)
{
	static const char full[] = "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >";
	static const char usual[] = "std::string";
	char *at = name;

	while ((at = strstr(at, full)) != NULL) {
		memcpy(at, usual, sizeof usual - 1);
		at += sizeof usual - 1;
		memmove(at, at + sizeof full - sizeof usual, strlen(at + sizeof full - sizeof usual) + 1);
	}
}

static void write_line(FILE *out, const struct profile *p, const struct address *a, const struct place *place)
{
	char *name = place_name(p, a, place), *shown = NULL;

	shorten(name);
	fputs(escaped(&shown, name, TABLE_NAME), out);
	if (place && place->file)
		fprintf(out, "  %s:%u", escaped(&shown, place->file, MOST_TEXT), place->line);
	else if (place && a->map >= 0)
		fprintf(out, "  in %s", escaped(&shown, base_of(p->map[a->map].path), MOST_TEXT));
	putc('\n', out);
	free(name);
	free(shown);
}

/* Where the name of a function starts, after its return type. */
static const char *name_proper(const char *function)
{
	const char *at, *start = function;
	int depth = 0;

	for (at = function; *at && (depth > 0 || *at != '('); at++) {
		depth += *at == '<';
		depth -= *at == '>' && depth > 0;
		if (*at == ' ' && !depth)
			start = at + 1;
	}
	return start;
}

static bool starts_with(const char *s, const char *start)
{
	return !strncmp(s, start, strlen(start));
}

/* A function of the C++ library, for example of a container. */
static bool is_of_library(const struct place *place)
{
	const char *name = place && place->function ? name_proper(place->function) : "";

	return starts_with(name, "std::") || starts_with(name, "__gnu_cxx::");
}

/* library: the number of lines of the C++ library before the first other line. They are not
 * counted as TABLE_FRAMES, so that the callers of the library are shown. */
struct writing {
	FILE *out;
	const struct shown *s;
	unsigned lines, library;
};

static void write_frame(const struct address *a, const struct place *place, void *argument)
{
	struct writing *w = argument;

	if (w->lines == w->library && w->library < TABLE_LIBRARY && is_of_library(place))
		w->library++;
	if (w->lines < w->library + TABLE_FRAMES) {
		if (w->lines)
			fprintf(w->out, "%44s", "");
		write_line(w->out, w->s->profile, a, place);
	} else if (w->lines == w->library + TABLE_FRAMES) {
		fprintf(w->out, "%44s...\n", "");
	}
	w->lines++;
}

static void write_row(FILE *out, const struct shown *s, const struct row *row, double all)
{
	struct writing w = { .out = out, .s = s };
	char size[SIZE_TEXT + 1];

	snprintf(size, sizeof size, "%s%s", sign_of(row->bytes, s->growth), SIZE(size_of_double(row->bytes)));
	fprintf(out, "%12s %6.1f%% %9.0f %9.0f  ", size, all > 0 ? 100 * row->bytes / all : 0, row->count + 0.0,
		row->samples);
	row_walk(s->profile, row, write_frame, &w);
}

const char *shown_what(const struct shown *s)
{
	if (s->view == VIEW_ALLOCATED)
		return s->growth ? "newly allocated" : "allocated";
	return s->growth ? "more in use than before" : "in use";
}

static void write_head(FILE *out, const struct shown *s, const struct row *total, size_t rows)
{
	const struct profile *p = s->profile;

	if (p->pid)
		fprintf(out, "process %d (%s): ", (int)p->pid, p->name);
	else
		fprintf(out, "%s: ", p->name);
	fprintf(out, "%s%s %s", sign_of(total->bytes, false), SIZE(size_of_double(total->bytes)), shown_what(s));
	if (s->min_age > 0)
		fprintf(out, " for at least %g s", s->min_age);
	fprintf(out, ", in %zu call stack%s\nestimated from %.0f sample%s", rows, plural((double)rows), total->samples,
		plural(total->samples));
	/* A process that has not noticed the request to take samples has no distance. */
	if (p->mean)
		fprintf(out, ", one every %s on average", SIZE(size_of_double((double)p->mean)));
	putc('\n', out);
}

void profile_write_notes(FILE *out, const char *prefix, const struct shown *s)
{
	const struct profile *p = s->profile;

	if (p->pid && p->later && !s->growth)
		fprintf(out, "%sBlocks that were allocated while sampling was off are not included.\n", prefix);
	if (p->counted && p->lost > 0)
		fprintf(out, "%sThe table of samples was full: %.0f of %.0f sample%s could not be recorded, and the figures are "
			"too low.\n", prefix, p->lost, p->lost + p->taken, plural(p->lost + p->taken));
	if (p->damaged > 0)
		fprintf(out, "%sNot included: %.0f incomplete or damaged call stack%s.\n", prefix, p->damaged,
			plural(p->damaged));
	if (p->unnamed)
		fprintf(out, "%sSome functions have no names: %u mapped file%s could not be read, or took too long.\n",
			prefix, p->unnamed, plural(p->unnamed));
}

void profile_write_table(FILE *out, const struct shown *s)
{
	struct row total, *row;
	size_t count, i;

	row = profile_rows(s->profile, s->view, &count, &total);
	write_head(out, s, &total, count);
	if (count)
		fprintf(out, "\n%12s %7s %9s %9s  %s\n", "BYTES", "SHARE", "BLOCKS", "SAMPLES", "WHERE");
	for (i = 0; i < count && (!s->rows || i < s->rows); i++)
		write_row(out, s, &row[i], total.bytes);
	if (i < count)
		fprintf(out, "... and %zu more call stack%s; show all: --rows 0\n", count - i, plural((double)(count - i)));
	profile_write_notes(out, "note: ", s);
	free(row);
}

/* Folded stacks: outermost first, separated by semicolons, followed by a figure. */
static void write_folded(FILE *out, const struct profile *p, const struct row *row)
{
	size_t count;
	char **name = row_names(p, row, MOST_TEXT, &count), *c;

	while (count--) {
		for (c = name[count]; *c; c++)
			if (*c == ';')
				*c = ':';
		fprintf(out, "%s%s", name[count], count ? ";" : "");
		free(name[count]);
	}
	free(name);
	fprintf(out, " %zu\n", size_of_double(row->bytes));
}

void profile_write_folded(FILE *out, const struct shown *s)
{
	struct row total, *row;
	size_t count, i;

	row = profile_rows(s->profile, s->view, &count, &total);
	for (i = 0; i < count && row[i].bytes > 0; i++)
		write_folded(out, s->profile, &row[i]);
	free(row);
}

static json_int_t integer(double value)
{
	json_int_t size = (json_int_t)size_of_double(value);

	return value < 0 ? -size : size;
}

struct listing {
	const struct profile *profile;
	json_t *frames;
};

static void list_frame(const struct address *a, const struct place *place, void *argument)
{
	struct listing *l = argument;
	const struct profile_map *m = a->map >= 0 ? &l->profile->map[a->map] : NULL;
	char *at = text("0x%" PRIx64, a->at);
	bool inlined = place && place + 1 < a->place + a->places;

	json_array_append_new(l->frames, json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:b}", "address", at,
		"file", json_text(m ? m->path : NULL),
		"offset", m ? json_integer((json_int_t)(a->at - m->start + m->offset)) : json_null(),
		"function", json_text(place ? place->function : NULL),
		"source", json_text(place ? place->file : NULL),
		"line", place && place->file ? json_integer(place->line) : json_null(), "inlined", inlined));
	free(at);
}

static json_t *json_row(const struct profile *p, const struct row *row)
{
	struct listing l = { p, json_array() };

	row_walk(p, row, list_frame, &l);
	return json_pack("{s:I, s:I, s:I, s:o}", "bytes", integer(row->bytes), "blocks", integer(row->count),
			 "samples", integer(row->samples), "frames", l.frames);
}

json_t *profile_json(const struct shown *s)
{
	const struct profile *p = s->profile;
	json_t *stacks = json_array();
	struct row total, *row;
	size_t count, i;

	row = profile_rows(p, s->view, &count, &total);
	for (i = 0; i < count; i++)
		json_array_append_new(stacks, json_row(p, &row[i]));
	free(row);
	return json_pack("{s:i, s:o, s:s, s:s, s:b, s:f, s:I, s:o, s:o, s:b, s:I, s:I, s:I, s:o}", "schema", 1,
		"pid", p->pid ? json_integer(p->pid) : json_null(), "name", p->name,
		"view", s->view == VIEW_LIVE ? "live" : "allocated", "growth", s->growth, "min_age", s->min_age,
		"mean", (json_int_t)p->mean,
		"taken", p->counted ? json_integer(integer(p->taken)) : json_null(),
		"lost", p->counted ? json_integer(integer(p->lost)) : json_null(),
		"complete", !p->later && p->lost <= 0 && p->damaged <= 0,
		"bytes", integer(total.bytes), "blocks", integer(total.count), "samples", integer(total.samples),
		"stacks", stacks);
}
