/* The tables of hakmem compare: as text, as JSON, and as Markdown. */
#include "cmd/compare.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 80 };

static const struct {
	const char *name, *head;
	double unit;
	int room;
	bool spread;
} columns[FIGURES] = {
	{ "wall_seconds", "wall s", 1, 6, true },
	{ "cpu_seconds", "CPU s", 1, 6, true },
	{ "peak_pss_bytes", "peak MiB", 1 << 20, 8, false },
	{ "average_pss_bytes", "average MiB", 1 << 20, 6, true },
	{ "page_faults", "faults", 1, 7, false },
};

static char *figure_text(enum figure f, double value)
{
	value /= columns[f].unit;
	if (value >= 1e6)
		return text("%.1fM", value / 1e6);
	return text("%.*f", f == FAULTS || value >= 999.5 ? 0 : value >= 99.95 ? 1 : f == WALL || f == CPU ?
		    value >= 9.995 ? 2 : 3 : 1, value);
}

/* Spreads are percentages; a run that is too short has none. */
static char *cell(const struct comparison *c, const struct advice *advice, unsigned which, enum figure f)
{
	char *value = figure_text(f, median_of(c, which, f)), *out;
	double percent = fmin(spread_of(c, which, f) * 100, 99);

	if (!columns[f].spread || advice->brief)
		return value;
	out = text("%s +-%.0f%%", value, percent);
	free(value);
	return out;
}

static int room_for(unsigned f, const struct advice *advice)
{
	return columns[f].spread && !advice->brief ? columns[f].room + 6 :
	       (int)strlen(columns[f].head) > columns[f].room ? (int)strlen(columns[f].head) : columns[f].room;
}

/* The cells are padded so that the figures are aligned: "+-3%" becomes "+- 3%". */
static void print_cell(const struct comparison *c, const struct advice *advice, unsigned which, unsigned f)
{
	char *whole = cell(c, advice, which, f), *spread = strstr(whole, " +-");

	if (spread) {
		*spread = 0;
		printf(" %*s +-%3s", columns[f].room, whole, spread + 3);
	} else {
		printf(" %*s", room_for(f, advice), whole);
	}
	free(whole);
}

static int longest_name(const struct comparison *c)
{
	size_t most = 8;
	unsigned i;

	for (i = 0; i < c->count; i++)
		if (strlen(c->list[i].name) > most)
			most = strlen(c->list[i].name);
	return (int)most;
}

/* Breaks lines between words, but not before a percent sign. */
static void print_folded(const char *words)
{
	while (strlen(words) > WIDTH) {
		size_t length = WIDTH;

		while (length && (words[length] != ' ' || words[length + 1] == '%'))
			length--;
		if (!length)
			length = strcspn(words, " ");
		printf("%.*s\n", (int)length, words);
		words += length + (words[length] == ' ');
	}
	puts(words);
}

static void say_folded(char *words)
{
	print_folded(words);
	free(words);
}

static char *noise_text(const struct advice *advice)
{
	return text("noise: the same program beside itself differs by %.1f %% in %s and %.1f %% in memory",
		    advice->noise_time * 100, advice->time == CPU ? "CPU time" : "time", advice->noise_memory * 100);
}

static bool any_partly(const struct comparison *c)
{
	unsigned i, j;

	for (i = 0; i < c->count; i++)
		for (j = 0; !c->list[i].fault && j < c->rounds; j++)
			if (c->list[i].run[j].partly)
				return true;
	return false;
}

static const char partly_text[] = "memory is RSS for the processes whose PSS the kernel does not tell: what they "
	"share counts more than once";

static char *busy_text(const struct comparison *c)
{
	return text("the machine is busy: others use %.0f %% of its processors, so CPU time decides", c->others * 100);
}

static void notes(const struct outcome *o)
{
	const struct comparison *c = o->c;
	const struct advice *advice = o->advice;

	printf("\nmedian of %u round%s", c->rounds, plural(c->rounds));
	puts(advice->brief ? "" : ", +- half the distance between the quartiles");
	print_folded("memory is the PSS of all processes together");
	say_folded(text("%s, %s", o->setting->date, o->setting->machine));
	if (any_partly(c))
		print_folded(partly_text);
	if (c->list[AS_IT_IS].fault || c->list[AGAIN].fault || advice->brief)
		return;
	say_folded(noise_text(advice));
	if (advice->time == CPU)
		say_folded(busy_text(c));
}

static void print_head(const struct advice *advice, int names)
{
	unsigned f;

	printf("%s%-*s", ink(BOLD), names, "");
	for (f = 0; f < FIGURES; f++)
		printf(" %*s", room_for(f, advice), columns[f].head);
	printf("%s\n", ink(PLAIN));
}

static void print_row(const struct comparison *c, const struct advice *advice, unsigned which, int names)
{
	const struct contender *one = &c->list[which];
	unsigned f;

	printf("%s%-*s", ink((int)which == advice->best ? GOOD : one->fault ? BAD : PLAIN), names, one->name);
	if (one->fault)
		printf(" %.*s", WIDTH - names - 1, one->fault);
	for (f = 0; !one->fault && f < FIGURES; f++)
		print_cell(c, advice, which, f);
	printf("%s\n", ink(PLAIN));
}

void report_table(const struct outcome *o)
{
	const struct comparison *c = o->c;
	const struct advice *advice = o->advice;
	int names = longest_name(c);
	unsigned i;

	print_head(advice, names);
	for (i = 0; i < c->count; i++)
		print_row(c, advice, i, names);
	notes(o);
	fputs(ink(BOLD), stdout);
	print_folded(advice->reason);
	fputs(ink(PLAIN), stdout);
	if (advice->best < 0)
		return;
	printf("%sthe line for the unit file, in [Service]:\n",
	       o->setting->set ? "with the settings of -s after it, " : "");
	printf("EnvironmentFile=/etc/hakmem/%s.env\n", c->list[advice->best].name);
}

static const char *const kinds[] = { "as it is", "again", "glibc", "profile", "peer" };

static json_t *contender_json(const struct comparison *c, unsigned which)
{
	const struct contender *one = &c->list[which];
	json_t *object = json_pack("{ss ss sb so}", "name", one->name, "kind", kinds[one->kind],
				   "failed", one->fault != NULL, "fault", json_text(one->fault));
	unsigned f, i;

	for (f = 0; f < FIGURES; f++) {
		json_t *runs = json_array();

		for (i = 0; !one->fault && i < c->rounds; i++)
			json_array_append_new(runs, json_real(one->run[i].figure[f]));
		json_object_set_new(object, columns[f].name, one->fault || !c->rounds ? json_null() :
				    json_pack("{sf sf so}", "median", median_of(c, which, f),
					      "spread", spread_of(c, which, f), "runs", runs));
		if (one->fault || !c->rounds)
			json_decref(runs);
	}
	return object;
}

static json_t *noise_json(const struct advice *advice)
{
	return advice->brief ? json_null() : json_pack("{sf sf}", "time", advice->noise_time, "memory", advice->noise_memory);
}

void report_json(const struct outcome *o, char *const *argv)
{
	const struct comparison *c = o->c;
	const struct advice *advice = o->advice;
	json_t *list = json_array(), *program = json_array();
	unsigned i;

	for (i = 0; i < c->count; i++)
		json_array_append_new(list, contender_json(c, i));
	for (; *argv; argv++)
		json_array_append_new(program, json_text(*argv));
	print_json(json_pack("{si so si so so ss sb sf ss? ss}", "schema", 2, "program", program,
			     "rounds", (int)c->rounds, "contenders", list, "noise", noise_json(advice),
			     "time", columns[advice->time].name, "rss_for_pss", any_partly(c), "others", c->others,
			     "recommended", advice->best < 0 ? NULL : c->list[advice->best].name,
			     "reason", advice->reason));
}

static void markdown_row(FILE *out, const struct comparison *c, const struct advice *advice, unsigned which)
{
	const struct contender *one = &c->list[which];
	unsigned f;

	fprintf(out, (int)which == advice->best ? "| **%s** |" : "| %s |", one->name);
	for (f = 0; f < FIGURES; f++) {
		char *words = !one->fault ? cell(c, advice, which, f) : text("%s", f ? "" : one->fault);

		fprintf(out, " %s |", words);
		free(words);
	}
	fputc('\n', out);
}

/* The command is in a code block, in which Markdown interprets nothing. */
void report_markdown(FILE *out, const void *argument)
{
	const struct outcome *o = argument;
	const struct comparison *c = o->c;
	unsigned i, f;
	char *words;

	fprintf(out, "    %s\n\n|  |", o->setting->command);
	for (f = 0; f < FIGURES; f++)
		fprintf(out, " %s |", columns[f].head);
	fputs("\n|---|---:|---:|---:|---:|---:|\n", out);
	for (i = 0; i < c->count; i++)
		markdown_row(out, c, o->advice, i);
	fprintf(out, "\nMedian of %u round%s; memory is PSS. %s, %s.\n", c->rounds, plural(c->rounds), o->setting->date, o->setting->machine);
	if (!o->advice->brief) {
		words = noise_text(o->advice);
		fprintf(out, "%c%s.\n", words[0] - 'a' + 'A', words + 1);
		free(words);
	}
	if (any_partly(c))
		fprintf(out, "%s.\n", partly_text);
	fprintf(out, "\n%s\n", o->advice->reason);
}
