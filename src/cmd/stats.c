/* hakmem stats: the figures of running processes, read from outside. */
#include "cmd/heap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct metric {
	const char *name, *type, *help;
	size_t offset;
};
static const struct metric metrics[] = {
#define FIGURE(field, kind, meaning) { #field, #kind, meaning, offsetof(struct hak_stats, field) },
#include "stats/figures.def"
};
static const struct metric class_metrics[] = {
#define CLASS_FIGURE(field, kind, meaning) { #field, #kind, meaning, offsetof(struct hak_class_stats, field) },
#include "stats/figures.def"
};

static size_t value_of(const struct metric *m, const void *of)
{
	return *(const size_t *)((const char *)of + m->offset);
}

static void put_values(json_t *to, const struct metric *list, unsigned count, const void *of)
{
	unsigned i;

	for (i = 0; i < count; i++) {
		size_t value = value_of(&list[i], of);

		json_object_set_new(to, list[i].name, json_integer(value < INT64_MAX ? (json_int_t)value : INT64_MAX));
	}
}

/* Like the report of the library, with additional members about the reading. */
static int as_json(const struct heap *heap)
{
	enum { HISTORY = 3 };		/* the last ones; see figures.def */
	json_t *classes = json_array();
	json_t *report = json_pack("{si so si}", "schema", 1, "version", json_text(heap->version), "pid", (int)heap->pid);
	unsigned i;

	put_values(report, metrics, HK_FIGURES, &heap->s.all);
	for (i = 0; i < HK_CLASSES; i++) {
		const struct hak_class_stats *c = &heap->s.class[i];
		json_t *one;

		if (!c->slabs && !c->refills)
			continue;
		one = json_pack("{si}", "group", (int)c->group);
		put_values(one, class_metrics, HK_CLASS_FIGURES - (heap->s.history ? 0 : HISTORY), c);
		json_array_append_new(classes, one);
	}
	json_object_set_new(report, "classes", classes);
	json_object_set_new(report, "decisions", json_array());
	json_object_set_new(report, "exact", json_boolean(heap->exact));
	return print_json(report);
}

static double mib(size_t bytes)
{
	return (double)bytes / (1 << 20);
}

static int as_text(const struct heap *heap)
{
	const struct hk_snapshot *s = &heap->s;
	const struct hak_stats *a = &s->all;
	char *version = printable(heap->version, 4 * sizeof heap->version);
	unsigned i;

	printf("%s%s (%ld)%s on HAKMEM %s, %zu threads\n", ink(BOLD), heap->command, s->pid, ink(PLAIN),
	       version, a->threads);
	free(version);
	if (!heap->exact)
		printf("%sbusy: figures moved while they were read, and may miss a few blocks%s\n", ink(DIM), ink(PLAIN));
	printf("\n%12.1f MiB mapped, at most %.1f MiB\n", mib(a->mapped), mib(a->mapped_peak));
	printf("%12.1f MiB in use: %.1f MiB in %zu blocks to 32 KiB, %.1f MiB in %zu to 1 MiB, %.1f MiB in %zu larger\n",
	       mib(a->in_use), mib(a->slab_bytes), a->slab_blocks, mib(a->mid_bytes), a->mid_blocks,
	       mib(a->large_bytes), a->large_blocks);
	printf("%12.1f MiB cached in threads\n", mib(a->cached));
	printf("%12.1f MiB free, %.1f MiB given back so far\n", mib(a->free_bytes), mib(a->purged_bytes));
	printf("%12.1f MiB metadata\n", mib(a->metadata));
	printf("\n%12zu SuperSlabs, at most %zu; slabs acquired by reuse %zu, claim %zu, grow %zu\n", a->superslabs,
	       a->superslabs_peak, a->reuse, a->claim, a->grow);
	printf("%12zu blocks freed by other threads, %zu taken back\n\n", a->remote_sent, a->remote_received);
	printf("%s%-6s %6s %10s %8s %8s %7s %9s %9s%s\n", ink(BOLD), "group", "size", "used", "cached", "free",
	       "slabs", "refills", "flushes", ink(PLAIN));
	for (i = 0; i < HK_CLASSES; i++) {
		const struct hak_class_stats *c = &s->class[i];

		if (c->slabs || c->refills)
			printf("C%-5zu %6zu %10zu %8zu %8zu %7zu %9zu %9zu\n", c->group, c->size, c->used, c->cached,
			       c->free_blocks, c->slabs, c->refills, c->flushes);
	}
	return 0;
}

/* Writes a value for the quotes of a label. */
static void put_label(FILE *out, const char *value)
{
	for (; *value; value++)
		fprintf(out, strchr("\"\\", *value) ? "\\%c" : "%c", *value);
}

static void put_metric(FILE *out, const struct metric *m, bool of_class, const struct heap *heap, unsigned count)
{
	const char *middle = of_class ? "class_" : "", *end = *m->type == 'c' ? "_total" : "";
	unsigned i, class;

	fprintf(out, "# HELP hakmem_%s%s%s %s\n# TYPE hakmem_%s%s%s %s\n", middle, m->name, end, m->help,
		middle, m->name, end, m->type);
	for (i = 0; i < count; i++)
		for (class = 0; class < (of_class ? HK_CLASSES : 1); class++) {
			const struct hak_class_stats *c = &heap[i].s.class[class];

			if (heap[i].state != HEAP_READ || (of_class && !c->slabs && !c->refills))
				continue;
			fprintf(out, "hakmem_%s%s%s{pid=\"%d\",command=\"", middle, m->name, end, (int)heap[i].pid);
			put_label(out, heap[i].command);
			if (of_class)
				fprintf(out, "\",size=\"%zu", c->size);
			fprintf(out, "\"} %zu\n", value_of(m, of_class ? (const void *)c : &heap[i].s.all));
		}
}

static void put_metrics(FILE *out, const struct heap *heap, unsigned count)
{
	unsigned i;

	for (i = 0; i < HK_FIGURES; i++)
		put_metric(out, &metrics[i], false, heap, count);
	/* The size is a label. */
	for (i = HK_CLASS_FIGURE_used; i < HK_CLASS_FIGURES; i++)
		put_metric(out, &class_metrics[i], true, heap, count);
}

/* A collector must never see half a file. */
static int to_file(const char *path, const struct heap *heap, unsigned count)
{
	char *all = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&all, &size);
	bool good;

	if (!out)
		return fail(FOUND, "out of memory");
	put_metrics(out, heap, count);
	good = fclose(out) == 0 && output_replace(path, all, size);
	free(all);
	return good ? 0 : FOUND;
}

/* Prints a line for each heap that was not read; true if there was one. */
static bool say_faults(const struct heap *heap, unsigned count)
{
	bool found = false;
	unsigned i;

	for (i = 0; i < count; i++) {
		char *fault = heap_fault(&heap[i]);

		if (heap[i].state != HEAP_READ)
			warn("%s", heap[i].state == HEAP_FAULT ? fault : heap[i].why);
		found |= heap[i].state != HEAP_READ;
		free(fault);
	}
	return found;
}

static struct heap *read_given(const struct args *a, unsigned *count)
{
	pid_t *pid = grow(NULL, ((unsigned)a->argc + 1) * sizeof *pid);
	struct heap *heap = NULL;
	unsigned i;

	*count = (unsigned)a->argc;
	for (i = 0; i < *count && process_id(a->argv[i], &pid[i]); i++)
		;
	if (i == *count)
		heap = heaps_read(pid, *count, NULL);
	free(pid);
	return heap;
}

/* Fails for an unreadable process only if it was given by its id. */
static int for_prometheus(const struct args *a)
{
	unsigned count;
	struct heap *heap = a->argc ? read_given(a, &count) : heaps_read_all(&count, NULL);
	int status = 0, missing;

	if (!heap)
		return USAGE;
	missing = say_faults(heap, count) && a->argc ? FOUND : 0;
	if (a->output)
		status = to_file(a->output, heap, count);
	else
		put_metrics(stdout, heap, count);
	heaps_free(heap, count);
	return status ? status : missing;
}

static int stats(int argc, char **argv)
{
	struct heap *heap;
	struct args a;
	unsigned count;
	int status;

	if (!args_read(&a, &command_stats, argc, argv, &status))
		return status;
	if (a.output && !a.prometheus)
		return fail(USAGE, "--output goes with --prometheus");
	if (a.prometheus)
		return for_prometheus(&a);
	if (a.argc != 1)
		return fail(USAGE, "stats takes one process id; hakmem top shows those there are");
	heap = read_given(&a, &count);
	if (!heap)
		return USAGE;
	status = say_faults(heap, count) ? FOUND : a.json ? as_json(heap) : as_text(heap);
	heaps_free(heap, count);
	return status;
}

const struct command command_stats = {
	"stats", "jmO", stats, USAGE, "[--json] PID | --prometheus [--output FILE] [PID ...]",
	"live figures of a running process",
	"Reads the statistics of a running process from outside: it is not stopped and\n"
	"does nothing for it. The figures are those of hak_stats(), malloc_info() and\n"
	"HAKMEM_STATS_DUMP; hakmem(3) explains them. --prometheus without a process id\n"
	"takes all processes that can be read.\n"
	"Exit status: 0 done, 1 not on HAKMEM or not to be read, 2 usage.",
};
