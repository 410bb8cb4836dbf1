#include "cmd/cmd.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Names of files and arguments may contain terminal control codes. Non-ASCII letters are
 * kept, unlike in printable(), because the user has typed them. */
static char *without_codes(const char *from)
{
	char *out = malloc(4 * strlen(from) + 1), *to = out;

	for (; out && *from; from++)
		if ((*from > 0 && *from < ' ' && *from != '\n') || *from == 127)
			to += sprintf(to, "\\x%02x", *from);
		else
			*to++ = *from;
	if (out)
		*to = 0;
	return out;
}

static void say(const char *format, va_list list)
{
	char *whole = NULL, *shown;

	if (vasprintf(&whole, format, list) < 0)
		whole = NULL;
	shown = whole ? without_codes(whole) : NULL;
	fflush(stdout);
	fprintf(stderr, "hakmem: %s\n", shown ? shown : "out of memory");
	free(shown);
	free(whole);
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

char *printable(const char *from, size_t most)
{
	static const char digits[] = "0123456789abcdef";
	char *out = grow(NULL, most + 8), *to = out;

	for (; *from && to < out + most; from++) {
		unsigned char c = (unsigned char)*from;

		if (c >= ' ' && c <= '~') {
			if (c == '\\')
				*to++ = '\\';
			*to++ = (char)c;
			continue;
		}
		*to++ = '\\';
		*to++ = 'x';
		*to++ = digits[c >> 4];
		*to++ = digits[c & 15];
	}
	strcpy(to, *from ? "..." : "");
	return out;
}

void put_xml(FILE *out, const char *words)
{
	for (; *words; words++) {
		if (*words == '<')
			fputs("&lt;", out);
		else if (*words == '>')
			fputs("&gt;", out);
		else if (*words == '&')
			fputs("&amp;", out);
		else
			fputc(*words, out);
	}
}

json_t *json_text(const char *from)
{
	json_t *value = from ? json_string(from) : json_null();
	char *escaped;

	if (value)
		return value;
	escaped = printable(from, strlen(from) * 4);
	value = json_string(escaped);
	free(escaped);
	return value;
}

int print_json(json_t *value)
{
	char *whole = value ? json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(9) | JSON_ENSURE_ASCII) : NULL;

	json_decref(value);
	if (!whole)
		return fail(FOUND, "cannot write this as JSON");
	puts(whole);
	free(whole);
	return 0;
}

const char *plural(double count)
{
	/* "%.0f" prints such a count as 1. */
	return count > 0.5 && count < 1.5 ? "" : "s";
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
