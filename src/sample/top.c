/* The call sites that hold the most bytes, for a report that a person reads. */
#include "sample/sample.h"

#include "os/file.h"
#include "os/line.h"
#include "os/os.h"

static uint64_t held(struct hk_sample_site *site)
{
	return atomic_load_explicit(&site->depth, memory_order_acquire) ?
	       atomic_load_explicit(&site->live.weight, memory_order_relaxed) : 0;
}

/* The weights are read once, because they change meanwhile. */
struct ranked {
	struct hk_sample_site *site;
	uint64_t weight;
};

/* The list is sorted by weight. Returns its new length. */
static unsigned insert(struct ranked *list, unsigned length, struct ranked one)
{
	unsigned at = length, i;

	while (at && list[at - 1].weight < one.weight)
		at--;
	if (at == HK_REPORT_SITES)
		return length;
	length += length < HK_REPORT_SITES;
	for (i = length - 1; i > at; i--)
		list[i] = list[i - 1];
	list[at] = one;
	return length;
}

/* As addr2line expects it; a return address is after the call. */
static void put_frame(struct hk_line *line, uintptr_t address)
{
	uintptr_t offset = 0;
	const char *name = hk_os_object((const void *)(address - 1), &offset);

	hk_line_str(line, "    ");
	if (name)
		hk_line_printable(line, name, SIZE_MAX);
	hk_line_char(line, '+');
	hk_line_hex(line, name ? offset : address - 1);
	hk_line_char(line, '\n');
}

static void put_site(struct hk_file *file, const struct hk_sample_table *t, const struct ranked *one)
{
	uint32_t depth = atomic_load_explicit(&one->site->depth, memory_order_acquire), i;
	struct hk_line line = { .length = 0 };

	hk_line_str(&line, "site bytes ");
	hk_line_dec(&line, one->weight);
	hk_line_str(&line, " samples ");
	hk_line_dec(&line, atomic_load_explicit(&one->site->live.samples, memory_order_relaxed));
	hk_line_char(&line, '\n');
	hk_file_put_line(file, &line);
	for (i = 0; i < depth; i++) {
		put_frame(&line, t->frame[one->site->first + i]);
		hk_file_put_line(file, &line);
	}
}

void hk_sample_put_top(struct hk_file *file)
{
	struct hk_sample_table *t = atomic_load_explicit(&hk_sample_table, memory_order_acquire);
	uint32_t sites = t ? atomic_load_explicit(&t->sites, memory_order_relaxed) : 0, i;
	struct ranked list[HK_REPORT_SITES];
	unsigned length = 0;

	for (i = 0; i < sites; i++) {
		struct ranked one = { &t->site[i], held(&t->site[i]) };

		if (one.weight)
			length = insert(list, length, one);
	}
	for (i = 0; i < length; i++)
		put_site(file, t, &list[i]);
}
