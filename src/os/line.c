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

/* Standard error may be full, and nobody may ever read it. */
static long write_soon(const struct hk_line *line)
{
	enum { PATIENCE_SECONDS = 1 };
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
	long done;

	do {
		long patience[2] = { PATIENCE_SECONDS, 0 };	/* the kernel changes it */

		if (HK_SYS(ppoll, &out, 1, patience, NULL, 0) == 0)
			return 0;
		done = HK_SYS(write, STDERR_FILENO, line->text, line->length + 1, 0, 0);
	} while (done == -EINTR);
	return done;
}

/* With signals blocked, so that a pipe without a reader does not end the
 * program by SIGPIPE. */
void hk_line_write(struct hk_line *line)
{
	static const long now[2];
	struct hk_signals before, pending, broken = { { 0 } };
	const unsigned long bit = 1ul << (SIGPIPE - 1);

	line->text[line->length] = '\n';
	hk_os_block_signals(&before);
	broken.mask[0] = bit;
	pending = broken;
	HK_SYS(rt_sigpending, &pending, HK_SIGNALS_SIZE, 0, 0, 0);
	if (write_soon(line) == -EPIPE && !(pending.mask[0] & bit))
		HK_SYS(rt_sigtimedwait, &broken, NULL, now, HK_SIGNALS_SIZE, 0);
	hk_os_restore_signals(&before);
}

_Noreturn void hk_line_abort(struct hk_line *line)
{
	hk_line_write(line);
	if (hk_line_abort_hook)
		hk_line_abort_hook();
	abort();
}
