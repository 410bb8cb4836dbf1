#include "os/line.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

void (*hk_line_abort_hook)(void);

void hk_line_start(struct hk_line *line)
{
	line->length = 0;
	hk_line_str(line, "hakmem: ");
}

void hk_line_char(struct hk_line *line, char c)
{
	/* The last byte stays free for the newline. */
	if (line->length < sizeof line->text - 1)
		line->text[line->length++] = c;
}

void hk_line_str(struct hk_line *line, const char *text)
{
	while (*text)
		hk_line_char(line, *text++);
}

static void put_digits(struct hk_line *line, uintmax_t value, unsigned base)
{
	char digits[sizeof value * 3];
	unsigned n = 0;

	do {
		digits[n++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value);
	while (n)
		hk_line_char(line, digits[--n]);
}

void hk_line_dec(struct hk_line *line, uintmax_t value)
{
	put_digits(line, value, 10);
}

void hk_line_hex(struct hk_line *line, uintmax_t value)
{
	hk_line_str(line, "0x");
	put_digits(line, value, 16);
}

void hk_line_write(struct hk_line *line)
{
	int saved = errno;
	ssize_t done;

	line->text[line->length] = '\n';
	do
		done = write(STDERR_FILENO, line->text, line->length + 1);
	while (done < 0 && errno == EINTR);
	errno = saved;
}

_Noreturn void hk_line_abort(struct hk_line *line)
{
	hk_line_write(line);
	if (hk_line_abort_hook)
		hk_line_abort_hook();
	abort();
}
