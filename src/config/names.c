#include "config/internal.h"

#include <string.h>

enum {
	SHOWN_LINES = 8,	/* problems that are reported one by one */
	SHOWN_BYTES = 48,	/* bytes shown of a name or value from outside */
	LONGEST = 48,		/* bytes of a name that are compared */
};

static const char prefix[] = "HAKMEM_";
enum { PREFIX = sizeof prefix - 1 };

/* Appends text from outside, truncated and without bytes that could control a terminal.
 * Non-ASCII bytes are removed too, because UTF-8 can encode control characters. */
static void show(struct hk_line *line, const char *text, size_t length)
{
	hk_line_printable(line, text, length < SHOWN_BYTES ? length : SHOWN_BYTES);
	if (length > SHOWN_BYTES)
		hk_line_str(line, "...");
}

void hk_problem_value(struct hk_found *found, enum hk_setting_id id,
		      const char *name, const char *text)
{
	struct hk_line line;

	if (found->problems++ >= SHOWN_LINES)
		return;
	hk_line_start(&line);
	hk_line_str(&line, name);
	hk_line_str(&line, ": bad value \"");
	show(&line, text, strlen(text));
	hk_line_str(&line, "\", accepted: ");
	hk_line_str(&line, hk_setting_table[id].accepted);
	hk_line_str(&line, "; keeping ");
	hk_setting_value(id, &line);
	hk_line_str(&line, " (");
	hk_line_str(&line, hk_setting_source(id));
	hk_line_char(&line, ')');
	hk_line_write(&line);
}

void hk_problem_file(const char *what, const char *path, const char *why)
{
	struct hk_line line;

	hk_line_start(&line);
	hk_line_str(&line, "cannot write ");
	hk_line_str(&line, what);
	hk_line_str(&line, " to ");
	hk_line_str(&line, path);
	hk_line_str(&line, ": ");
	hk_line_str(&line, why);
	hk_line_write(&line);
}

void hk_problem_end(const struct hk_found *found)
{
	struct hk_line line;

	if (found->problems <= SHOWN_LINES)
		return;
	hk_line_start(&line);
	hk_line_dec(&line, found->problems - SHOWN_LINES);
	hk_line_str(&line, " more problems with HAKMEM_ variables, not shown");
	hk_line_write(&line);
}

static unsigned least(unsigned a, unsigned b)
{
	return a < b ? a : b;
}

static char upper(char c)
{
	return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/*
 * The edit distance between the typed text and a name. A missing letter costs less than a
 * wrong one, so that PREWARM finds SUPERSLAB_PREWARM instead of a short name. Only the start
 * of a long text is compared, so the work is bounded.
 */
unsigned hk_name_distance(const char *typed, size_t length, const char *name)
{
	enum { LEFT_OUT = 1, WRONG = 3 };
	unsigned row[LONGEST + 1], i, j, n;

	for (n = 0; n < LONGEST && name[n]; n++)
		row[n] = n * LEFT_OUT;
	row[n] = n * LEFT_OUT;
	for (i = 0; i < length && i < LONGEST; i++) {
		unsigned corner = row[0];

		row[0] += WRONG;
		for (j = 1; j <= n; j++) {
			unsigned same = upper(typed[i]) == upper(name[j - 1]) ? 0 : WRONG;
			unsigned best = least(corner + same, row[j] + WRONG);

			corner = row[j];
			row[j] = least(best, row[j - 1] + LEFT_OUT);
		}
	}
	return row[n];
}

static void unknown(struct hk_found *found, const char *name, size_t length)
{
	unsigned i, best = UINT32_MAX, nearest = 0;
	struct hk_line line;

	if (found->problems++ >= SHOWN_LINES)
		return;
	for (i = 0; i < 2 * HK_SET_COUNT; i++) {
		const struct hk_setting *setting = &hk_setting_table[i / 2];
		const char *valid = i % 2 ? setting->older : setting->name;
		unsigned far;

		if (!valid)
			continue;
		far = hk_name_distance(name + PREFIX, length - PREFIX, valid + PREFIX);
		if (far < best) {
			best = far;
			nearest = i / 2;
		}
	}
	hk_line_start(&line);
	show(&line, name, length);
	hk_line_str(&line, ": no such setting, the nearest is ");
	hk_line_str(&line, hk_setting_table[nearest].name);
	hk_line_write(&line);
}

static bool equal(const char *name, size_t length, const char *valid)
{
	return valid && strlen(valid) == length && !memcmp(name, valid, length);
}

/* If a name occurs twice, the first one counts, as for getenv. */
static void note(struct hk_found *found, const char *name, size_t length)
{
	static const char tests[] = "HAKMEM_TEST_";
	const char *value = name + length + 1;
	unsigned id;

	for (id = 0; id < HK_SET_COUNT; id++) {
		const struct hk_setting *setting = &hk_setting_table[id];
		const char **at = equal(name, length, setting->name) ? &found->newer[id] :
				  equal(name, length, setting->older) ? &found->older[id] : NULL;

		if (at) {
			if (!*at)
				*at = value;
			return;
		}
	}
	/* Reserved for test suites, because the programs that they run inherit them. */
	if (strncmp(name, tests, sizeof tests - 1) != 0)
		unknown(found, name, length);
}

void hk_names_find(struct hk_found *found, char *const *environment)
{
	for (; *environment; environment++) {
		const char *end;

		if (strncmp(*environment, prefix, PREFIX) != 0)
			continue;
		end = strchr(*environment, '=');
		if (end)
			note(found, *environment, (size_t)(end - *environment));
	}
}
