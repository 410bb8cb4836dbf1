/* The file of HAKMEM_STATS_DUMP. */
#include "stats/snapshot.h"

#include "cache/cache.h"
#include "config/settings.h"
#include "os/file.h"
#include "os/line.h"
#include "os/lock.h"
#include "os/os.h"

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

/* Not on the stack, which may be small: a signal handler may call exit. */
struct dump {
	struct hk_snapshot s;
	char path[HK_PATH_MAX];
};
_Static_assert(sizeof(struct dump) <= HK_SCRATCH, "a dump fits");

static void dump(void *memory, void *result)
{
	struct dump *d = memory;
	struct hk_file file;

	/* Also reads the settings, if that has not happened yet. */
	hk_snapshot_take(&d->s);
	if (!hk_settings_path(hk_settings.stats_dump, d->path, sizeof d->path))
		return;
	hk_file_begin(&file, d->path);
	hk_snapshot_put(&d->s, hk_settings_dump_json(), &file);
	if (HK_COUNTS_CONTENTION && !hk_settings_dump_json())
		write_contention(&file);
	if (hk_file_end(&file))
		*(int *)result = 0;
	else
		hk_problem_file("the statistics of HAKMEM_STATS_DUMP", d->path, hk_file_why(&file));
}

int hk_snapshot_dump(void)
{
	int result = -1;

	hk_os_with_scratch(dump, &result);
	return result;
}

__attribute__((destructor(101))) static void dump_at_exit(void)
{
	if (hk_settings.stats_dump[0] && !hk_inside())
		hk_snapshot_dump();
}
