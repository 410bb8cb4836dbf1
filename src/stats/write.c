/* A snapshot as text for people and JSON for machines, line by line. */
#include "stats/snapshot.h"

#include "config/settings.h"
#include "os/line.h"
#include "os/os.h"

struct figure {
	const char *name;
	size_t offset;
};
#define FIGURE(field) { #field, offsetof(struct hk_snapshot, field) }
static const struct figure figures[] = {
	FIGURE(mapped), FIGURE(in_use), FIGURE(cached), FIGURE(free_bytes),
	FIGURE(mid_blocks), FIGURE(mid_bytes), FIGURE(large_blocks), FIGURE(large_bytes),
	FIGURE(kept_blocks), FIGURE(kept_bytes), FIGURE(metadata), FIGURE(purged_bytes),
	FIGURE(superslabs), FIGURE(superslabs_peak), FIGURE(superslabs_mapped),
	FIGURE(superslabs_unmapped), FIGURE(threads), FIGURE(remote_sent),
	FIGURE(remote_received),
};
#define CLASS_FIGURE(field) { #field, offsetof(struct hk_class_figures, field) }
static const struct figure class_figures[] = {
	CLASS_FIGURE(used), CLASS_FIGURE(cached), CLASS_FIGURE(slabs), CLASS_FIGURE(refills),
	CLASS_FIGURE(flushes), CLASS_FIGURE(reuse), CLASS_FIGURE(claim), CLASS_FIGURE(grow),
};
enum {
	FIGURES = sizeof figures / sizeof *figures,
	CLASS_FIGURES = sizeof class_figures / sizeof *class_figures,
};

static size_t get(const void *of, const struct figure *f)
{
	return *(const size_t *)((const char *)of + f->offset);
}

static void send(struct hk_line *line, hk_writer out, void *argument)
{
	hk_line_char(line, '\n');
	out(argument, line->text, line->length);
	line->length = 0;
}

static void put_pair(struct hk_line *line, bool json, const char *name, size_t value)
{
	hk_line_str(line, json ? ",\"" : " ");
	hk_line_str(line, name);
	hk_line_str(line, json ? "\":" : " ");
	hk_line_dec(line, value);
}

static void put_class(struct hk_line *line, bool json, bool first,
		      const struct hk_class_figures *c, unsigned class)
{
	unsigned i;

	hk_line_str(line, !json ? "class" : first ? " {\"group\":" : " ,{\"group\":");
	if (!json) {
		hk_line_str(line, " C");
		hk_line_dec(line, hk_class_group(class));
	} else {
		hk_line_dec(line, hk_class_group(class));
	}
	put_pair(line, json, "size", hk_class_size(class));
	for (i = 0; i < CLASS_FIGURES; i++)
		put_pair(line, json, class_figures[i].name, get(c, &class_figures[i]));
	if (json)
		hk_line_char(line, '}');
}

void hk_snapshot_write(const struct hk_snapshot *s, bool json, hk_writer out, void *argument)
{
	struct hk_line line = { .length = 0 };
	bool first = true;
	unsigned i;

	hk_line_str(&line, json ? "{\"schema\":1" : "hakmem statistics (bytes and counts)");
	send(&line, out, argument);
	for (i = 0; i < FIGURES; i++) {
		put_pair(&line, json, figures[i].name, get(s, &figures[i]));
		send(&line, out, argument);
	}
	if (json) {
		hk_line_str(&line, ",\"classes\":[");
		send(&line, out, argument);
	}
	for (i = 0; i < HK_CLASSES; i++) {
		if (!s->class[i].slabs && !s->class[i].refills)
			continue;
		put_class(&line, json, first, &s->class[i], i);
		send(&line, out, argument);
		first = false;
	}
	if (json) {
		hk_line_str(&line, "]}");
		send(&line, out, argument);
	}
}

static void to_file(void *argument, const char *text, size_t length)
{
	hk_os_write(*(int *)argument, text, length);
}

int hk_snapshot_dump(void)
{
	char path[HK_DUMP_PATH_MAX];
	struct hk_snapshot s;
	int fd;

	if (!hk_settings_dump_path(path, sizeof path))
		return -1;
	fd = hk_os_create(path);
	if (fd < 0) {
		struct hk_line line;

		hk_line_start(&line);
		hk_line_str(&line, "cannot write the statistics of HAKMEM_STATS_DUMP to ");
		hk_line_str(&line, path);
		hk_line_write(&line);
		return -1;
	}
	hk_snapshot_take(&s);
	hk_snapshot_write(&s, hk_settings_dump_json(), to_file, &fd);
	hk_os_close(fd);
	return 0;
}

__attribute__((destructor(101))) static void dump_at_exit(void)
{
	if (hk_settings.stats_dump[0])
		hk_snapshot_dump();
}
