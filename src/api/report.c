/* Information about the library: version, settings in force, statistics; and the limit. */
#include "api/alloc.h"
#include "cache/cache.h"
#include "config/settings.h"
#include "learn/learn.h"
#include "sample/sample.h"
#include "stats/snapshot.h"

#include <errno.h>
#include <string.h>

HK_API const char *hak_version(void)
{
	return PACKAGE_VERSION;
}

HK_API const char *hak_setting_name(unsigned index)
{
	return index < HK_SET_COUNT ? hk_setting_table[index].name : NULL;
}

unsigned hk_find_setting(const char *name)
{
	unsigned id;

	hk_start();
	for (id = 0; id < HK_SET_COUNT; id++) {
		const struct hk_setting *setting = &hk_setting_table[id];

		if (!strcmp(name, setting->name) ||
		    (setting->older && !strcmp(name, setting->older)))
			return id;
	}
	errno = EINVAL;
	return id;
}

HK_API int hak_setting(const char *name, char *value, size_t size)
{
	struct hk_line line = { .length = 0 };
	unsigned id = hk_find_setting(name);
	size_t fit;

	if (id == HK_SET_COUNT)
		return -1;
	hk_setting_value(id, &line);
	if (size) {
		fit = line.length < size ? line.length : size - 1;
		memcpy(value, line.text, fit);
		value[fit] = 0;
	}
	return (int)line.length;
}

HK_API const char *hak_setting_source(const char *name)
{
	unsigned id = hk_find_setting(name);

	return id == HK_SET_COUNT ? NULL : hk_setting_source(id);
}

/* A program may have been compiled for fewer figures than this library has, or for more. */
static void copy(void *to, size_t size, const void *from, size_t known)
{
	size_t both = size < known ? size : known;

	memcpy(to, from, both);
	memset((char *)to + both, 0, size - both);
}

/* The arguments of the function that the program called. */
struct wanted {
	void *to;
	size_t size, count;
	hk_writer write;
};

static void give_stats(const struct hk_snapshot *s, void *argument)
{
	const struct wanted *wanted = argument;

	copy(wanted->to, wanted->size, &s->all, sizeof s->all);
}

HK_API size_t hak_stats_get(struct hak_stats *stats, size_t size)
{
	struct wanted wanted = { .to = stats, .size = size };

	hk_snapshot_with(give_stats, &wanted);
	return sizeof *stats;
}

static void give_classes(const struct hk_snapshot *s, void *argument)
{
	const struct wanted *wanted = argument;
	size_t i;

	for (i = 0; i < wanted->count && i < HK_CLASSES; i++)
		copy((char *)wanted->to + i * wanted->size, wanted->size, &s->class[i], sizeof s->class[i]);
}

HK_API size_t hak_class_stats_get(struct hak_class_stats *classes, size_t size, size_t count)
{
	struct wanted wanted = { .to = classes, .size = size, .count = count };

	hk_snapshot_with(give_classes, &wanted);
	return HK_CLASSES;
}

static void give_json(const struct hk_snapshot *s, void *argument)
{
	const struct wanted *wanted = argument;

	hk_snapshot_write(s, true, wanted->write, wanted->to);
}

HK_API void hak_stats_json(void (*write)(void *, const char *, size_t), void *argument)
{
	struct wanted wanted = { .to = argument, .write = write };

	hk_snapshot_with(give_json, &wanted);
}

HK_API size_t hak_set_limit(size_t bytes)
{
	hk_start();
	return hk_limit_set(bytes);
}

HK_API void hak_set_limit_callback(void (*callback)(size_t size))
{
	hk_limit_callback(callback);
}

HK_API int hak_learn_save(void)
{
	return hk_learn_save();
}

HK_API int hak_profile_dump(const char *path)
{
	hk_start();
	return hk_sample_dump(path);
}

HK_API int hak_stats_dump(void)
{
	return hk_snapshot_dump();
}
