#include "os/line.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
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

/* Standard error may be full, and nobody may ever read it. */
static ssize_t write_soon(const struct hk_line *line)
{
	enum { PATIENCE_MS = 1000 };
	struct pollfd out = { .fd = STDERR_FILENO, .events = POLLOUT };
	ssize_t done;

	do {
		if (poll(&out, 1, PATIENCE_MS) == 0)
			return 0;
		done = write(STDERR_FILENO, line->text, line->length + 1);
	} while (done < 0 && errno == EINTR);
	return done;
}

/*
 * With signals blocked, so that a pipe without a reader does not end the
 * program by SIGPIPE; and no cancellation: nothing may unwind from here.
 */
void hk_line_write(struct hk_line *line)
{
	static const struct timespec now;
	sigset_t all, broken, pending, before;
	int saved = errno, cancel;

	line->text[line->length] = '\n';
	sigfillset(&all);
	sigemptyset(&broken);
	sigaddset(&broken, SIGPIPE);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	sigpending(&pending);
	if (write_soon(line) < 0 && errno == EPIPE && !sigismember(&pending, SIGPIPE))
		sigtimedwait(&broken, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_setcancelstate(cancel, &cancel);
	errno = saved;
}

_Noreturn void hk_line_abort(struct hk_line *line)
{
	hk_line_write(line);
	if (hk_line_abort_hook)
		hk_line_abort_hook();
	abort();
}
