/*
 * The parser of heap profiles in the text format, and of suppressions. For any file, every
 * format can be written, and what is for people is plain text.
 *
 * sources: src/cmd/allocators.c src/cmd/envfile.c src/cmd/flame.c src/cmd/proc.c src/cmd/profile_file.c
 * sources: src/cmd/profile_sum.c src/cmd/profile_write.c src/cmd/say.c src/cmd/suppress.c src/cmd/units.c
 */
#include "cmd/leaks.h"
#undef HAVE_ZLIB
#define put put_bytes
#include "cmd/pprof.c"
#undef put
#include "fuzz.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* Writes the input to a file. */
static const char *put(int *fd, char path[32], const uint8_t *data, size_t size)
{
	if (*fd < 0) {
		*fd = memfd_create("profile", MFD_CLOEXEC);
		snprintf(path, 32, "/proc/self/fd/%d", *fd);
	}
	MUST(ftruncate(*fd, 0) == 0 && pwrite(*fd, data, size, 0) == (ssize_t)size);
	return path;
}

static void write_one(void (*write)(FILE *out, const struct shown *s), const struct shown *s, bool plain)
{
	char *made = NULL, *c;
	size_t size = 0;
	FILE *out = open_memstream(&made, &size);

	write(out, s);
	MUST(fclose(out) == 0);
	for (c = made; plain && c < made + size; c++)
		MUST((*c >= ' ' && *c <= '~') || *c == '\n' || *c == '\t');
	free(made);
}

static void write_all(const struct profile *p, bool growth)
{
	struct shown s = { .profile = p, .growth = growth };

	for (s.view = VIEW_LIVE; s.view <= VIEW_ALLOCATED; s.view++) {
		write_one(profile_write_table, &s, true);
		write_one(profile_write_folded, &s, true);
		write_one(profile_write_flame, &s, true);
		write_one(profile_write_pprof, &s, false);
		json_decref(profile_json(&s));
	}
}

/* What this command writes, it can read. */
static void copy(const struct profile *p)
{
	static char path[32];
	static int fd = -1;
	struct profile again;
	char *made = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&made, &size);

	profile_write_text(out, p);
	MUST(fclose(out) == 0);
	if (profile_load(&again, put(&fd, path, (const uint8_t *)made, size)))
		write_all(&again, false);
	else
		MUST(!p->mean);
	profile_free(&again);
	free(made);
}

/* The input is a profile, and after a zero byte suppressions. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static char path[32], other[32];
	static int fd = -1, rules_fd = -1;
	const uint8_t *end = size ? memchr(data, 0, size) : NULL;
	size_t first = end ? (size_t)(end - data) : size;
	struct suppressions rules;
	struct profile p, base;

	if (profile_load(&p, put(&fd, path, data, first))) {
		write_all(&p, false);
		copy(&p);
		if (profile_load(&base, path)) {
			profile_subtract(&p, &base);
			write_all(&p, true);
		}
		profile_free(&base);
	}
	if (suppressions_read(&rules, end ? put(&rules_fd, other, end + 1, size - first - 1) : NULL))
		suppressions_apply(&rules, &p);
	suppressions_free(&rules);
	profile_free(&p);
	return 0;
}
