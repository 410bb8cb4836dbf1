/* Writes files in the same way as the library. */
#include "cmd/cmd.h"
#include "os/file.h"

#include <stdlib.h>

bool output_replace(const char *path, const char *data, size_t size)
{
	char *copy = text("%s", path);
	struct hk_file file;
	bool good;

	hk_file_begin(&file, copy);
	hk_file_put(&file, data, size);
	good = hk_file_end(&file);
	if (!good)
		warn("cannot write %s: %s", path, hk_file_why(&file));
	free(copy);
	return good;
}
