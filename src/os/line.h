/*
 * One line on standard error, put together without stdio, locale or memory
 * from the heap: the only way in which the library speaks.
 */
#ifndef HK_OS_LINE_H
#define HK_OS_LINE_H

#include <stdint.h>

/* Owned by one thread, normally on its stack. Text past the end is cut. */
struct hk_line {
	char text[480];
	unsigned length;
};

void hk_line_start(struct hk_line *line);
void hk_line_char(struct hk_line *line, char c);
void hk_line_str(struct hk_line *line, const char *text);
void hk_line_dec(struct hk_line *line, uintmax_t value);
void hk_line_hex(struct hk_line *line, uintmax_t value);

/* Adds the newline and writes with one write(2), waiting a second at most;
 * errno and pending signals are preserved. */
void hk_line_write(struct hk_line *line);

/* Writes the line, runs the hook if one is set (debug ring), aborts. */
_Noreturn void hk_line_abort(struct hk_line *line);
extern void (*hk_line_abort_hook)(void);

#endif
