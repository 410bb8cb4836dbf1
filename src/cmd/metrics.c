/*
 * Heaps in the text format of Prometheus. Names follow its conventions: the base unit and
 * then _total come last.
 *
 * https://prometheus.io/docs/practices/naming/
 */
#include "cmd/heap.h"

#include <stdlib.h>
#include <string.h>

enum unit { count, bytes, blocks, milliseconds };
static const char *const unit_ends[] = { "", "_bytes", "_blocks", "_seconds" };

struct metric {
	const char *name, *type, *help;
	enum unit unit;
	size_t offset;
	bool of_class, history;
};
static const struct metric metrics[] = {
#define FIGURE(field, kind, unit, meaning) \
	{ #field, #kind, meaning, unit, offsetof(struct hak_stats, field), false, false },
#include "stats/figures.def"
};
static const struct metric class_metrics[] = {
#define CLASS_FIGURE(field, kind, unit, meaning) \
	{ #field, #kind, meaning, unit, offsetof(struct hak_class_stats, field), true, \
	  HK_CLASS_FIGURE_##field >= HK_CLASS_FIGURE_filled },
#include "stats/figures.def"
};

struct output {
	FILE *to;
	const char *name;		/* of the metric that is being written */
};

static void begin(struct output *out, const char *name, const char *type, const char *help)
{
	out->name = name;
	fprintf(out->to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_label(struct output *out, const char *name, const char *value)
{
	fprintf(out->to, ",%s=\"", name);
	for (; *value; value++)
		fprintf(out->to, strchr("\"\\", *value) ? "\\%c" : "%c", *value);
	fputc('"', out->to);
}

/* Like printable(), but does not double a backslash: names of units contain backslashes, as
 * in a\x2db.service, and must be equal to those that other exporters write. */
static void put_untrusted(struct output *out, const char *name, const char *value)
{
	char *plain = grow(NULL, value ? 4 * strlen(value) + 1 : 1), *to = plain;

	for (; value && *value; value++)
		if (*value >= ' ' && *value <= '~')
			*to++ = *value;
		else
			to += sprintf(to, "\\x%02x", (unsigned char)*value);
	*to = 0;
	put_label(out, name, plain);
	free(plain);
}

static void put_labels(struct output *out, const struct heap *heap)
{
	fprintf(out->to, "%s{pid=\"%d\"", out->name, (int)heap->pid);
	put_label(out, "command", heap->command);	/* already printable */
	put_untrusted(out, "unit", heap->memory.unit);
	put_untrusted(out, "cgroup", heap->memory.cgroup);
}

static void put_value(struct output *out, enum unit unit, size_t value)
{
	if (unit == milliseconds)
		fprintf(out->to, "} %zu.%03zu\n", value / 1000, value % 1000);
	else
		fprintf(out->to, "} %zu\n", value);
}

static char *full_name(const struct metric *m)
{
	const char *end = unit_ends[m->unit];
	size_t length = strlen(m->name), of_end = strlen(end);
	bool has = length > of_end && !strcmp(m->name + length - of_end, end);

	return text("hakmem_%s%s%s%s", m->of_class ? "class_" : "", m->name, has ? "" : end,
		    *m->type == 'c' ? "_total" : "");
}

static void put_metric(struct output *out, const struct metric *m, const struct heap *heap, unsigned heaps)
{
	char *name = full_name(m);
	unsigned i, class;

	begin(out, name, m->type, m->help);
	for (i = 0; i < heaps; i++)
		for (class = 0; class < (m->of_class ? HK_CLASSES : 1); class++) {
			const struct hak_class_stats *c = &heap[i].s.class[class];
			const void *of = m->of_class ? (const void *)c : &heap[i].s.all;

			if (heap[i].state != HEAP_READ || (m->of_class && !c->slabs && !c->refills) ||
			    (m->history && !heap[i].s.history))
				continue;
			put_labels(out, &heap[i]);
			if (m->of_class)
				fprintf(out->to, ",size=\"%zu\"", c->size);
			put_value(out, m->unit, *(const size_t *)((const char *)of + m->offset));
		}
	free(name);
}

static void put_memory(struct output *out, const char *name, size_t offset, bool exact, const char *help,
		       const struct heap *heap, unsigned heaps)
{
	unsigned i;

	begin(out, name, "gauge", help);
	for (i = 0; i < heaps; i++) {
		const struct memory *m = &heap[i].memory;

		if (heap[i].state != HEAP_READ || !(exact ? m->exact : m->known))
			continue;
		put_labels(out, &heap[i]);
		put_value(out, bytes, *(const size_t *)((const char *)m + offset));
	}
}

static void put_info(struct output *out, const struct heap *heap, unsigned heaps)
{
	unsigned i;

	begin(out, "hakmem_info", "gauge", "1; the version of the library in the process");
	for (i = 0; i < heaps; i++)
		if (heap[i].state == HEAP_READ) {
			put_labels(out, &heap[i]);
			put_untrusted(out, "version", heap[i].version);
			put_value(out, count, 1);
		}
}

static void put_processes(struct output *out, const struct heap *heap, unsigned heaps, unsigned hidden)
{
	unsigned i, read = 0, failed = 0;

	for (i = 0; i < heaps; i++) {
		read += heap[i].state == HEAP_READ;
		failed += heap[i].state == HEAP_FAULT;
		hidden += heap[i].state == HEAP_HIDDEN;
	}
	begin(out, "hakmem_processes", "gauge", "processes by state: read; failed, could not be read; "
	      "hidden, may not be looked at and may be on HAKMEM");
	fprintf(out->to, "%s{state=\"read\"} %u\n", out->name, read);
	fprintf(out->to, "%s{state=\"failed\"} %u\n", out->name, failed);
	fprintf(out->to, "%s{state=\"hidden\"} %u\n", out->name, hidden);
}

void metrics_write(FILE *to, const struct heap *heap, unsigned heaps, unsigned hidden)
{
	struct output out = { .to = to };
	unsigned i;

	put_processes(&out, heap, heaps, hidden);
	put_info(&out, heap, heaps);
	put_memory(&out, "hakmem_resident_bytes", offsetof(struct memory, rss), false,
		   "RSS of the process", heap, heaps);
	put_memory(&out, "hakmem_proportional_bytes", offsetof(struct memory, pss), true,
		   "PSS of the process: RSS with shared pages divided by those that share them", heap, heaps);
	put_memory(&out, "hakmem_swapped_bytes", offsetof(struct memory, swap), true,
		   "memory of the process in swap", heap, heaps);
	for (i = 0; i < HK_FIGURES; i++)
		put_metric(&out, &metrics[i], heap, heaps);
	/* The size is a label, not a metric. */
	for (i = HK_CLASS_FIGURE_used; i < HK_CLASS_FIGURES; i++)
		put_metric(&out, &class_metrics[i], heap, heaps);
}
