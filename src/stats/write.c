/* A snapshot as text for people and JSON for machines, line by line. */
#include "stats/snapshot.h"

#include "config/settings.h"
#include "os/line.h"
#include "os/os.h"

struct figure {
	const char *name;
	size_t offset;
};
#define FIGURE(field) { #field, offsetof(struct hak_stats, field) }
static const struct figure figures[] = {
	FIGURE(mapped), FIGURE(in_use), FIGURE(cached), FIGURE(free_bytes), FIGURE(metadata),
	FIGURE(mapped_peak), FIGURE(slab_blocks), FIGURE(slab_bytes), FIGURE(mid_blocks),
	FIGURE(mid_bytes), FIGURE(large_blocks), FIGURE(large_bytes), FIGURE(kept_blocks),
	FIGURE(kept_bytes), FIGURE(superslabs), FIGURE(superslabs_peak),
	FIGURE(superslabs_mapped), FIGURE(superslabs_unmapped), FIGURE(purged_bytes),
	FIGURE(reuse), FIGURE(claim), FIGURE(grow), FIGURE(threads), FIGURE(remote_sent),
	FIGURE(remote_received),
};
#define CLASS_FIGURE(field) { #field, offsetof(struct hak_class_stats, field) }
static const struct figure class_figures[] = {
	CLASS_FIGURE(size), CLASS_FIGURE(used), CLASS_FIGURE(cached), CLASS_FIGURE(free_blocks),
	CLASS_FIGURE(slabs), CLASS_FIGURE(refills), CLASS_FIGURE(flushes), CLASS_FIGURE(reuse),
	CLASS_FIGURE(claim), CLASS_FIGURE(grow),
	CLASS_FIGURE(filled), CLASS_FIGURE(flushed), CLASS_FIGURE(slabs_peak),
};
enum {
	FIGURES = sizeof figures / sizeof *figures,
	CLASS_FIGURES = sizeof class_figures / sizeof *class_figures,
	HISTORY = 3,		/* the last ones, kept with HAKMEM_STATS=1 */
};
/* The group is written by itself. */
_Static_assert(FIGURES == sizeof(struct hak_stats) / sizeof(size_t) &&
	       CLASS_FIGURES + 1 == sizeof(struct hak_class_stats) / sizeof(size_t),
	       "every figure is written");

static size_t get(const void *of, const struct figure *f)
{
	return *(const size_t *)((const char *)of + f->offset);
}

/* Where a line goes, in pieces that fit the buffer. */
struct sink {
	struct hk_line line;
	bool json;
	hk_writer out;
	void *argument;
};

static void send(struct sink *to)
{
	to->out(to->argument, to->line.text, to->line.length);
	to->line.length = 0;
}

static void end_line(struct sink *to)
{
	hk_line_char(&to->line, '\n');
	send(to);
}

static void put_pair(struct sink *to, const char *name, size_t value)
{
	if (to->line.length > sizeof to->line.text / 2)
		send(to);
	hk_line_str(&to->line, to->json ? ",\"" : " ");
	hk_line_str(&to->line, name);
	hk_line_str(&to->line, to->json ? "\":" : " ");
	hk_line_dec(&to->line, value);
}

static void put_class(struct sink *to, bool first, const struct hak_class_stats *c)
{
	unsigned i, end = CLASS_FIGURES - (hk_settings.stats ? 0 : HISTORY);

	hk_line_str(&to->line, !to->json ? "class C" : first ? " {\"group\":" : " ,{\"group\":");
	hk_line_dec(&to->line, c->group);
	for (i = 0; i < end; i++)
		put_pair(to, class_figures[i].name, get(c, &class_figures[i]));
	if (to->json)
		hk_line_char(&to->line, '}');
	end_line(to);
}

static void put_head(struct sink *to)
{
	hk_line_str(&to->line, to->json ? "{\"schema\":1,\"version\":\"" PACKAGE_VERSION "\"" :
		    "hakmem " PACKAGE_VERSION " statistics (bytes and counts)\n");
	put_pair(to, "pid", (size_t)hk_os_process_id());
	end_line(to);
}

void hk_snapshot_write(const struct hk_snapshot *s, bool json, hk_writer out, void *argument)
{
	struct sink to = { .json = json, .out = out, .argument = argument };
	bool first = true;
	unsigned i;

	put_head(&to);
	for (i = 0; i < FIGURES; i++) {
		put_pair(&to, figures[i].name, get(&s->all, &figures[i]));
		end_line(&to);
	}
	if (json) {
		hk_line_str(&to.line, ",\"classes\":[");
		end_line(&to);
	}
	for (i = 0; i < HK_CLASSES; i++) {
		if (!s->class[i].slabs && !s->class[i].refills)
			continue;
		put_class(&to, first, &s->class[i]);
		first = false;
	}
	if (json) {
		hk_line_str(&to.line, "]}");
		end_line(&to);
	}
}

struct file {
	int fd;
	bool good;
};

static void to_file(void *argument, const char *text, size_t length)
{
	struct file *file = argument;

	file->good = file->good && hk_os_write(file->fd, text, length);
}

static void complain(const char *path)
{
	struct hk_line line;

	hk_line_start(&line);
	hk_line_str(&line, "cannot write the statistics of HAKMEM_STATS_DUMP to ");
	hk_line_str(&line, path);
	hk_line_write(&line);
}

int hk_snapshot_dump(void)
{
	char path[HK_DUMP_PATH_MAX];
	struct hk_snapshot s;
	struct file file;

	/* Reads the settings first, if nothing did so yet. */
	hk_snapshot_take(&s);
	if (!hk_settings_dump_path(path, sizeof path))
		return -1;
	file.fd = hk_os_create(path);
	file.good = file.fd >= 0;
	if (file.good) {
		hk_snapshot_write(&s, hk_settings_dump_json(), to_file, &file);
		hk_os_close(file.fd);
	}
	if (!file.good)
		complain(path);
	return file.good ? 0 : -1;
}

__attribute__((destructor(101))) static void dump_at_exit(void)
{
	if (hk_settings.stats_dump[0])
		hk_snapshot_dump();
}
