/*
 * Writes what was learned as a profile file: see hakmem.env(5). It contains all settings
 * except paths, which belong to one run and may contain characters that the syntax of such
 * files does not allow.
 */
#include "learn/learn.h"

#include "cache/cache.h"
#include "os/file.h"
#include "os/os.h"
#include "pool/pool.h"
#include "range/decay.h"

struct learned {
	int32_t capacity, batch;
};

/* Each class learns separately, but an override applies to a group. It gets the longest list
 * of the classes that were used. The capacity is 0 if none was used and the group had no
 * override. */
static struct learned of_group(unsigned group)
{
	struct learned best = { 0, 0 }, set = {
		hk_settings.cache_capacity[group], hk_settings.refill_batch[group] };
	unsigned i;

	for (i = 0; i < HK_CLASSES; i++) {
		int32_t capacity = atomic_load_explicit(&hk_start_limits[i].capacity, memory_order_relaxed);

		if (hk_class_group(i) != group || capacity <= best.capacity ||
		    !atomic_load_explicit(&hk_learn_counters.used[i], memory_order_relaxed))
			continue;
		best.capacity = capacity;
		best.batch = atomic_load_explicit(&hk_start_limits[i].batch, memory_order_relaxed);
	}
	if (best.batch > best.capacity)
		best.batch = best.capacity;
	return best.capacity || !set.batch ? best : set;
}

static void put_groups(struct hk_line *line)
{
	const char *before = "";
	unsigned group;

	for (group = 0; group < HK_OVERRIDE_GROUPS; group++) {
		struct learned l = of_group(group);

		if (!l.capacity)
			continue;
		hk_line_str(line, before);
		hk_setting_group(line, group, l.capacity, l.batch);
		before = ",";
	}
	if (!*before)
		hk_line_str(line, hk_setting_table[HK_SET_TINY_TLS_CLASS_OVERRIDE].initial);
}

/* A share of the largest number of SuperSlabs, which the program will fill soon after its
 * start. */
static unsigned prewarm(void)
{
	size_t part = atomic_load_explicit(&hk_pool_counters.superslabs_peak, memory_order_relaxed) /
		      HK_SAVE_PREWARM_SHARE;
	unsigned learned = part < HK_SAVE_PREWARM_MOST ? (unsigned)part : HK_SAVE_PREWARM_MOST;

	return learned > hk_settings.superslab_prewarm ? learned : hk_settings.superslab_prewarm;
}

static void put_value(struct hk_line *line, enum hk_setting_id id)
{
	bool mem = hk_settings.mem_learn;

	if (id == HK_SET_TINY_TLS_CLASS_OVERRIDE)
		put_groups(line);
	else if (mem && id == HK_SET_SUPERSLAB_PREWARM)
		hk_line_dec(line, prewarm());
	else if (mem && id == HK_SET_MEM_LEARN_THRESHOLD)
		hk_setting_ratio(line, hk_mem_threshold());
	else if (mem && id == HK_SET_MEM_LEARN_DELAY)
		hk_line_dec(line, atomic_load_explicit(&hk_purge_delay, memory_order_relaxed));
	else if (mem && id == HK_SET_LEARN_ADVANCED)
		hk_line_dec(line, 1);
	else
		hk_setting_value(id, line);
}

static void put_setting(struct hk_file *file, enum hk_setting_id id)
{
	struct hk_line line = { .length = 0 };

	if (hk_setting_table[id].kind == HK_PATH)
		return;
	hk_line_str(&line, hk_setting_table[id].name);
	hk_line_char(&line, '=');
	put_value(&line, id);
	hk_line_char(&line, '\n');
	hk_file_put(file, line.text, line.length);
}

static void save(void *memory, void *result)
{
	static const char head[] = "# Learned by HAKMEM " PACKAGE_VERSION ", format 1: see hakmem.env(5).\n"
				   "LD_PRELOAD=libhakmem.so.1\n";
	char *path = memory;
	struct hk_file file;
	unsigned id;

	if (!hk_settings_path(hk_settings.learn_save, path, HK_PATH_MAX))
		return;
	hk_file_begin(&file, path);
	hk_file_put(&file, head, sizeof head - 1);
	for (id = 0; id < HK_SET_COUNT; id++)
		put_setting(&file, id);
	if (hk_file_end(&file))
		*(int *)result = 0;
	else
		hk_problem_file("what was learned, of HAKMEM_LEARN_SAVE,", path, hk_file_why(&file));
}

int hk_learn_save(void)
{
	int result = -1;

	hk_start();
	hk_os_with_scratch(save, &result);
	return result;
}

__attribute__((destructor(101))) static void save_at_exit(void)
{
	if (hk_settings.learn_save[0] && !hk_inside())
		hk_learn_save();
}
