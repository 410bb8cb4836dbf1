/* hakmem stats: the figures of running processes, read from outside. */
#include "cmd/heap.h"
#include "stats/figures.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static json_t *json_size(size_t value)
{
	return json_integer(value < INT64_MAX ? (json_int_t)value : INT64_MAX);
}

static void put_values(json_t *to, const struct hk_named_figure *list, unsigned count, const void *of)
{
	unsigned i;

	for (i = 0; i < count; i++)
		json_object_set_new(to, list[i].name, json_size(*(const size_t *)((const char *)of + list[i].offset)));
}

/* The command, unit and memory of the process. Unknown values are null. */
static json_t *process_json(const struct heap *heap)
{
	const struct memory *m = &heap->memory;
	json_t *process = json_pack("{ss so so}", "command", heap->command, "cgroup", json_text(m->cgroup),
				    "unit", json_text(m->unit));

	json_object_set_new(process, "rss", m->known ? json_size(m->rss) : json_null());
	json_object_set_new(process, "pss", m->exact ? json_size(m->pss) : json_null());
	json_object_set_new(process, "swap", m->exact ? json_size(m->swap) : json_null());
	return process;
}

static json_t *shares_json(const struct heap *heap)
{
	struct shares s = memory_shares(&heap->memory, &heap->s.all);

	if (!heap->memory.known)
		return json_null();
	return json_pack("{so so so so so so}", "in_use", json_size(s.in_use), "cached", json_size(s.cached),
			 "free_at_most", json_size(s.free), "metadata", json_size(s.metadata),
			 "other", json_size(s.other), "heap_absent", json_size(s.absent));
}

static json_t *threads_json(const struct heap *heap)
{
	json_t *threads = json_array();
	unsigned i;

	for (i = 0; i < heap->threads; i++) {
		const struct heap_thread *t = &heap->thread[i];

		json_array_append_new(threads, json_pack("{so so so so so so}", "cache", json_size(t->number),
			"cached", json_size(t->cached), "refills", json_size(t->refills),
			"flushes", json_size(t->flushes), "remote_sent", json_size(t->sent),
			"remote_received", json_size(t->received)));
	}
	return threads;
}

static json_t *classes_json(const struct heap *heap)
{
	json_t *classes = json_array();
	unsigned i;

	for (i = 0; i < HK_CLASSES; i++) {
		const struct hak_class_stats *c = &heap->s.class[i];
		json_t *one;

		if (!c->slabs && !c->refills)
			continue;
		one = json_pack("{si}", "group", (int)c->group);
		put_values(one, hk_class_figures, hk_class_figure_count(heap->s.history), c);
		json_array_append_new(classes, one);
	}
	return classes;
}

/* Like the library's report, with members that it does not have. */
static json_t *as_json(const struct heap *heap)
{
	json_t *report = json_pack("{si so si}", "schema", 1, "version", json_text(heap->version), "pid", (int)heap->pid);

	put_values(report, hk_figures, HK_FIGURES, &heap->s.all);
	json_object_set_new(report, "classes", classes_json(heap));
	json_object_set_new(report, "decisions", json_array());
	json_object_set_new(report, "exact", json_boolean(heap->exact));
	json_object_set_new(report, "process", process_json(heap));
	json_object_set_new(report, "resident", shares_json(heap));
	json_object_set_new(report, "thread_caches", threads_json(heap));
	json_object_set_new(report, "shared_cached", json_size(heap->shared_cached));
	return report;
}

static unsigned percent(size_t part, size_t whole)
{
	return part < whole ? (unsigned)(100 * (double)part / (double)whole + 0.5) : whole ? 100 : 0;
}

static void put_memory(const struct heap *heap)
{
	const struct memory *m = &heap->memory;
	struct shares s = memory_shares(m, &heap->s.all);

	if (!m->known)
		return;
	printf("%12s RSS", SIZE(m->rss));
	if (m->exact)
		printf(", %s PSS, %s in swap", SIZE(m->pss), SIZE(m->swap));
	printf("\n%14sof RSS: %u%% in use, %u%% cached, up to %u%% free, %u%% metadata, %u%% not of the heap\n", "",
	       percent(s.in_use, m->rss), percent(s.cached, m->rss), percent(s.free, m->rss),
	       percent(s.metadata, m->rss), percent(s.other, m->rss));
}

static void put_totals(const struct heap *heap)
{
	const struct hak_stats *a = &heap->s.all;

	printf("%12s mapped, at most %s", SIZE(a->mapped), SIZE(a->mapped_peak));
	if (heap->memory.known)
		printf("; %s of it not in memory", SIZE(memory_shares(&heap->memory, a).absent));
	printf("\n%12s in use: %s in %zu block%s to 32 KiB, %s in %zu to 1 MiB, %s in %zu larger\n",
	       SIZE(a->in_use), SIZE(a->slab_bytes), a->slab_blocks, plural((double)a->slab_blocks), SIZE(a->mid_bytes), a->mid_blocks,
	       SIZE(a->large_bytes), a->large_blocks);
	if (a->samples)
		printf("%14sof it, about %s not requested, estimated from samples\n", "", SIZE(a->waste_estimate));
	printf("%12s cached in threads\n", SIZE(a->cached));
	printf("%12s free, %s of it in holes without memory; %s released so far\n", SIZE(a->free_bytes),
	       SIZE(a->hole_bytes), SIZE(a->purged_bytes + a->hole_purged_bytes));
	printf("%12s metadata\n", SIZE(a->metadata));
	printf("\n%12zu SuperSlab%s, at most %zu; slabs acquired by reuse %zu, claim %zu, grow %zu\n", a->superslabs,
	       plural((double)a->superslabs), a->superslabs_peak, a->reuse, a->claim, a->grow);
	printf("%12zu block%s freed by other threads, %zu received by their owners\n\n", a->remote_sent,
	       plural((double)a->remote_sent), a->remote_received);
}

static void put_classes(const struct heap *heap)
{
	unsigned i;

	printf("%s%-6s %6s %10s %8s %8s %8s %7s %9s %9s%s\n", ink(BOLD), "group", "size", "used", "cached", "free",
	       "in use", "slabs", "refills", "flushes", ink(PLAIN));
	for (i = 0; i < HK_CLASSES; i++) {
		const struct hak_class_stats *c = &heap->s.class[i];

		if (c->slabs || c->refills)
			printf("C%-5zu %6zu %10zu %8zu %8zu %7u%% %7zu %9zu %9zu\n", c->group, c->size, c->used,
			       c->cached, c->free_blocks, percent(c->used, c->used + c->cached + c->free_blocks),
			       c->slabs, c->refills, c->flushes);
	}
}

static void put_threads(const struct heap *heap)
{
	enum { SHOWN = 16 };
	unsigned i;

	if (!heap->threads)
		return;
	printf("\n%s%-6s %10s %9s %9s %10s %10s%s\n", ink(BOLD), "thread", "cached", "refills", "flushes", "sent",
	       "received", ink(PLAIN));
	for (i = 0; i < heap->threads && i < SHOWN; i++) {
		const struct heap_thread *t = &heap->thread[i];

		printf("%-6zu %10s %9zu %9zu %10zu %10zu\n", t->number, SIZE(t->cached), t->refills, t->flushes,
		       t->sent, t->received);
	}
	if (heap->s.all.threads > i)
		printf("%sand %zu with less%s\n", ink(DIM), heap->s.all.threads - i, ink(PLAIN));
	if (heap->shared_cached)
		printf("%-6s %10s\n", "shared", SIZE(heap->shared_cached));
}

static void as_text(const struct heap *heap)
{
	const struct hak_stats *a = &heap->s.all;
	char *version = printable(heap->version, 4 * sizeof heap->version);
	char *unit = printable(heap->memory.unit ? heap->memory.unit : "", 128);

	printf("%s%s (%ld)%s on HAKMEM %s, %zu thread%s%s%s\n", ink(BOLD), heap->command, heap->s.pid, ink(PLAIN),
	       version, a->threads, plural((double)a->threads), *unit ? ", unit " : "", unit);
	free(version);
	free(unit);
	if (!heap->exact)
		printf("%sbusy: figures moved while they were read, and may miss a few blocks%s\n", ink(DIM), ink(PLAIN));
	putchar('\n');
	put_memory(heap);
	put_totals(heap);
	put_classes(heap);
	put_threads(heap);
}

struct heaps {
	const struct heap *heap;
	unsigned count, hidden;
};

static void put_metrics(FILE *out, const void *argument)
{
	const struct heaps *heaps = argument;

	metrics_write(out, heaps->heap, heaps->count, heaps->hidden);
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

/* An unreadable process is an error only if the user named it by its id. */
static int for_prometheus(const struct args *a)
{
	unsigned count, hidden = 0;
	struct heap *heap = a->argc ? read_given(a, &count) : heaps_read_all(&count, &hidden, NULL);
	int status = 0, missing;

	if (!heap)
		return USAGE;
	memory_read(heap, count, NULL);
	missing = say_faults(heap, count) && a->argc ? FOUND : 0;
	if (a->output)
		status = output_made(a->output, put_metrics, &(struct heaps){ heap, count, hidden }) ? 0 : FOUND;
	else
		metrics_write(stdout, heap, count, hidden);
	heaps_free(heap, count);
	return status ? status : missing;
}

/* At most 80 columns. */
static void put_line(const struct heap *before, const struct heap *now, double seconds, bool head)
{
	const struct hak_stats *a = &now->s.all, *b = before ? &before->s.all : a;
	const struct memory *m = &now->memory, *n = before ? &before->memory : m;
	time_t clock = time(NULL);
	char hour[16] = "", rate[24] = "-";

	if (head)
		printf("%s%-8s %7s %8s %7s %8s %7s %8s %7s %9s%s\n", ink(BOLD), "time", "RSS", "", "in use", "",
		       "cached", "", "free", "slow/s", ink(PLAIN));
	strftime(hour, sizeof hour, "%T", localtime(&clock));
	if (before && heap_slow_paths(now) >= heap_slow_paths(before))
		snprintf(rate, sizeof rate, "%.0f", (double)(heap_slow_paths(now) - heap_slow_paths(before)) / seconds);
	printf("%-8s %7s %8s %7s %8s %7s %8s %7s %9s\n", hour, SHORT(m->rss), CHANGE(n->rss, m->rss), SHORT(a->in_use),
	       CHANGE(b->in_use, a->in_use), SHORT(a->cached), CHANGE(b->cached, a->cached), SHORT(a->free_bytes), rate);
}

/* One object per line. */
static bool put_json_line(const struct heap *heap)
{
	json_t *report = as_json(heap);
	char *line;
	bool good;

	json_object_set_new(report, "time", json_integer((json_int_t)time(NULL)));
	line = json_dumps(report, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(report);
	good = line && puts(line) >= 0;
	free(line);
	return good;
}

/* Waits, and reads the process again. NULL: it has ended, perhaps as a zombie, or runs
 * another program; this was reported. A failed reading is reported and repeated. */
static struct heap *read_again(const struct heap *before, double delay)
{
	struct timespec wait = { (time_t)delay, (long)((delay - (double)(time_t)delay) * 1e9) };
	bool there = true;
	struct heap *now;

	while (there) {
		nanosleep(&wait, NULL);
		if (process_started(before->pid) != before->started)
			break;
		now = heaps_read(&before->pid, 1, NULL);
		if (now->state == HEAP_READ)
			return now;
		there = now->state == HEAP_FAULT;
		if (there)
			say_faults(now, 1);
		heaps_free(now, 1);
	}
	warn("process %d has ended%s", (int)before->pid, there ? "" : ", or runs another program");
	return NULL;
}

/* Prints lines until the process ends, or until the given number is reached. */
static int watch(const struct args *a, struct heap *now)
{
	enum { HEAD = 20 };		/* lines between two headings */
	double delay = a->delay > 0 ? a->delay : 2, when = 0, earlier;
	struct heap *before = NULL;
	unsigned lines = 0;
	bool good = true;

	for (; now && good; now = read_again(before, delay)) {
		memory_read(now, 1, NULL);
		earlier = when;
		when = seconds_now();
		if (a->json)
			good = put_json_line(now);
		else
			put_line(before, now, when - earlier, lines % HEAD == 0);
		if (before)
			heaps_free(before, 1);
		before = now;
		if (fflush(stdout) || ++lines == a->frames)
			break;
	}
	heaps_free(before, 1);
	return good ? 0 : FOUND;
}

static int once(const struct args *a, struct heap *heap)
{
	int status = 0;

	memory_read(heap, 1, NULL);
	if (a->json)
		status = print_json(as_json(heap));
	else
		as_text(heap);
	heaps_free(heap, 1);
	return status;
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
	if ((a.delay > 0 || a.frames) && !a.watch)
		return fail(USAGE, "--delay and --frames go with --watch");
	if (a.watch && a.prometheus)
		return fail(USAGE, "--watch does not go with --prometheus");
	if (a.prometheus)
		return for_prometheus(&a);
	if (a.argc != 1)
		return fail(USAGE, "stats takes one process id; hakmem top shows those there are");
	heap = read_given(&a, &count);
	if (!heap)
		return USAGE;
	if (!say_faults(heap, 1))
		return a.watch ? watch(&a, heap) : once(&a, heap);
	heaps_free(heap, 1);
	return FOUND;
}

const struct command command_stats = {
	"stats", "jmOwdc", stats, USAGE,
	"[--json] [--watch [-d SECONDS] [-c N]] PID | --prometheus [--output FILE] [PID ...]",
	"live figures of a running process",
	"Reads the statistics of a running process from outside: it is not stopped and\n"
	"does nothing for it. The figures are those of hak_stats_get(), malloc_info() and\n"
	"HAKMEM_STATS_DUMP; hakmem(3) explains them. --prometheus without a process id\n"
	"takes all processes that can be read. --watch writes a line every two seconds, with\n"
	"the changes since the line before.\n"
	"Exit status: 0 done, 1 not on HAKMEM or not to be read, 2 usage.",
};
