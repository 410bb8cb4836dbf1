/* The file of HAKMEM_STATS_DUMP. */
#include "stats/snapshot.h"

#include "cache/cache.h"
#include "config/settings.h"
#include "os/file.h"
#include "os/line.h"
#include "os/lock.h"

static void to_file(void *argument, const char *text, size_t length)
{
	hk_file_put(argument, text, length);
}

void hk_snapshot_put(const struct hk_snapshot *s, bool json, struct hk_file *file)
{
	hk_snapshot_write(s, json, to_file, file);
}

static void write_contention(struct hk_file *file)
{
	struct hk_contention *c = &hk_contention;
	struct hk_line line = { .length = 0 };
	unsigned i;

	for (i = 0; i < HK_RANK_COUNT; i++) {
		hk_line_str(&line, "lock ");
		hk_line_str(&line, hk_rank_name[i]);
		hk_line_str(&line, " taken ");
		hk_line_dec(&line, atomic_load_explicit(&c->taken[i], memory_order_relaxed));
		hk_line_str(&line, " waited ");
		hk_line_dec(&line, atomic_load_explicit(&c->waited[i], memory_order_relaxed));
		hk_line_char(&line, '\n');
		hk_file_put_line(file, &line);
	}
	hk_line_str(&line, "compare-and-swap retries ");
	hk_line_dec(&line, atomic_load_explicit(&c->retries, memory_order_relaxed));
	hk_line_char(&line, '\n');
	hk_file_put_line(file, &line);
}

int hk_snapshot_dump(void)
{
	char path[HK_PATH_MAX];
	struct hk_snapshot s;
	struct hk_file file;

	/* Also reads the settings, if that has not happened yet. */
	hk_snapshot_take(&s);
	if (!hk_settings_path(hk_settings.stats_dump, path, sizeof path))
		return -1;
	hk_file_begin(&file, path);
	hk_snapshot_put(&s, hk_settings_dump_json(), &file);
	if (HK_COUNTS_CONTENTION && !hk_settings_dump_json())
		write_contention(&file);
	if (hk_file_end(&file))
		return 0;
	hk_problem_file("the statistics of HAKMEM_STATS_DUMP", path, hk_file_why(&file));
	return -1;
}

__attribute__((destructor(101))) static void dump_at_exit(void)
{
	if (hk_settings.stats_dump[0] && !hk_inside())
		hk_snapshot_dump();
}
