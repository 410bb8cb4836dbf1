/* Heap profiles in memory: indexed, subtracted, summed up by stack. */
#include "cmd/profile.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void weigh(struct sum *sum, double mean)
{
	double size = sum->samples > 0 ? sum->bytes / sum->samples : 0;

	sum->weight = size > 0 && mean > 1 ? sum->bytes / -expm1(-size / mean) : sum->bytes;
}

void site_weigh(struct site *site, uint64_t mean)
{
	weigh(&site->live, (double)mean);
	weigh(&site->all, (double)mean);
}

double sum_blocks(const struct sum *sum)
{
	double size = sum->samples != 0 ? sum->bytes / sum->samples : 0;

	return size > 0 ? sum->weight / size : sum->samples;
}

size_t size_of_double(double value)
{
	value = fabs(value);
	return value < (double)(SIZE_MAX / 2) ? (size_t)(value + 0.5) : SIZE_MAX / 2;
}

static void *append(void *list, size_t *count, const void *element, size_t size)
{
	if (!(*count & (*count - 1)))
		list = grow(list, (*count ? 2 * *count : 1) * size);
	memcpy((char *)list + (*count)++ * size, element, size);
	return list;
}

void profile_add_map(struct profile *p, const struct profile_map *map)
{
	struct profile_map copy = *map;

	copy.path = text("%s", map->path);
	p->map = append(p->map, &p->maps, &copy, sizeof copy);
}

static int by_start(const void *a, const void *b)
{
	const struct profile_map *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The call is before its return address, which may be that of the next mapping. */
static int in_map(const void *a, const void *b)
{
	uint64_t at = *(const uint64_t *)a - 1;
	const struct profile_map *m = b;

	return at < m->start ? -1 : at >= m->end;
}

static int map_of(const struct profile *p, uint64_t at)
{
	const struct profile_map *m = p->maps ? bsearch(&at, p->map, p->maps, sizeof *m, in_map) : NULL;

	return m ? (int)(m - p->map) : -1;
}

void profile_index(struct profile *p)
{
	uint64_t *sorted = grow(NULL, p->frames * sizeof *sorted + 1);
	size_t i, count = 0;

	if (p->maps)
		qsort(p->map, p->maps, sizeof *p->map, by_start);
	if (p->frames)
		memcpy(sorted, p->frame, p->frames * sizeof *sorted);
	qsort(sorted, p->frames, sizeof *sorted, by_value);
	for (i = 0; i < p->frames; i++)
		if (!i || sorted[i] != sorted[i - 1])
			sorted[count++] = sorted[i];
	p->address = grow(p->address, count * sizeof *p->address + 1);
	for (i = 0; i < count; i++)
		p->address[i] = (struct address){ .at = sorted[i], .map = map_of(p, sorted[i]) };
	p->addresses = count;
	free(sorted);
}

static int by_at(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = ((const struct address *)b)->at;

	return (x > y) - (x < y);
}

const struct address *profile_address(const struct profile *p, uint64_t at)
{
	return bsearch(&at, p->address, p->addresses, sizeof *p->address, by_at);
}

/* By file, offset, and the lowest address last. */
static int by_file(const void *a, const void *b)
{
	const struct profile_map *x = a, *y = b;
	int order = strcmp(x->path, y->path);

	if (order)
		return order;
	return x->offset != y->offset ? (x->offset > y->offset) - (x->offset < y->offset) :
					(x->start < y->start) - (x->start > y->start);
}

/* The last of the sorted maps that is of this file and begins before this offset in it. */
static const struct profile_map *map_at(const struct profile_map *sorted, size_t count, const char *path, uint64_t offset)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = strcmp(sorted[middle].path, path);

		if (order < 0 || (!order && sorted[middle].offset < offset))
			low = middle + 1;
		else
			high = middle;
	}
	return low && !strcmp(sorted[low - 1].path, path) ? &sorted[low - 1] : NULL;
}

/* The address with the same offset in the same file of the sorted maps; if there is none, the
 * address itself. */
static uint64_t translate(const struct profile_map *sorted, size_t count, const struct profile *base, uint64_t at)
{
	int from = map_of(base, at);
	const struct profile_map *to;
	uint64_t offset;

	if (from < 0)
		return at;
	offset = at - base->map[from].start + base->map[from].offset;
	to = map_at(sorted, count, base->map[from].path, offset);
	return to && offset - to->offset <= to->end - to->start ? to->start + offset - to->offset : at;
}

/* Keeps the maps of files that were unmapped meanwhile. p->map is in ascending order only before. */
static void add_former_maps(struct profile *p, const struct profile *base, const struct profile_map *sorted)
{
	bool *former = grow(NULL, base->maps + 1);
	size_t count = p->maps, i;

	for (i = 0; i < base->maps; i++)
		former[i] = !map_at(sorted, count, base->map[i].path, UINT64_MAX) &&
			    map_of(p, base->map[i].start + 1) < 0 && map_of(p, base->map[i].end) < 0;
	for (i = 0; i < base->maps; i++)
		if (former[i])
			profile_add_map(p, &base->map[i]);
	free(former);
}

static struct sum negative(struct sum sum)
{
	return (struct sum){ -sum.samples, -sum.bytes, -sum.weight };
}

void profile_subtract(struct profile *p, const struct profile *base)
{
	struct profile_map *sorted;
	size_t before = p->frames, maps = p->maps, i;

	p->difference = true;
	if (p->frames + base->frames > UINT32_MAX)
		return;
	sorted = grow(NULL, maps * sizeof *sorted + 1);
	if (maps) {
		memcpy(sorted, p->map, maps * sizeof *sorted);
		qsort(sorted, maps, sizeof *sorted, by_file);
	}
	add_former_maps(p, base, sorted);
	p->frame = grow(p->frame, (p->frames + base->frames) * sizeof *p->frame + 1);
	/* The weights in a table are rounded, but a file has none: this would appear as a
	 * difference. */
	for (i = 0; i < p->sites && !p->mixed; i++)
		site_weigh(&p->site[i], p->mean);
	p->site = grow(p->site, (p->sites + base->sites) * sizeof *p->site + 1);
	for (i = 0; i < base->frames; i++)
		p->frame[p->frames++] = translate(sorted, maps, base, base->frame[i]);
	free(sorted);
	for (i = 0; i < base->sites; i++) {
		struct site site = base->site[i];

		if (!base->mixed)
			site_weigh(&site, base->mean);
		site.first += (uint32_t)before;
		site.live = negative(site.live);
		site.all = negative(site.all);
		p->site[p->sites++] = site;
	}
	profile_index(p);
}

static int compare_stacks(const struct row *x, const struct row *y)
{
	if (x->depth != y->depth)
		return x->depth < y->depth ? -1 : 1;
	return memcmp(x->frame, y->frame, x->depth * sizeof *x->frame);
}

static int by_stack(const void *a, const void *b)
{
	return compare_stacks(a, b);
}

static int by_bytes(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	if (x->bytes != y->bytes)
		return x->bytes < y->bytes ? 1 : -1;
	return compare_stacks(x, y);
}

static void add(struct row *to, const struct row *more)
{
	to->bytes += more->bytes;
	to->count += more->count;
	to->samples += more->samples;
}

static struct row row_of(const struct profile *p, const struct site *site, enum view view)
{
	const struct sum *sum = view == VIEW_LIVE ? &site->live : &site->all;

	return (struct row){ p->frame + site->first, site->depth, sum->weight, sum_blocks(sum), sum->samples };
}

struct row *profile_rows(const struct profile *p, enum view view, size_t *count, struct row *total)
{
	struct row *row = grow(NULL, p->sites * sizeof *row + 1), *last = NULL;
	size_t i, sites = 0, rows = 0;

	*total = (struct row){ NULL, 0, 0, 0, 0 };
	for (i = 0; i < p->sites; i++)
		if (p->site[i].depth)
			row[sites++] = row_of(p, &p->site[i], view);
	qsort(row, sites, sizeof *row, by_stack);
	for (i = 0; i < sites; i++) {
		add(total, &row[i]);
		if (last && !compare_stacks(last, &row[i])) {
			add(last, &row[i]);
			continue;
		}
		last = &row[rows++];
		*last = row[i];
	}
	for (i = sites = 0; i < rows; i++)
		if (row[i].samples != 0 || fabs(row[i].bytes) >= 1)
			row[sites++] = row[i];
	qsort(row, sites, sizeof *row, by_bytes);
	*count = sites;
	return row;
}

static void free_places(struct address *address)
{
	unsigned i;

	for (i = 0; i < address->places; i++) {
		free(address->place[i].function);
		free(address->place[i].file);
	}
	free(address->place);
}

void profile_free(struct profile *p)
{
	size_t i;

	for (i = 0; i < p->maps; i++)
		free(p->map[i].path);
	for (i = 0; i < p->addresses; i++)
		free_places(&p->address[i]);
	free(p->map);
	free(p->address);
	free(p->site);
	free(p->frame);
	free(p->name);
	*p = (struct profile){ 0 };
}
