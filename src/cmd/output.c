/* The files that the command writes, in the way of the library. */
#include "cmd/cmd.h"
#include "os/file.h"

bool output_replace(const char *path, const char *data, size_t size)
{
	struct hk_file file;

	hk_file_begin(&file, path);
	hk_file_put(&file, data, size);
	if (hk_file_end(&file))
		return true;
	warn("cannot write %s: %s", path, hk_file_why(&file));
	return false;
}
