#include "config/internal.h"
#include "os/os.h"

#include <string.h>

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Each number has one valid spelling: no sign, blank, leading zero or other base. The bounds
 * in the table are small enough that ten times a bound does not overflow. */
static bool read_number(const char **at, unsigned least, unsigned most, unsigned *out)
{
	const char *p = *at;
	unsigned value = 0;

	if (!is_digit(*p) || (*p == '0' && is_digit(p[1])))
		return false;
	for (; is_digit(*p); p++) {
		value = value * 10 + (unsigned)(*p - '0');
		if (value > most)
			return false;
	}
	*at = p;
	*out = value;
	return value >= least;
}

/* The same, and nothing may follow the number. */
static bool read_all(const char *text, const struct hk_setting *setting, uint64_t *out)
{
	unsigned value;

	if (!read_number(&text, setting->least, setting->most, &value) || *text)
		return false;
	*out = value;
	return true;
}

/* A ratio with too many digits or outside the bounds is refused and not rounded. */
static bool read_ratio(const char *p, const struct hk_setting *setting, uint64_t *out)
{
	unsigned place = HK_RATIO_ONE, whole;

	if (!read_number(&p, 0, 1, &whole))
		return false;
	*out = (uint64_t)whole * HK_RATIO_ONE;
	if (*p == '.') {
		do {
			if (!is_digit(*++p) || place == 1)
				return false;
			place /= 10;
			*out += (uint64_t)(*p - '0') * place;
		} while (p[1]);
		p++;
	}
	return !*p && *out >= setting->least && *out <= setting->most;
}

/* The units of a size: each is 1024 times the one before. */
static const char units[] = "KMGT";
enum { UNIT_BITS = 10 };

static bool read_size(const char *p, const struct hk_setting *setting, uint64_t *out)
{
	uint64_t value = 0, most = (uint64_t)1 << setting->most;
	const char *unit;

	if (strcmp(p, setting->initial) != 0) {
		if (!is_digit(*p) || *p == '0')
			return false;
		for (; is_digit(*p); p++) {
			value = value * 10 + (uint64_t)(*p - '0');
			if (value > most)
				return false;
		}
		unit = *p ? strchr(units, *p) : NULL;
		if (unit) {
			p++;
			if (value > most >> UNIT_BITS * (unit + 1 - units))
				return false;
			value <<= UNIT_BITS * (unit + 1 - units);
		}
		if (*p || value < setting->least)
			return false;
	}
	*out = value;
	return true;
}

static bool read_word(const char *text, const struct hk_setting *setting, uint64_t *out)
{
	for (*out = 0; setting->words[*out]; ++*out)
		if (!strcmp(text, setting->words[*out]))
			return true;
	return false;
}

static void start_groups(int16_t *capacity, int16_t *batch)
{
	memcpy(capacity, hk_preset_capacity[hk_settings.tiny_preset],
	       HK_GROUPS * sizeof *capacity);
	memset(batch, 0, HK_GROUPS * sizeof *batch);
}

/* Works on copies, so that an invalid list changes nothing. */
static bool read_groups(const char *p, const struct hk_setting *setting)
{
	int16_t capacity[HK_GROUPS], batch[HK_GROUPS];
	unsigned group, blocks, refill;

	start_groups(capacity, batch);
	if (strcmp(p, setting->initial) != 0) {
		do {
			if (*p++ != 'C' ||
			    !read_number(&p, 0, HK_OVERRIDE_GROUPS - 1, &group) ||
			    *p++ != ':' ||
			    !read_number(&p, setting->least, setting->most, &blocks) ||
			    *p++ != ':' ||
			    !read_number(&p, 1, blocks, &refill) ||
			    batch[group])
				return false;
			capacity[group] = (int16_t)blocks;
			batch[group] = (int16_t)refill;
		} while (*p++ == ',');
		if (p[-1])
			return false;
	}
	memcpy(hk_settings.cache_capacity, capacity, sizeof capacity);
	memcpy(hk_settings.refill_batch, batch, sizeof batch);
	return true;
}

/* Printable ASCII only, because the pattern is shown on terminals and in JSON. */
static bool read_path(const char *text, const struct hk_setting *setting)
{
	char *field;
	size_t i;

	for (i = 0; text[i]; i++) {
		if (i == setting->most || text[i] < ' ' || text[i] > '~')
			return false;
		if (text[i] == '%' && text[i + 1] != 'p' && text[++i] != '%')
			return false;
	}
	if (i < setting->least || i > setting->most)
		return false;
	field = (char *)&hk_settings + setting->offset;
	memset(field, 0, setting->most + 1);
	if (strcmp(text, setting->initial) != 0)
		memcpy(field, text, i);
	return true;
}

/* The fields that can change are atomic, and have the representation of those that cannot. */
static void store(const struct hk_setting *setting, uint64_t value)
{
	void *field = (char *)&hk_settings + setting->offset;

	if (setting->kind == HK_FLAG)
		atomic_store_explicit((_Atomic bool *)field, value != 0, memory_order_relaxed);
	else if (setting->kind == HK_SIZE)
		atomic_store_explicit((_Atomic uint64_t *)field, value, memory_order_relaxed);
	else
		atomic_store_explicit((_Atomic unsigned *)field, (unsigned)value, memory_order_relaxed);
	/* The preset sets all groups; an override of single groups is applied later. */
	if (setting == &hk_setting_table[HK_SET_TINY_PRESET])
		start_groups(hk_settings.cache_capacity, hk_settings.refill_batch);
}

bool hk_value_parse(enum hk_setting_id id, const char *text, uint64_t *value)
{
	const struct hk_setting *setting = &hk_setting_table[id];

	switch (setting->kind) {
	case HK_LIST:
	case HK_PATH:
		return false;
	case HK_SIZE:
		return read_size(text, setting, value);
	case HK_WORD:
		return read_word(text, setting, value);
	case HK_RATIO:
		return read_ratio(text, setting, value);
	default:
		return read_all(text, setting, value);
	}
}

void hk_value_change(enum hk_setting_id id, uint64_t value, enum hk_source source)
{
	store(&hk_setting_table[id], value);
	atomic_store_explicit(&hk_settings.source[id], (uint8_t)source, memory_order_relaxed);
}

bool hk_value_set(enum hk_setting_id id, const char *text)
{
	const struct hk_setting *setting = &hk_setting_table[id];
	uint64_t value;

	if (setting->kind == HK_LIST)
		return read_groups(text, setting);
	if (setting->kind == HK_PATH)
		return read_path(text, setting);
	if (!hk_value_parse(id, text, &value))
		return false;
	store(setting, value);
	return true;
}

void hk_setting_group(struct hk_line *line, unsigned group, int32_t capacity, int32_t batch)
{
	hk_line_char(line, 'C');
	hk_line_dec(line, group);
	hk_line_char(line, ':');
	hk_line_dec(line, (uintmax_t)capacity);
	hk_line_char(line, ':');
	hk_line_dec(line, (uintmax_t)batch);
}

/* Only an override sets a batch. */
static void show_groups(struct hk_line *line, const char *none)
{
	const char *before = "";
	unsigned i;

	for (i = 0; i < HK_OVERRIDE_GROUPS; i++) {
		if (!hk_settings.refill_batch[i])
			continue;
		hk_line_str(line, before);
		hk_setting_group(line, i, hk_settings.cache_capacity[i], hk_settings.refill_batch[i]);
		before = ",";
	}
	hk_line_str(line, *before ? "" : none);
}

/* In the shortest spelling. */
void hk_setting_ratio(struct hk_line *line, unsigned value)
{
	unsigned place = HK_RATIO_ONE;

	hk_line_dec(line, value / place);
	if (value %= place)
		hk_line_char(line, '.');
	for (; value; value %= place) {
		place /= 10;
		hk_line_char(line, (char)('0' + value / place));
	}
}

/* In the largest unit that gives a whole number. */
static void show_size(struct hk_line *line, uint64_t value, const char *none)
{
	const char *unit = units;

	if (!value) {
		hk_line_str(line, none);
		return;
	}
	for (; *unit && !(value & (((uint64_t)1 << UNIT_BITS) - 1)); unit++)
		value >>= UNIT_BITS;
	hk_line_dec(line, value);
	if (unit > units)
		hk_line_char(line, unit[-1]);
}

uint64_t hk_value_now(enum hk_setting_id id)
{
	const struct hk_setting *setting = &hk_setting_table[id];
	const void *field = (const char *)&hk_settings + setting->offset;

	if (setting->kind == HK_FLAG)
		return atomic_load_explicit((const _Atomic bool *)field, memory_order_relaxed);
	if (setting->kind == HK_SIZE)
		return atomic_load_explicit((const _Atomic uint64_t *)field, memory_order_relaxed);
	return atomic_load_explicit((const _Atomic unsigned *)field, memory_order_relaxed);
}

void hk_setting_value(enum hk_setting_id id, struct hk_line *line)
{
	const struct hk_setting *setting = &hk_setting_table[id];
	const char *field = (const char *)&hk_settings + setting->offset;

	switch (setting->kind) {
	case HK_FLAG:
	case HK_NUMBER:
		hk_line_dec(line, hk_value_now(id));
		break;
	case HK_RATIO:
		hk_setting_ratio(line, (unsigned)hk_value_now(id));
		break;
	case HK_SIZE:
		show_size(line, hk_value_now(id), setting->initial);
		break;
	case HK_WORD:
		hk_line_str(line, setting->words[hk_value_now(id)]);
		break;
	case HK_LIST:
		show_groups(line, setting->initial);
		break;
	case HK_PATH:
		hk_line_str(line, *field ? field : setting->initial);
	}
}

size_t hk_settings_path(const char *p, char *out, size_t size)
{
	struct hk_line pid;
	size_t used = 0;

	pid.length = 0;
	hk_line_dec(&pid, (uintmax_t)hk_os_process_id());
	for (; *p; p++) {
		bool expand = *p == '%' && *++p == 'p';
		size_t more = expand ? pid.length : 1;

		if (size - used <= more)
			break;
		memcpy(out + used, expand ? pid.text : p, more);
		used += more;
	}
	/* A truncated path would name another file. */
	if (*p)
		used = 0;
	if (size)
		out[used] = 0;
	return used;
}

bool hk_settings_dump_json(void)
{
	size_t length = strlen(hk_settings.stats_dump);

	return length >= 5 && !strcmp(hk_settings.stats_dump + length - 5, ".json");
}
