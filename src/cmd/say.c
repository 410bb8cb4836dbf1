#include "cmd/cmd.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(const char *format, va_list list)
{
	fflush(stdout);
	fputs("hakmem: ", stderr);
	vfprintf(stderr, format, list);
	fputc('\n', stderr);
}

int fail(int status, const char *format, ...)
{
	va_list list;

	va_start(list, format);
	say(format, list);
	va_end(list);
	return status;
}

void warn(const char *format, ...)
{
	va_list list;

	va_start(list, format);
	say(format, list);
	va_end(list);
}

const char *ink(enum ink which)
{
	static const char *const codes[] = { "\033[0m", "\033[1m", "\033[32m", "\033[31m", "\033[2m" };
	static int colour = -1;

	if (colour < 0) {
		const char *term = getenv("TERM"), *no = getenv("NO_COLOR");

		colour = isatty(STDOUT_FILENO) && term && strcmp(term, "dumb") != 0 && !(no && *no);
	}
	return colour ? codes[which] : "";
}

int print_json(json_t *value)
{
	json_dumpf(value, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
	putchar('\n');
	json_decref(value);
	return 0;
}

char *text(const char *format, ...)
{
	va_list list;
	char *out;

	va_start(list, format);
	if (vasprintf(&out, format, list) < 0)
		exit(fail(RUN_FAILED, "out of memory"));
	va_end(list);
	return out;
}

void *grow(void *list, size_t bytes)
{
	list = realloc(list, bytes);
	if (!list)
		exit(fail(RUN_FAILED, "out of memory"));
	return list;
}

int finish(int status)
{
	if (fflush(stdout) || ferror(stdout))
		return fail(FOUND, "cannot write the output");
	return status;
}
