/* Heap profiles in the text format of gperftools, which src/sample/dump.c writes too. */
#include "cmd/profile.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { MOST_LINE = 1 << 16, MOST_LINES = 1 << 20 };

static bool number(char **at, int base, uint64_t *out)
{
	char *end;

	errno = 0;
	*out = strtoull(*at, &end, base);
	if (end == *at || errno)
		return false;
	*at = end;
	return true;
}

static bool skip(char **at, const char *word)
{
	size_t length = strlen(word);

	while (**at == ' ')
		++*at;
	if (strncmp(*at, word, length) != 0)
		return false;
	*at += length;
	return true;
}

/* "samples: bytes" */
static bool pair(char **at, struct sum *sum)
{
	uint64_t samples, bytes;

	if (!number(at, 10, &samples) || !skip(at, ":") || !number(at, 10, &bytes))
		return false;
	sum->samples = (double)samples;
	sum->bytes = (double)bytes;
	return true;
}

static bool pairs(char **at, struct site *site)
{
	return pair(at, &site->live) && skip(at, "[") && pair(at, &site->all) && skip(at, "]") && skip(at, "@");
}

static bool read_head(struct profile *p, char *line)
{
	struct site all;

	return skip(&line, "heap profile:") && pairs(&line, &all) && skip(&line, "heap_v2/") &&
	       number(&line, 10, &p->mean) && p->mean && p->mean <= INT64_MAX;
}

static bool read_site(struct profile *p, char *line)
{
	uint64_t frame[PROFILE_DEPTH];
	struct site site = { .first = (uint32_t)p->frames };

	if (!pairs(&line, &site))
		return false;
	while (site.depth < PROFILE_DEPTH && number(&line, 16, &frame[site.depth]))
		site.depth++;
	if (!site.depth || p->sites == PROFILE_SITES || p->frames + site.depth > PROFILE_FRAMES)
		return false;
	site_weigh(&site, p->mean);
	p->site = grow(p->site, (p->sites + 1) * sizeof site);
	p->site[p->sites++] = site;
	p->frame = grow(p->frame, (p->frames + site.depth) * sizeof *frame);
	memcpy(p->frame + p->frames, frame, site.depth * sizeof *frame);
	p->frames += site.depth;
	return true;
}

static void read_map(struct profile *p, const char *line)
{
	unsigned major, minor;
	struct profile_map m;
	char mode[5], path[4096];

	if (sscanf(line, "%" SCNx64 "-%" SCNx64 " %4s %" SCNx64 " %x:%x %llu %4095[^\n]", &m.start, &m.end, mode,
		   &m.offset, &major, &minor, &m.inode, path) != 8 || *path != '/' || m.end <= m.start ||
	    p->maps == PROFILE_MAPS)
		return;
	path_there(path);
	m.device = makedev(major, minor);
	m.path = path;
	if (mode[2] == 'x')
		profile_add_map(p, &m);
}

static bool read_lines(struct profile *p, FILE *in)
{
	char *line = grow(NULL, MOST_LINE);
	bool good = fgets(line, MOST_LINE, in) && read_head(p, line), maps = false;
	unsigned lines = 0;

	while (good && lines++ < MOST_LINES && fgets(line, MOST_LINE, in)) {
		if (maps)
			read_map(p, line);
		else if (!strncmp(line, "MAPPED_LIBRARIES:", 17))
			maps = true;
		else if (*line != '\n')
			p->damaged += !read_site(p, line);
	}
	free(line);
	return good && !ferror(in);
}

bool profile_load(struct profile *p, const char *path)
{
	int fd = regular_file(open(path, O_PATH | O_CLOEXEC));
	FILE *in = fd >= 0 ? fdopen(fd, "r") : NULL;
	bool good;

	*p = (struct profile){ .name = printable(path, 256) };
	if (!in) {
		warn("cannot read %s: %s", path, errno == ENOEXEC ? "not a regular file" : strerror(errno));
		return false;
	}
	good = read_lines(p, in);
	fclose(in);
	if (good)
		profile_index(p);
	else
		warn("%s is not a heap profile in the text format", path);
	return good;
}

/* The format has no differences below 0, and its readers expect numbers of 64 bits. The limit is the largest double
 * below 2^64. */
static double figure(double value)
{
	return fmin(fmax(value, 0), 0x1.fffffffffffffp63);
}

static void write_pairs(FILE *out, const struct sum *live, const struct sum *all)
{
	fprintf(out, "%.0f: %.0f [%.0f: %.0f] @", figure(live->samples), figure(live->bytes), figure(all->samples),
		figure(all->bytes));
}

static void add(struct sum *to, const struct sum *more)
{
	to->samples += more->samples;
	to->bytes += more->bytes;
}

/* If samples have different distances, the estimates are written instead of the samples. */
static struct site written(const struct profile *p, const struct site *site)
{
	struct site as = *site;

	if (p->mixed) {
		as.live = (struct sum){ sum_blocks(&site->live), site->live.weight, 0 };
		as.all = (struct sum){ sum_blocks(&site->all), site->all.weight, 0 };
	}
	return as;
}

/* A newline in a path would begin another line. */
static void write_path(FILE *out, const char *path)
{
	for (; *path; path++)
		if (*path == '\n')
			fputs("\\012", out);
		else
			putc(*path, out);
}

void profile_write_text(FILE *out, const struct profile *p)
{
	struct site all = { 0 }, site;
	uint32_t frame;
	size_t i;

	for (i = 0; i < p->sites; i++) {
		site = written(p, &p->site[i]);
		add(&all.live, &site.live);
		add(&all.all, &site.all);
	}
	fputs("heap profile: ", out);
	write_pairs(out, &all.live, &all.all);
	fprintf(out, " heap_v2/%" PRIu64 "\n", p->mixed ? 1 : p->mean);
	for (i = 0; i < p->sites; i++) {
		site = written(p, &p->site[i]);
		if (!site.depth)
			continue;
		write_pairs(out, &site.live, &site.all);
		for (frame = 0; frame < site.depth; frame++)
			fprintf(out, " 0x%" PRIx64, p->frame[site.first + frame]);
		putc('\n', out);
	}
	fputs("\nMAPPED_LIBRARIES:\n", out);
	for (i = 0; i < p->maps; i++) {
		const struct profile_map *m = &p->map[i];

		fprintf(out, "%" PRIx64 "-%" PRIx64 " r-xp %08" PRIx64 " %02x:%02x %llu ", m->start, m->end, m->offset,
			major(m->device), minor(m->device), m->inode);
		write_path(out, m->path);
		putc('\n', out);
	}
}
