/* hakmem stats: the figures of running processes, read from outside. */
#include "cmd/heap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct buffer {
	char *data;
	size_t size;
};

static void collect(void *argument, const char *piece, size_t length)
{
	struct buffer *b = argument;

	b->data = grow(b->data, b->size + length + 1);
	memcpy(b->data + b->size, piece, length);
	b->size += length;
	b->data[b->size] = 0;
}

/* The library's own report, and what only a reader from outside has to say. */
static int as_json(const struct hk_snapshot *s, bool exact)
{
	struct buffer b = { 0 };
	json_t *report;

	hk_snapshot_write(s, true, collect, &b);
	report = json_loads(b.data, 0, NULL);
	free(b.data);
	json_object_set_new(report, "exact", json_boolean(exact));
	return print_json(report);
}

static double mib(size_t bytes)
{
	return (double)bytes / (1 << 20);
}

static int as_text(const struct heap *heap, const struct hk_snapshot *s, bool exact)
{
	const struct hak_stats *a = &s->all;
	unsigned i;

	printf("%s%s (%ld)%s on HAKMEM %s, %zu threads\n", ink(BOLD), heap->command, s->pid, ink(PLAIN),
	       s->version, a->threads);
	if (!exact)
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

static void put_metric(FILE *out, const struct metric *m, bool of_class, const struct heap *heap,
		       const struct hk_snapshot *s, unsigned count)
{
	const char *middle = of_class ? "class_" : "", *end = *m->type == 'c' ? "_total" : "";
	unsigned i, class;

	fprintf(out, "# HELP hakmem_%s%s%s %s\n# TYPE hakmem_%s%s%s %s\n", middle, m->name, end, m->help,
		middle, m->name, end, m->type);
	for (i = 0; i < count; i++)
		for (class = 0; class < (of_class ? HK_CLASSES : 1); class++) {
			const struct hak_class_stats *c = &s[i].class[class];
			const void *from = of_class ? (const void *)c : &s[i].all;

			if (of_class && !c->slabs && !c->refills)
				continue;
			fprintf(out, "hakmem_%s%s%s{pid=\"%ld\",command=\"%s\"", middle, m->name, end,
				s[i].pid, heap[i].command);
			if (of_class)
				fprintf(out, ",size=\"%zu\"", c->size);
			fprintf(out, "} %zu\n", *(const size_t *)((const char *)from + m->offset));
		}
}

static void put_metrics(FILE *out, const struct heap *heap, const struct hk_snapshot *s, unsigned count)
{
	unsigned i;

	for (i = 0; i < HK_FIGURES; i++)
		put_metric(out, &metrics[i], false, heap, s, count);
	/* The size is a label. */
	for (i = HK_CLASS_FIGURE_used; i < HK_CLASS_FIGURES; i++)
		put_metric(out, &class_metrics[i], true, heap, s, count);
}

/* A collector must never see half a file. */
static int to_file(const char *path, const struct heap *heap, const struct hk_snapshot *s, unsigned count)
{
	char *all = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&all, &size);
	bool good;

	if (!out)
		return fail(FOUND, "out of memory");
	put_metrics(out, heap, s, count);
	good = fclose(out) == 0 && output_replace(path, all, size);
	free(all);
	return good ? 0 : FOUND;
}

static int for_prometheus(const struct args *a)
{
	struct heap *heap = NULL;
	struct hk_snapshot *s;
	unsigned count = 0, good = 0, i;
	bool exact;

	if (!a->argc)
		heap = heap_find_all(&count);
	for (i = 0; i < (unsigned)a->argc; i++) {
		char *why;
		pid_t pid;

		if (!process_id(a->argv[i], &pid))
			return USAGE;
		heap = grow(heap, (count + 1) * sizeof *heap);
		why = heap_find(&heap[count], pid);
		if (why)
			return fail(FOUND, "%s", why);
		count++;
	}
	s = grow(NULL, (count + 1) * sizeof *s);
	for (i = 0; i < count; i++)
		if (heap_read(&heap[i], &s[good], &exact))
			heap[good++] = heap[i];
	if (a->output)
		return to_file(a->output, heap, s, good);
	put_metrics(stdout, heap, s, good);
	return 0;
}

static int stats(int argc, char **argv)
{
	struct hk_snapshot s;
	struct heap heap;
	struct args a;
	int status;
	bool exact;
	char *why;
	pid_t pid;

	if (!args_read(&a, &command_stats, argc, argv, &status))
		return status;
	if (a.output && !a.prometheus)
		return fail(USAGE, "--output goes with --prometheus");
	if (a.prometheus)
		return for_prometheus(&a);
	if (a.argc != 1)
		return fail(USAGE, "stats takes one process id; hakmem top shows those there are");
	if (!process_id(a.argv[0], &pid))
		return USAGE;
	why = heap_find(&heap, pid);
	if (why)
		return fail(FOUND, "%s", why);
	if (!heap_read(&heap, &s, &exact))
		return fail(FOUND, "cannot read the heap of process %d: it has ended, or its memory is damaged", (int)pid);
	return a.json ? as_json(&s, exact) : as_text(&heap, &s, exact);
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
