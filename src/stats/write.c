/* A snapshot as text or as JSON, line by line. */
#include "stats/figures.h"

#include "os/line.h"

/* The group is written separately. */
_Static_assert(HK_FIGURES == sizeof(struct hak_stats) / sizeof(size_t) &&
	       HK_CLASS_FIGURES + 1 == sizeof(struct hak_class_stats) / sizeof(size_t),
	       "every figure is written");

static size_t get(const void *of, const struct hk_named_figure *f)
{
	return *(const size_t *)((const char *)of + f->offset);
}

/* The output of lines, in pieces that fit the buffer. */
struct sink {
	struct hk_line line;
	bool json;
	hk_writer out;
	void *argument;
};

static void send(struct sink *to)
{
	to->out(to->argument, to->line.text, to->line.length);
	to->line.length = 0;
}

static void end_line(struct sink *to)
{
	hk_line_char(&to->line, '\n');
	send(to);
}

static void put_pair(struct sink *to, const char *name, size_t value)
{
	if (to->line.length > sizeof to->line.text / 2)
		send(to);
	hk_line_str(&to->line, to->json ? ",\"" : " ");
	hk_line_str(&to->line, name);
	hk_line_str(&to->line, to->json ? "\":" : " ");
	hk_line_dec(&to->line, value);
}

static void put_class(struct sink *to, bool first, bool history, const struct hak_class_stats *c)
{
	unsigned i, end = hk_class_figure_count(history);

	hk_line_str(&to->line, !to->json ? "class C" : first ? " {\"group\":" : " ,{\"group\":");
	hk_line_dec(&to->line, c->group);
	for (i = 0; i < end; i++)
		put_pair(to, hk_class_figures[i].name, get(c, &hk_class_figures[i]));
	if (to->json)
		hk_line_char(&to->line, '}');
	end_line(to);
}

static void put_decision(struct sink *to, bool first, const struct hk_decision *d)
{
	const char *moved = hk_learn_moved(d->reason);

	hk_line_str(&to->line, !to->json ? "decision" : first ? " {\"limit\":\"" : " ,{\"limit\":\"");
	hk_line_str(&to->line, to->json ? "" : " ");
	hk_line_str(&to->line, moved);
	hk_line_str(&to->line, to->json ? "\"" : "");
	if (d->reason < HK_DENSE)
		put_pair(to, "size", hk_class_size(d->class));
	put_pair(to, "from", d->from);
	put_pair(to, "to", d->to);
	hk_line_str(&to->line, to->json ? ",\"reason\":\"" : " reason ");
	hk_line_str(&to->line, hk_learn_reason(d->reason));
	hk_line_str(&to->line, to->json ? "\"}" : "");
	end_line(to);
}

static void put_head(struct sink *to, const struct hk_snapshot *s)
{
	hk_line_str(&to->line, to->json ? "{\"schema\":1,\"version\":\"" : "hakmem ");
	hk_line_str(&to->line, s->version);
	hk_line_str(&to->line, to->json ? "\"" : " statistics (bytes and counts)\n");
	put_pair(to, "pid", (size_t)s->pid);
	end_line(to);
}

void hk_snapshot_write(const struct hk_snapshot *s, bool json, hk_writer out, void *argument)
{
	struct sink to = { .json = json, .out = out, .argument = argument };
	bool first = true;
	unsigned i;

	put_head(&to, s);
	for (i = 0; i < HK_FIGURES; i++) {
		put_pair(&to, hk_figures[i].name, get(&s->all, &hk_figures[i]));
		end_line(&to);
	}
	if (json) {
		hk_line_str(&to.line, ",\"classes\":[");
		end_line(&to);
	}
	for (i = 0; i < HK_CLASSES; i++) {
		if (!s->class[i].slabs && !s->class[i].refills)
			continue;
		put_class(&to, first, s->history, &s->class[i]);
		first = false;
	}
	if (json) {
		hk_line_str(&to.line, "],\"decisions\":[");
		end_line(&to);
	}
	for (i = 0; i < s->decisions; i++)
		put_decision(&to, i == 0, &s->decision[i]);
	if (json) {
		hk_line_str(&to.line, "]}");
		end_line(&to);
	}
}
