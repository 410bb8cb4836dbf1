/*
 * The file of HAKMEM_OOM_REPORT: what the heap holds when it comes near its limit, once for
 * each level, and again only after it fell far below its limit. It is written by the thread
 * whose slow path notices, with no lock held; the buffers are static, because the stack of that
 * thread may be small.
 */
#include "stats/snapshot.h"

#include "cache/cache.h"
#include "config/settings.h"
#include "os/file.h"
#include "os/line.h"
#include "os/lock.h"
#include "os/os.h"
#include "sample/sample.h"

#include <string.h>

static _Atomic unsigned reported;	/* percent; 0: none since it fell far below */
static _Atomic long writing;		/* the process whose thread writes, or 0 */
static char path[HK_PATH_MAX] HK_BEHIND;

/* What follows belongs to the thread that writes. base: the figures at the time `based` (ms), from
 * which growth is counted; all 0 if it is counted from the start of the process. */
static struct hk_snapshot snapshot HK_BEHIND, base HK_BEHIND;
static uint64_t started, based;
static bool has_base;

static void put_head(struct hk_file *file, size_t limit, unsigned level)
{
	struct hk_line line = { .length = 0 };

	hk_line_str(&line, "hakmem: the heap has mapped ");
	hk_line_dec(&line, level);
	hk_line_str(&line, " % of its limit of ");
	hk_line_dec(&line, limit);
	hk_line_str(&line, " bytes\n");
	hk_file_put_line(file, &line);
}

static void put_growth_of(struct hk_file *file, const char *what, size_t before, size_t now)
{
	struct hk_line line = { .length = 0 };

	if (now <= before)
		return;
	hk_line_str(&line, "growth ");
	hk_line_str(&line, what);
	hk_line_char(&line, ' ');
	hk_line_dec(&line, now - before);
	hk_line_char(&line, '\n');
	hk_file_put_line(file, &line);
}

static void put_growth_of_class(struct hk_file *file, unsigned class)
{
	const struct hak_class_stats *before = &base.class[class], *now = &snapshot.class[class];
	struct hk_line line = { .length = 0 };

	hk_line_str(&line, "size ");
	hk_line_dec(&line, now->size);
	hk_line_str(&line, " bytes");
	hk_line_char(&line, 0);
	put_growth_of(file, line.text, before->used * now->size, now->used * now->size);
}

static void put_growth(struct hk_file *file)
{
	struct hk_line line = { .length = 0 };
	unsigned class;

	hk_line_str(&line, "seconds since ");
	hk_line_str(&line, has_base ? "half of the limit " : "the start ");
	hk_line_dec(&line, (hk_os_now() - based) / 1000);
	hk_line_char(&line, '\n');
	hk_file_put_line(file, &line);
	put_growth_of(file, "in_use", base.all.in_use, snapshot.all.in_use);
	put_growth_of(file, "mid_bytes", base.all.mid_bytes, snapshot.all.mid_bytes);
	put_growth_of(file, "large_bytes", base.all.large_bytes, snapshot.all.large_bytes);
	for (class = 0; class < HK_CLASSES; class++)
		put_growth_of_class(file, class);
}

/* Growth is counted from the start again. */
static void forget_base(void)
{
	memset(&base, 0, sizeof base);
	based = started;
	has_base = false;
}

static void take_base(void)
{
	hk_snapshot_take(&base);
	based = hk_os_now();
	has_base = true;
}

static void report(size_t limit, unsigned level)
{
	struct hk_file file;

	hk_snapshot_take(&snapshot);
	if (!hk_settings_path(hk_settings.oom_report, path, sizeof path))
		return;
	hk_file_begin(&file, path);
	put_head(&file, limit, level);
	hk_snapshot_put(&snapshot, false, &file);
	put_growth(&file);
	hk_sample_put_top(&file);
	if (!hk_file_end(&file))
		hk_problem_file("the report of HAKMEM_OOM_REPORT", path, hk_file_why(&file));
}

static size_t percent(size_t limit, unsigned part)
{
	return limit / 100 * part;
}

/* If a thread of the parent was writing at a fork, the number is that of another process. */
static bool begin_writing(long process)
{
	long other = atomic_load(&writing);

	return other != process && atomic_compare_exchange_strong(&writing, &other, process);
}

static unsigned level_of(size_t mapped, size_t limit)
{
	return mapped >= percent(limit, HK_REPORT_SECOND) ? HK_REPORT_SECOND :
	       mapped >= percent(limit, HK_REPORT_FIRST) ? HK_REPORT_FIRST :
	       mapped >= percent(limit, HK_REPORT_BASE) ? HK_REPORT_BASE : 0;
}

static void reach(size_t limit, unsigned level, unsigned before)
{
	if (!before)
		forget_base();
	if (level == HK_REPORT_BASE)
		take_base();
	else
		report(limit, level);
}

static void near_limit(void)
{
	size_t own = atomic_load(&hk_os_limit), group = atomic_load(&hk_os_memory_limit);
	size_t limit = own < group ? own : group, mapped = atomic_load(&hk_os_mapped);
	unsigned before = atomic_load(&reported), level;

	/* In a fork handler of the program this thread holds all locks, for which the others
	 * would wait while the file is written. */
	if (limit == SIZE_MAX || hk_forks.all_locked)
		return;
	if (before && mapped < percent(limit, HK_REPORT_AGAIN))
		atomic_store(&reported, 0);
	level = level_of(mapped, limit);
	if (level <= before || !begin_writing(hk_os_process_id()))
		return;
	if (atomic_compare_exchange_strong(&reported, &before, level))
		reach(limit, level, before);
	atomic_store(&writing, 0);
}

int hk_near_start(void)
{
	started = hk_os_now();
	if (hk_settings.oom_report[0])
		hk_hooks.grew = near_limit;
	return 0;
}

__attribute__((constructor(103))) static void start(void)
{
	hk_near_start();
}
