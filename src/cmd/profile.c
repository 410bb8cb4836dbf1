/* hakmem profile: which calls allocated the memory of a process. */
#include "cmd/profile.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ROWS = 20 };
static const char usual_rate[] = "524288";

static void write_json(FILE *out, const struct shown *s)
{
	json_t *value = profile_json(s);

	if (!value || json_dumpf(value, out, JSON_INDENT(2) | JSON_REAL_PRECISION(9) | JSON_ENSURE_ASCII))
		fail(FOUND, "cannot write this as JSON");
	putc('\n', out);
	json_decref(value);
}

static void write_text(FILE *out, const struct shown *s)
{
	profile_write_text(out, s->profile);
}

static const struct format {
	const char *name;
	void (*write)(FILE *out, const struct shown *s);
	bool names;			/* needs the names of functions */
	bool notes;			/* can contain notes */
	bool negative;			/* can contain figures below 0 */
} formats[] = {
	{ "table", profile_write_table, true, true, true },
	{ "json", write_json, true, false, true },
	{ "folded", profile_write_folded, true, false, true },
	{ "flame", profile_write_flame, true, false, true },
	{ "pprof", profile_write_pprof, true, false, true },
	{ "text", write_text, false, false, false },
};
enum { FORMATS = sizeof formats / sizeof *formats };

static const struct format *format_of(const struct args *a)
{
	const char *names[FORMATS + 1], *name = a->format ? a->format : a->json ? "json" : "table", *meant;
	unsigned i;

	for (i = 0; i < FORMATS; i++) {
		names[i] = formats[i].name;
		if (!strcmp(name, names[i]))
			return &formats[i];
	}
	names[i] = NULL;
	meant = nearest(name, names);
	if (meant)
		warn("there is no format \"%s\"; did you mean \"%s\"?", name, meant);
	else
		warn("there is no format \"%s\"", name);
	return NULL;
}

static bool is_number(const char *word)
{
	return *word && !word[strspn(word, "0123456789")];
}

/* Without --seconds, a process that takes samples is read at once. False: an error was printed. */
static bool read_process(struct profile *p, pid_t pid, const struct args *a)
{
	const struct observation o = { a->seconds, a->leak, a->rate ? a->rate : usual_rate };
	struct profile before;
	bool good;

	if (!profile_read(p, pid, a->leak))
		return false;
	if (p->on && !(a->seconds > 0))
		return true;
	before = *p;
	*p = (struct profile){ .pid = pid };
	good = profile_observe(p, &before, &o);
	/* Samples from before the wait are subtracted. Blocks in use are not, unless sampling was
	 * already on. */
	if (good && before.mean && (before.on || a->allocated) && !a->base)
		profile_subtract(p, &before);
	profile_free(&before);
	return good;
}

/* pid: 0 for a file. */
static bool read_profile(struct profile *p, pid_t pid, const struct args *a)
{
	return pid ? read_process(p, pid, a) : profile_load(p, *a->argv);
}

static bool subtract_base(struct profile *p, const char *path)
{
	struct profile base;

	if (!profile_load(&base, path)) {
		profile_free(&base);
		return false;
	}
	if (base.mean != p->mean)
		warn("note: the samples of %s have another mean distance", path);
	profile_subtract(p, &base);
	profile_free(&base);
	return true;
}

struct job {
	const struct format *format;
	struct shown shown;
};

static void make(FILE *out, const void *argument)
{
	const struct job *job = argument;

	job->format->write(out, &job->shown);
}

static int write_out(const struct job *job, const char *path)
{
	if (!path && job->format->write == profile_write_pprof && isatty(STDOUT_FILENO))
		return fail(USAGE, "pprof's format is not for a terminal: use -o FILE");
	if (!path)
		make(stdout, job);
	else if (!output_made(path, make, job))
		return FOUND;
	if (!job->format->notes)
		profile_write_notes(stderr, "hakmem: note: ", &job->shown);
	return 0;
}

static int show(struct profile *p, const struct args *a, const struct format *format)
{
	struct job job = { format, { .profile = p, .view = a->allocated ? VIEW_ALLOCATED : VIEW_LIVE,
		.min_age = a->leak, .rows = a->rows_given ? a->rows : ROWS } };

	if (a->base && !subtract_base(p, a->base))
		return FOUND;
	job.shown.growth = p->difference;
	if (format->names)
		profile_symbolize(p);
	return write_out(&job, a->output);
}

static const char *contradiction(const struct args *a, const struct format *format)
{
	bool file = !is_number(*a->argv);

	if (a->json && a->format && strcmp(a->format, "json") != 0)
		return "--json and this --format exclude each other";
	if (a->live + a->allocated + (a->leak > 0) > 1)
		return "--live, --allocated and --leak exclude each other";
	if (file && a->leak > 0)
		return "a file does not contain the age of blocks: --leak needs a process";
	if (a->base && a->leak > 0)
		return "--base and --leak exclude each other";
	if (file && (a->seconds > 0 || a->rate))
		return "--seconds and --rate need a process";
	if (a->rate && !profile_rate_good(a->rate))
		return "--rate takes bytes, up to 1073741824";
	if (a->base && !format->negative)
		return "this format cannot contain differences: --base needs another one";
	return NULL;
}

static int profile(int argc, char **argv)
{
	const struct format *format;
	const char *wrong;
	struct args a;
	struct profile p = { 0 };
	pid_t pid = 0;
	int status;

	if (!args_read(&a, &command_profile, argc, argv, &status))
		return status;
	if (a.argc != 1)
		return fail(USAGE, "profile takes one process id or file, as in: hakmem profile 1234");
	format = format_of(&a);
	if (!format)
		return USAGE;
	wrong = contradiction(&a, format);
	if (wrong)
		return fail(USAGE, "profile: %s", wrong);
	if (is_number(*a.argv) && !process_id(*a.argv, &pid))
		return USAGE;
	status = read_profile(&p, pid, &a) ? show(&p, &a, format) : FOUND;
	profile_free(&p);
	return status;
}

const struct command command_profile = {
	"profile", "VCBKTEYXGj", profile, USAGE,
	"[option ...] PID | FILE",
	"which calls allocated the memory of a process",
	"Shows the call stacks of the blocks that a process on HAKMEM holds, the largest\n"
	"sum first. If the process takes no samples (HAKMEM_SAMPLE), sampling is turned on\n"
	"for 10 seconds. FILE: a profile that the library has written\n"
	"(HAKMEM_SAMPLE_DUMP), or that this command has written in the text format.",
};
