/* A file of settings, which is untrusted input: read once, up to a maximum size. */
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MOST = 1 << 20 };

/* Reads the file, or the first MOST bytes of it. The byte after the data remains unused. */
static ssize_t read_all(int fd, char **to)
{
	size_t size = 0, room = 1 << 12;
	ssize_t n;

	do {
		if (!*to || size + 1 == room)
			*to = grow(*to, room *= 2);
		n = read(fd, *to + size, room - 1 - size);
		size += n > 0 ? (size_t)n : 0;
	} while ((n > 0 && size <= MOST) || (n < 0 && errno == EINTR));
	return n < 0 ? n : (ssize_t)size;
}

bool envfile_open(struct envfile *file, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	char *data = NULL;
	ssize_t size = fd < 0 ? -1 : read_all(fd, &data);
	bool binary = size > 0 && memchr(data, 0, (size_t)size);

	if (size < 0)
		warn("cannot read %s: %s", path, strerror(errno));
	else if (size > MOST)
		warn("cannot read %s: longer than %d bytes", path, MOST);
	else if (binary)
		warn("cannot read %s: it is a binary file", path);
	if (fd >= 0)
		close(fd);
	envfile_use(file, data, size < 0 ? 0 : (size_t)size);
	if (size >= 0 && size <= MOST && !binary)
		return true;
	envfile_close(file);
	return false;
}

void envfile_use(struct envfile *file, char *data, size_t size)
{
	*file = (struct envfile){ .data = data, .next = data, .left = size, .ended = true };
}

void envfile_close(struct envfile *file)
{
	free(file->data);
	memset(file, 0, sizeof *file);
}

char *envfile_line(struct envfile *file, size_t *length)
{
	char *line = file->next, *end;

	if (!file->left)
		return NULL;
	end = memchr(line, '\n', file->left);
	file->ended = end;
	*length = end ? (size_t)(end - line) : file->left;
	line[*length] = 0;
	file->left -= *length + (end ? 1 : 0);
	file->next = line + *length + 1;
	file->number++;
	return line;
}

const char *envfile_refuses(const char *line)
{
	if (!strchr(line, '='))
		return "neither a comment nor NAME=value";
	if (!strncmp(line, "LD_PRELOAD=", 11))
		return strcmp(line + 11, SONAME) ? "it may name " SONAME " alone" : NULL;
	if (strncmp(line, "HAKMEM_", 7) != 0 || !strncmp(line, "HAKMEM_TEST_", 12))
		return "no setting of HAKMEM";
	return NULL;
}
