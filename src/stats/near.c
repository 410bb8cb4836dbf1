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

static _Atomic unsigned reported;	/* percent; 0: none since it fell far below */
static _Atomic long writing;		/* the process whose thread writes, or 0 */
static struct hk_snapshot snapshot;
static char path[HK_PATH_MAX];

static void put_head(struct hk_file *file, size_t limit, unsigned level)
{
	struct hk_line line = { .length = 0 };

	hk_line_str(&line, "hakmem: the heap has mapped ");
	hk_line_dec(&line, level);
	hk_line_str(&line, " % of its limit of ");
	hk_line_dec(&line, limit);
	hk_line_str(&line, " bytes\n");
	hk_file_put(file, line.text, line.length);
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

static void near_limit(void)
{
	size_t own = atomic_load(&hk_os_limit), group = atomic_load(&hk_os_memory_limit);
	size_t limit = own < group ? own : group, mapped = atomic_load(&hk_os_mapped);
	unsigned before = atomic_load(&reported), level;

	/* In a fork handler of the program this thread holds all locks, for which the others
	 * would wait while the file is written. */
	if (limit == SIZE_MAX || hk_all_locked)
		return;
	if (before && mapped < percent(limit, HK_REPORT_AGAIN))
		atomic_store(&reported, 0);
	level = mapped >= percent(limit, HK_REPORT_SECOND) ? HK_REPORT_SECOND :
		mapped >= percent(limit, HK_REPORT_FIRST) ? HK_REPORT_FIRST : 0;
	if (level <= before || !begin_writing(hk_os_process_id()))
		return;
	if (atomic_compare_exchange_strong(&reported, &before, level))
		report(limit, level);
	atomic_store(&writing, 0);
}

int hk_near_start(void)
{
	if (hk_settings.oom_report[0])
		hk_hooks.grew = near_limit;
	return 0;
}

__attribute__((constructor(103))) static void start(void)
{
	hk_near_start();
}
