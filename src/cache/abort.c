/* Reports what is wrong with a pointer in one line, and aborts the program. */
#include "cache/internal.h"

#include "debug/ring.h"
#include "large/large.h"
#include "slab/pagemap.h"

const char *hk_call_name(enum hk_call call)
{
	static const char *const name[] = { "free", "realloc", "malloc_usable_size",
		"free_sized", "free_aligned_sized" };

	return name[call];
}

static void start(struct hk_line *line, enum hk_call call, const void *p)
{
	hk_line_start(line);
	hk_line_str(line, hk_call_name(call));
	hk_line_str(line, "(): ");
	hk_line_hex(line, (uintptr_t)p);
}

_Noreturn void hk_stop(struct hk_line *line, const void *p)
{
	hk_leave_to_abort();
	hk_trace_abort(line, p);
}

static void put_kind(struct hk_line *line, const struct hk_slab *slab)
{
	hk_line_dec(line, slab->size);
	hk_line_str(line, "-byte block of C");
	hk_line_dec(line, hk_class_group(slab->class));
}

static void put_away(struct hk_line *line, const void *p, uintptr_t from, const char *where)
{
	hk_line_str(line, " is ");
	hk_line_bytes(line, (uintptr_t)p - from);
	hk_line_char(line, ' ');
	hk_line_str(line, where);
}

static void put_start(struct hk_line *line, uintptr_t block)
{
	hk_line_str(line, " that starts at ");
	hk_line_hex(line, block);
}

_Noreturn void hk_already_free(enum hk_call call, const void *p, const struct hk_slab *slab)
{
	struct hk_line line;

	start(&line, call, p);
	hk_line_str(&line, " is already free (");
	put_kind(&line, slab);
	hk_line_char(&line, ')');
	hk_stop(&line, p);
}

static void describe_slab(struct hk_line *line, const void *p, const struct hk_slab *slab)
{
	unsigned i = hk_slab_index(slab, p);
	uintptr_t block = slab->base + (uintptr_t)i * slab->size;

	if (i >= slab->blocks) {
		put_away(line, p, slab->base + (uintptr_t)slab->blocks * slab->size,
			 "past the last block of a slab (");
		put_kind(line, slab);
		hk_line_char(line, ')');
		return;
	}
	if (i < slab->carved && block != (uintptr_t)p) {
		put_away(line, p, block, "inside a ");
		put_kind(line, slab);
		put_start(line, block);
		return;
	}
	hk_line_str(line, i < slab->carved ? " is already free (" : " was never allocated (");
	put_kind(line, slab);
	hk_line_char(line, ')');
}

static void describe_span(struct hk_line *line, const void *p, uintptr_t block,
			  size_t size, const char *kind)
{
	if ((uintptr_t)p - block < size)
		put_away(line, p, block, "inside a ");
	else
		put_away(line, p, block + size, "past the end of a ");
	hk_line_dec(line, size);
	hk_line_str(line, "-byte ");
	hk_line_str(line, kind);
	hk_line_str(line, " block");
	put_start(line, block);
}

/* The run that last contained p, whose slots are free now, if its descriptor still
 * exists; otherwise NULL. */
static const struct hk_slab *former_run(const void *p, const struct hk_superslab *home)
{
	unsigned slot = (uintptr_t)p >> HK_SLOT_SHIFT & (HK_SLOTS - 1), i;

	for (i = 0; i <= slot; i++) {
		const struct hk_slab *run = &home->slab[slot - i];

		if (run->base - (home->base + (slot - i) * HK_SLOT_SIZE) < HK_SLOT_SIZE &&
		    run->base <= (uintptr_t)p && i < run->slots)
			return run;
	}
	return NULL;
}

static void describe_former(struct hk_line *line, const void *p, const struct hk_superslab *home)
{
	const struct hk_slab *run = former_run(p, home);
	uintptr_t offset = run ? (uintptr_t)p - run->base : 0;

	if (run && run->class < HK_CLASSES && offset % run->size == 0 && offset / run->size < run->carved)
		describe_slab(line, p, run);
	else if (run && run->class == HK_CLASSES && offset == 0)
		hk_line_str(line, " is already free (Mid block)");
	else
		hk_line_str(line, " lies in free memory of the heap");
}

_Noreturn void hk_bad_pointer(enum hk_call call, const void *p)
{
	const struct hk_superslab *home = hk_granule_find(p).superslab;
	const struct hk_slab *run = hk_run_find(p);
	struct hk_span span;
	struct hk_line line;

	start(&line, call, p);
	if (run && run->kind == HK_RUN_SLAB)
		describe_slab(&line, p, run);
	else if (run && run->base != (uintptr_t)p)
		describe_span(&line, p, run->base, run->size, "Mid");
	else if (run)
		hk_line_str(&line, " is already free (Mid block)");
	else if (home)
		describe_former(&line, p, home);
	else if (hk_large_around(p, &span))
		describe_span(&line, p, span.start, span.size, span.kind);
	else
		hk_line_str(&line, " is not a hakmem block");
	hk_stop(&line, p);
}

_Noreturn void hk_bad_link(const void *p)
{
	const struct hk_slab *run = hk_run_find(p);
	struct hk_line line;

	hk_line_start(&line);
	if (run && run->kind == HK_RUN_SLAB && hk_slab_valid(run, p)) {
		hk_line_str(&line, "free block ");
		hk_line_hex(&line, (uintptr_t)p);
		hk_line_str(&line, " was overwritten or freed twice (");
		put_kind(&line, run);
		hk_line_char(&line, ')');
	} else {
		hk_line_str(&line, "a free block was overwritten: it leads to ");
		hk_line_hex(&line, (uintptr_t)p);
	}
	hk_stop(&line, p);
}
