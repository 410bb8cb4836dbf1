/* What glibc's introspection calls say, with HAKMEM's own figures. */
#include "os/os.h"
#include "os/line.h"
#include "stats/snapshot.h"

#include <hakmem/hakmem.h>
#include <errno.h>
#include <malloc.h>
#include <stdio.h>

HK_API void hak_stats_json(void (*write)(void *, const char *, size_t), void *argument)
{
	struct hk_snapshot s;

	hk_snapshot_take(&s);
	hk_snapshot_write(&s, true, write, argument);
}

HK_API int hak_stats_dump(void)
{
	return hk_snapshot_dump();
}

HK_API const char *hak_version(void)
{
	return PACKAGE_VERSION;
}

#ifndef HK_PREFIXED

static void to_stderr(void *argument, const char *text, size_t length)
{
	(void)argument;
	hk_os_write(2, text, length);
}

HK_API void malloc_stats(void)
{
	struct hk_snapshot s;

	hk_snapshot_take(&s);
	hk_snapshot_write(&s, false, to_stderr, NULL);
}

/* uordblks + fordblks = arena; blocks beyond SuperSlabs are in hblkhd. */
HK_API struct mallinfo2 mallinfo2(void)
{
	struct hk_snapshot s;
	struct mallinfo2 m = { 0 };

	hk_snapshot_take(&s);
	m.arena = s.superslabs * HK_SUPERSLAB_SIZE;
	m.uordblks = s.in_use + s.mid_bytes;
	m.fordblks = m.arena - m.uordblks;
	m.fsmblks = s.cached;
	m.hblks = s.large_blocks;
	m.hblkhd = s.large_bytes;
	m.keepcost = s.kept_bytes;
	return m;
}

/* As glibc's, with figures that an int cannot hold cut to its range. */
HK_API struct mallinfo mallinfo(void)
{
	struct mallinfo2 m = mallinfo2();
#define CUT(x) ((x) > INT_MAX ? INT_MAX : (int)(x))
	struct mallinfo cut = {
		.arena = CUT(m.arena), .uordblks = CUT(m.uordblks),
		.fordblks = CUT(m.fordblks), .fsmblks = CUT(m.fsmblks),
		.hblks = CUT(m.hblks), .hblkhd = CUT(m.hblkhd), .keepcost = CUT(m.keepcost),
	};

	return cut;
}

/* The options tune glibc's heap; they are understood and change nothing. */
HK_API int mallopt(int option, int value)
{
	(void)value;
	return option == M_MXFAST || (option >= M_PERTURB && option <= M_TRIM_THRESHOLD) ||
	       option == M_ARENA_TEST || option == M_ARENA_MAX;
}

HK_API int malloc_info(int options, FILE *out)
{
	struct hk_snapshot s;
	unsigned i;

	if (options != 0) {
		errno = EINVAL;
		return -1;
	}
	hk_snapshot_take(&s);
	fprintf(out, "<malloc version=\"hakmem-1\">\n<heap nr=\"0\">\n<sizes>\n");
	for (i = 0; i < HK_CLASSES; i++)
		if (s.class[i].slabs)
			fprintf(out, "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n",
				i ? hk_class_size(i - 1) + 1 : 1, hk_class_size(i),
				s.class[i].used * hk_class_size(i), s.class[i].used);
	fprintf(out, "</sizes>\n</heap>\n"
		"<total type=\"fast\" count=\"0\" size=\"%zu\"/>\n"
		"<total type=\"rest\" count=\"0\" size=\"%zu\"/>\n"
		"<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n"
		"<system type=\"current\" size=\"%zu\"/>\n"
		"<system type=\"max\" size=\"%zu\"/>\n"
		"<aspace type=\"total\" size=\"%zu\"/>\n"
		"<aspace type=\"mprotect\" size=\"%zu\"/>\n</malloc>\n",
		s.cached, s.free_bytes, s.large_blocks, s.large_bytes,
		s.mapped, s.superslabs_peak * HK_SUPERSLAB_SIZE, s.mapped, s.mapped);
	return ferror(out) ? -1 : 0;
}

#endif
