/* glibc's introspection functions, with the figures of this heap. */
#include "os/glibc.h"
#include "os/os.h"

#ifndef HK_PREFIXED

#include "stats/snapshot.h"

#include <errno.h>
#include <pthread.h>

static void to_stderr(void *argument, const char *text, size_t length)
{
	(void)argument;
	hk_os_write(2, text, length);
}

static void write_stats(const struct hk_snapshot *s, void *argument)
{
	hk_snapshot_write(s, false, to_stderr, argument);
}

HK_API void malloc_stats(void)
{
	hk_snapshot_with(write_stats, NULL);
}

static size_t in_all(const struct hk_snapshot *s, size_t offset)
{
	size_t sum = 0;
	unsigned i;

	for (i = 0; i < HK_CLASSES; i++)
		sum += *(const size_t *)((const char *)&s->class[i] + offset);
	return sum;
}
#define IN_ALL(s, field) in_all(s, offsetof(struct hak_class_stats, field))

/* uordblks + fordblks = arena, and arena + hblkhd is all memory but metadata. */
static void put_info(const struct hk_snapshot *s, void *argument)
{
	struct mallinfo2 m = { 0 };

	m.arena = s->all.mapped - s->all.large_bytes - s->all.metadata;
	m.uordblks = s->all.slab_bytes + s->all.mid_bytes;
	m.fordblks = s->all.cached + s->all.free_bytes;
	m.smblks = IN_ALL(s, cached);
	m.fsmblks = s->all.cached;
	m.ordblks = IN_ALL(s, free_blocks) + s->all.kept_blocks;
	m.hblks = s->all.large_blocks;
	m.hblkhd = s->all.large_bytes;
	m.keepcost = s->all.kept_bytes;
	*(struct mallinfo2 *)argument = m;
}

HK_API struct mallinfo2 mallinfo2(void)
{
	struct mallinfo2 m = { 0 };

	hk_snapshot_with(put_info, &m);
	return m;
}

/* As in glibc, but figures that exceed an int are limited to its maximum. */
HK_API struct mallinfo mallinfo(void)
{
	struct mallinfo2 m = mallinfo2();
#define CUT(x) ((x) > INT_MAX ? INT_MAX : (int)(x))
	struct mallinfo cut = {
		.arena = CUT(m.arena), .ordblks = CUT(m.ordblks), .smblks = CUT(m.smblks),
		.hblks = CUT(m.hblks), .hblkhd = CUT(m.hblkhd), .fsmblks = CUT(m.fsmblks),
		.uordblks = CUT(m.uordblks), .fordblks = CUT(m.fordblks),
		.keepcost = CUT(m.keepcost),
	};

	return cut;
}

/* The options tune glibc's heap and have no effect here. As in glibc, all are accepted, known
 * or not, except fast bins that are too large. */
HK_API int mallopt(int option, int value)
{
	return option != M_MXFAST || (size_t)value <= 20 * sizeof(size_t);
}

static void put_totals(FILE *out, const struct hk_snapshot *s)
{
	fprintf(out, "<total type=\"live\" count=\"%zu\" size=\"%zu\"/>\n"
		"<total type=\"fast\" count=\"%zu\" size=\"%zu\"/>\n"
		"<total type=\"rest\" count=\"%zu\" size=\"%zu\"/>\n",
		s->all.slab_blocks + s->all.mid_blocks, s->all.slab_bytes + s->all.mid_bytes,
		IN_ALL(s, cached), s->all.cached,
		IN_ALL(s, free_blocks) + s->all.kept_blocks, s->all.free_bytes);
}

/* Uses the elements of glibc, and adds "live". The sizes are those of free blocks; a total is
 * the current size of the heap or of everything. */
static void put_xml(const struct hk_snapshot *s, void *argument)
{
	FILE *out = argument;
	unsigned i;

	fprintf(out, "<malloc version=\"hakmem-1\">\n<heap nr=\"0\">\n<sizes>\n");
	for (i = 0; i < HK_CLASSES; i++) {
		const struct hak_class_stats *c = &s->class[i];
		size_t count = c->cached + c->free_blocks;

		if (count)
			fprintf(out, "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n",
				c->size, c->size, count * c->size, count);
	}
	fprintf(out, "</sizes>\n");
	put_totals(out, s);
	fprintf(out, "<system type=\"current\" size=\"%zu\"/>\n</heap>\n",
		s->all.mapped - s->all.large_bytes - s->all.metadata);
	put_totals(out, s);
	fprintf(out, "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n"
		"<total type=\"metadata\" count=\"0\" size=\"%zu\"/>\n"
		"<system type=\"current\" size=\"%zu\"/>\n"
		"<system type=\"max\" size=\"%zu\"/>\n"
		"<aspace type=\"total\" size=\"%zu\"/>\n"
		"<aspace type=\"mprotect\" size=\"%zu\"/>\n</malloc>\n",
		s->all.large_blocks, s->all.large_bytes, s->all.metadata,
		s->all.mapped, s->all.mapped_peak, s->all.mapped, s->all.mapped);
}

/* As in glibc, there are no options: EINVAL is returned, and errno is not changed. */
HK_API int malloc_info(int options, FILE *out)
{
	int cancel, error;

	if (options != 0)
		return EINVAL;
	/* Writing is a cancellation point, but this function must not be one. */
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	hk_snapshot_with(put_xml, out);
	error = ferror(out);
	pthread_setcancelstate(cancel, NULL);
	return error ? -1 : 0;
}

#endif
