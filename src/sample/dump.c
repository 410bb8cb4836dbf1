/*
 * The heap profile in the text format of gperftools. A reader gets the samples as they are, and
 * computes from the distance how much they stand for, so each line has one size only. If the
 * samples have different distances, the estimates are written instead, with the distance 1, so
 * that the reader does not scale them.
 */
#include "sample/sample.h"

#include "config/settings.h"
#include "os/file.h"
#include "os/line.h"
#include "os/os.h"

#include <string.h>

/* Sums that were read once. */
struct pair {
	uint64_t samples, bytes;
};

static void add(struct pair *pair, struct hk_sample_sum *sum, bool mixed)
{
	uint64_t samples = atomic_load_explicit(&sum->samples, memory_order_relaxed);
	uint64_t bytes = atomic_load_explicit(&sum->bytes, memory_order_relaxed);
	uint64_t weight = atomic_load_explicit(&sum->weight, memory_order_relaxed);

	if (mixed && bytes) {
		samples = (uint64_t)((double)weight / (double)bytes * (double)samples);
		bytes = weight;
	}
	pair->samples += samples;
	pair->bytes += bytes;
}

static void put_pair(struct hk_line *line, const struct pair *pair)
{
	hk_line_dec(line, pair->samples);
	hk_line_str(line, ": ");
	hk_line_dec(line, pair->bytes);
}

static void put_pairs(struct hk_line *line, const struct pair *live, const struct pair *all)
{
	put_pair(line, live);
	hk_line_str(line, " [");
	put_pair(line, all);
	hk_line_str(line, "] @");
}

static void put_site(struct hk_file *file, const struct hk_sample_table *t, struct hk_sample_site *site, bool mixed)
{
	uint32_t depth = atomic_load_explicit(&site->depth, memory_order_acquire), i;
	struct pair live = { 0, 0 }, all = { 0, 0 };
	struct hk_line line = { .length = 0 };

	if (!depth)
		return;
	add(&live, &site->live, mixed);
	add(&all, &site->all, mixed);
	put_pairs(&line, &live, &all);
	for (i = 0; i < depth; i++) {
		hk_line_char(&line, ' ');
		hk_line_hex(&line, t->frame[site->first + i]);
		if (line.length > sizeof line.text / 2)
			hk_file_put_line(file, &line);
	}
	hk_line_char(&line, '\n');
	hk_file_put_line(file, &line);
}

static void put_head(struct hk_file *file, const struct hk_sample_table *t, uint32_t sites, bool mixed)
{
	struct pair live = { 0, 0 }, all = { 0, 0 };
	struct hk_line line = { .length = 0 };
	uint32_t i;

	for (i = 0; i < sites; i++) {
		add(&live, &t->site[i].live, mixed);
		add(&all, &t->site[i].all, mixed);
	}
	hk_line_str(&line, "heap profile: ");
	put_pairs(&line, &live, &all);
	hk_line_str(&line, " heap_v2/");
	hk_line_dec(&line, mixed ? 1 : atomic_load_explicit(&t->mean, memory_order_relaxed));
	hk_line_char(&line, '\n');
	hk_file_put_line(file, &line);
}

static void put_all(struct hk_file *file, struct hk_sample_table *t)
{
	uint32_t sites = atomic_load_explicit(&t->sites, memory_order_relaxed), i;
	bool mixed = atomic_load_explicit(&t->mixed, memory_order_relaxed);
	static const char libraries[] = "\nMAPPED_LIBRARIES:\n";

	put_head(file, t, sites, mixed);
	for (i = 0; i < sites; i++)
		put_site(file, t, &t->site[i], mixed);
	hk_file_put(file, libraries, sizeof libraries - 1);
	hk_file_copy(file, "/proc/self/maps");
}

/* Copies the path, because hk_file_begin changes it for a moment. */
static bool find_path(const char *given, char *path, size_t size)
{
	size_t length = given ? strlen(given) : 0;

	if (!given)
		return hk_settings_path(hk_settings.sample_dump, path, size) != 0;
	if (!length || length >= size)
		return false;
	memcpy(path, given, length + 1);
	return true;
}

struct dump {
	struct hk_sample_table *table;
	const char *given;
	int result;
};

static void dump(void *memory, void *argument)
{
	struct dump *d = argument;
	char *path = memory;
	struct hk_file file;

	if (!find_path(d->given, path, HK_PATH_MAX))
		return;
	hk_file_begin(&file, path);
	put_all(&file, d->table);
	if (hk_file_end(&file))
		d->result = 0;
	else
		hk_problem_file("the heap profile", path, hk_file_why(&file));
}

int hk_sample_dump(const char *given)
{
	struct dump d = { atomic_load_explicit(&hk_sample_table, memory_order_acquire), given, -1 };

	if (d.table)
		hk_os_with_scratch(dump, &d);
	return d.result;
}

__attribute__((destructor(101))) static void dump_at_exit(void)
{
	if (hk_settings.sample_dump[0])
		hk_sample_dump(NULL);
}
