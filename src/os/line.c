#include "os/line.h"

#include "os/os.h"
#include "os/syscall.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
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

void hk_line_printable(struct hk_line *line, const char *text, size_t length)
{
	for (; length && *text; text++, length--)
		hk_line_char(line, *text < ' ' || *text > '~' ? '?' : *text);
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

void hk_line_bytes(struct hk_line *line, size_t bytes)
{
	hk_line_dec(line, bytes);
	hk_line_str(line, bytes == 1 ? " byte" : " bytes");
}

void hk_os_block_signals(struct hk_signals *before)
{
	struct hk_signals all;

	memset(&all, 0xff, sizeof all);
	HK_SYS(rt_sigprocmask, SIG_SETMASK, &all, before, HK_SIGNALS_SIZE, 0);
}

void hk_os_restore_signals(const struct hk_signals *before)
{
	HK_SYS(rt_sigprocmask, SIG_SETMASK, before, NULL, HK_SIGNALS_SIZE, 0);
}

void hk_os_quiet(struct hk_quiet *quiet)
{
	memset(&quiet->pending, 0, sizeof quiet->pending);
	hk_os_block_signals(&quiet->before);
	HK_SYS(rt_sigpending, &quiet->pending, HK_SIGNALS_SIZE, 0, 0, 0);
}

void hk_os_loud(const struct hk_quiet *quiet, long result)
{
	static const long now[2];
	const int number = result == -EPIPE ? SIGPIPE : result == -EFBIG ? SIGXFSZ : 0;
	struct hk_signals ours = { { 0 } };

	if (number)
		ours.mask[0] = 1ul << (number - 1);
	if (number && !(quiet->pending.mask[0] & ours.mask[0]))
		HK_SYS(rt_sigtimedwait, &ours, NULL, now, HK_SIGNALS_SIZE, 0);
	hk_os_restore_signals(&quiet->before);
}

/* The file may be a full pipe that nothing reads. */
long hk_os_write_soon(int fd, const void *data, size_t size)
{
	enum { PATIENCE_SECONDS = 1, TRIES = 1000 };
	struct pollfd out = { .fd = fd, .events = POLLOUT };
	unsigned tries = 0;
	long done;

	do {
		long patience[2] = { PATIENCE_SECONDS, 0 };	/* ppoll changes it */

		if (HK_SYS(ppoll, &out, 1, patience, NULL, 0) == 0)
			return 0;
		done = HK_SYS(write, fd, data, size, 0, 0);
	} while ((done == -EINTR || done == -EAGAIN) && ++tries < TRIES);
	return done;
}

void hk_line_write(struct hk_line *line)
{
	struct hk_quiet quiet;

	line->text[line->length] = '\n';
	hk_os_quiet(&quiet);
	hk_os_loud(&quiet, hk_os_write_soon(STDERR_FILENO, line->text, line->length + 1));
}

_Noreturn void hk_line_abort(struct hk_line *line)
{
	hk_line_write(line);
	if (hk_line_abort_hook)
		hk_line_abort_hook();
	abort();
}
