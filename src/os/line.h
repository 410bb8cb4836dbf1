/*
 * One line on standard error, built without stdio, the locale or memory of the heap. All
 * messages of the library are written this way.
 */
#ifndef HK_OS_LINE_H
#define HK_OS_LINE_H

#include <stddef.h>
#include <stdint.h>

/* Used by one thread only, normally on its stack. Text that does not fit is cut off. */
struct hk_line {
	char text[480];
	unsigned length;
};

void hk_line_start(struct hk_line *line);
void hk_line_char(struct hk_line *line, char c);
void hk_line_str(struct hk_line *line, const char *text);
/* Text from outside: at most length bytes, those that are not printable ASCII as a question mark. */
void hk_line_printable(struct hk_line *line, const char *text, size_t length);
void hk_line_dec(struct hk_line *line, uintmax_t value);
void hk_line_hex(struct hk_line *line, uintmax_t value);
void hk_line_bytes(struct hk_line *line, size_t bytes);		/* "1 byte", "2 bytes" */

/* A code address, with its file and the offset in it if they are known (os/map.c). */
void hk_line_code(struct hk_line *line, const void *code);

/* Appends a newline and writes the line by write(2), waiting at most a second; preserves
 * errno and pending signals. */
void hk_line_write(struct hk_line *line);

/* Writes the line, calls the hook if one is set (the debug ring), and aborts. */
_Noreturn void hk_line_abort(struct hk_line *line);
extern void (*hk_line_abort_hook)(void);

#endif
