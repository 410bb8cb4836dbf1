/* Reports what a check found, in one line. */
#include "harden/internal.h"

#include "os/line.h"

static void start(struct hk_line *line, enum hk_call call, enum hk_form form, const void *p)
{
	static const char *const operator[] = { NULL, "operator delete", "operator delete[]" };

	hk_line_start(line);
	hk_line_str(line, form == HK_FORM_MALLOC ? hk_call_name(call) : operator[form]);
	hk_line_str(line, "(): ");
	hk_line_hex(line, (uintptr_t)p);
}

void hk_report_overrun(enum hk_call call, const void *p, size_t size, size_t whole)
{
	struct hk_line line;

	start(&line, call, HK_FORM_MALLOC, p);
	hk_line_str(&line, " was written to past its end (");
	if (size != SIZE_MAX) {
		hk_line_bytes(&line, size);
		hk_line_str(&line, " in a ");
	}
	hk_line_dec(&line, whole);
	hk_line_str(&line, "-byte block)");
	hk_stop(&line, p);
}

void hk_report_underrun(enum hk_call call, const void *p)
{
	struct hk_line line;

	start(&line, call, HK_FORM_MALLOC, p);
	hk_line_str(&line, " was written to before its start, or the block before it past its end");
	hk_stop(&line, p);
}

void hk_report_written(const void *p, size_t whole, size_t at)
{
	struct hk_line line;

	start(&line, HK_CALL_FREE, HK_FORM_MALLOC, p);
	hk_line_str(&line, " was written to after it was freed (at byte ");
	hk_line_dec(&line, at);
	hk_line_str(&line, " of a ");
	hk_line_dec(&line, whole);
	hk_line_str(&line, "-byte block)");
	hk_stop(&line, p);
}

void hk_report_twice(enum hk_call call, const void *p, const char *kind)
{
	struct hk_line line;

	start(&line, call, HK_FORM_MALLOC, p);
	hk_line_str(&line, " is already free (");
	hk_line_str(&line, kind);
	hk_line_char(&line, ')');
	hk_stop(&line, p);
}

void hk_report_size(const struct hk_release *how, const void *p, size_t size)
{
	struct hk_line line;

	start(&line, how->call, how->form, p);
	hk_line_str(&line, " has ");
	hk_line_bytes(&line, size);
	hk_line_str(&line, ", not ");
	hk_line_dec(&line, how->size);
	hk_stop(&line, p);
}

void hk_report_form(const struct hk_release *how, const void *p, const struct hk_seal *seal)
{
	static const char *const allocated[] = { "malloc", "operator new", "operator new[]" };
	struct hk_line line;

	start(&line, how->call, how->form, p);
	hk_line_str(&line, " was allocated by ");
	hk_line_str(&line, seal->align && seal->form == HK_FORM_MALLOC ? "aligned_alloc" : allocated[seal->form]);
	hk_line_str(&line, "()");
	hk_stop(&line, p);
}

static void put_align(struct hk_line *line, size_t align)
{
	if (align)
		hk_line_dec(line, align);
	else
		hk_line_str(line, "none");
}

void hk_report_align(const struct hk_release *how, const void *p, const struct hk_seal *seal)
{
	struct hk_line line;

	start(&line, how->call, how->form, p);
	hk_line_str(&line, " was allocated with the alignment ");
	put_align(&line, seal->align ? (size_t)1 << (seal->align - 1) : 0);
	hk_line_str(&line, ", not ");
	put_align(&line, how->align > 1 ? how->align : 0);
	hk_stop(&line, p);
}
