/*
 * The parser of settings files in the command, for a program and for lint. For any file,
 * it accepts only settings and prints only plain text; if lint accepts the file, so does
 * the library.
 *
 * sources: src/cmd/args.c src/cmd/envfile.c src/cmd/nearest.c src/cmd/output.c src/cmd/say.c
 * sources: src/cmd/settings.c
 * sources: src/config/names.c src/config/settings.c src/config/values.c src/os/file.c
 */
#include "cmd/lint.c"
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static unsigned said;

static void hear(const char *line)
{
	must_be_plain(line);
	said++;
}

/* Writes the input to a file. */
static const char *put(const uint8_t *data, size_t size)
{
	static char path[32];
	static int fd = -1;

	if (fd < 0) {
		fd = memfd_create("env", MFD_CLOEXEC);
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	}
	MUST(ftruncate(fd, 0) == 0 && pwrite(fd, data, size, 0) == (ssize_t)size);
	return path;
}

/* False: it is a binary file, which is refused. */
static bool take(const char *path, bool binary)
{
	struct source s = { 0 };
	unsigned i;

	MUST(source_add_file(&s, path) == !binary);
	if (binary)
		return false;
	for (i = 0; i < s.count; i++) {
		MUST(!strncmp(s.entry[i], "HAKMEM_", 7) || !strcmp(s.entry[i], "LD_PRELOAD=" SONAME));
		MUST(!strchr(s.entry[i], '\n') && strchr(s.entry[i], '='));
	}
	said = 0;
	source_load(&s, hear);
	while (s.count--) {
		free(s.entry[s.count]);
		free(s.origin[s.count]);
	}
	free(s.entry);
	free(s.origin);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *path = put(data, size);

	if (!take(path, size && memchr(data, 0, size)))
		return 0;
	now.found = 0;
	MUST(lint_file(path) == 0);
	MUST(now.found || !said);
	return 0;
}
