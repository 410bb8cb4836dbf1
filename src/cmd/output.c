/* Writes files as the library does. */
#include "cmd/cmd.h"
#include "os/file.h"

#include <errno.h>
#include <stdlib.h>

static bool cannot(const char *path, const struct hk_file *file)
{
	warn("cannot write %s: %s", path, hk_file_why(file));
	return false;
}

static bool replace(const char *path, const char *data, size_t size)
{
	char *copy = text("%s", path);
	struct hk_file file;
	bool good;

	hk_file_begin(&file, copy);
	hk_file_put(&file, data, size);
	good = hk_file_end(&file) || cannot(path, &file);
	free(copy);
	return good;
}

bool output_possible(const char *path)
{
	char *copy = text("%s", path);
	struct hk_file file;
	bool good;

	hk_file_begin(&file, copy);
	good = !file.error || cannot(path, &file);
	/* After an error the new file is removed and the old one is kept. */
	file.error = file.error ? file.error : ECANCELED;
	hk_file_end(&file);
	free(copy);
	return good;
}

bool output_made(const char *path, void (*make)(FILE *out, const void *argument), const void *argument)
{
	char *data = NULL;
	size_t size;
	FILE *out = open_memstream(&data, &size);
	bool good;

	if (!out)
		exit(fail(RUN_FAILED, "out of memory"));
	make(out, argument);
	if (fclose(out))
		exit(fail(RUN_FAILED, "out of memory"));
	/* Readers must never see an incomplete file. */
	good = replace(path, data, size);
	free(data);
	return good;
}
