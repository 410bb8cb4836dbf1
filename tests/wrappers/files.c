/* As sandboxes and libraries that fake a file system do. */
#include "wrappers/wrap.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/types.h>
#include <unistd.h>

WRAP(ssize_t, read, (int fd, void *data, size_t size), (fd, data, size))
WRAP(ssize_t, pread, (int fd, void *data, size_t size, off_t at), (fd, data, size, at))
WRAP(ssize_t, write, (int fd, const void *data, size_t size), (fd, data, size))
WRAP(int, close, (int fd), (fd))
WRAP(int, poll, (struct pollfd *fds, nfds_t count, int patience), (fds, count, patience))
WRAP(ssize_t, readlink, (const char *path, char *data, size_t size), (path, data, size))
WRAP(int, access, (const char *path, int mode), (path, mode))

static unsigned mode_of(int flags, va_list list)
{
	return flags & (O_CREAT | O_TMPFILE) ? va_arg(list, unsigned) : 0;
}

int open(const char *path, int flags, ...)
{
	static int (*real)(const char *, int, ...);
	unsigned mode;
	va_list list;

	va_start(list, flags);
	mode = mode_of(flags, list);
	va_end(list);
	if (!real)
		*(void **)&real = look_up("open");
	use_heap();
	return real(path, flags, mode);
}

int openat(int folder, const char *path, int flags, ...)
{
	static int (*real)(int, const char *, int, ...);
	unsigned mode;
	va_list list;

	va_start(list, flags);
	mode = mode_of(flags, list);
	va_end(list);
	if (!real)
		*(void **)&real = look_up("openat");
	use_heap();
	return real(folder, path, flags, mode);
}
