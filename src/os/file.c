#include "os/file.h"

#include "os/kernel.h"
#include "os/line.h"
#include "os/syscall.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	TRIES = 16,		/* attempts to find a new name */
	PIECE = 4096,		/* writes of this size to a pipe are atomic */
};

_Static_assert(sizeof(struct hk_file_status) == 256, "the kernel fills so much");

static bool about(int fd, struct hk_file_status *status)
{
	return HK_SYS(statx, fd, "", AT_EMPTY_PATH, HK_STATX_BASIC, status) == 0;
}

static int close_one(long fd)
{
	if (fd >= 0)
		HK_SYS(close, fd, 0, 0, 0, 0);
	return -1;
}

/* Standard input, output or error may be closed; the new descriptor must not become one. */
static long open_at(int folder, const char *name, int flags)
{
	long fd = HK_SYS(openat, folder, name, flags | O_CLOEXEC, 0600, 0), higher;

	if (fd < 0 || fd > STDERR_FILENO)
		return fd;
	higher = HK_SYS(fcntl, fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1, 0, 0);
	close_one(fd);
	return higher;
}

/* Uses the program's open descriptor itself. Opening it again by name would write a file from
 * its start, and would fail for a socket. */
static int descriptor_named(const char *path)
{
	static const char *const folders[] = { "/dev/fd/", "/proc/self/fd/" };
	unsigned i, fd;

	if (!strcmp(path, "/dev/stdout"))
		return STDOUT_FILENO;
	if (!strcmp(path, "/dev/stderr"))
		return STDERR_FILENO;
	for (i = 0; i < sizeof folders / sizeof *folders; i++) {
		size_t length = strlen(folders[i]);
		const char *digit = path + length;

		if (strncmp(path, folders[i], length) != 0 || !*digit)
			continue;
		for (fd = 0; *digit >= '0' && *digit <= '9' && fd < INT_MAX / 10 - 1; digit++)
			fd = fd * 10 + (unsigned)(*digit - '0');
		if (!*digit)
			return (int)fd;
	}
	return -1;
}

/* Opens the directory of the path. */
static long enter(struct hk_file *file, char *path)
{
	char *slash = strrchr(path, '/');
	const char *name = !slash ? "." : slash == path ? "/" : path;
	long folder;

	file->last = slash ? slash + 1 : path;
	if (slash && slash != path)
		*slash = 0;
	folder = open_at(AT_FDCWD, name, O_PATH | O_DIRECTORY);
	if (slash)
		*slash = '/';
	file->folder = folder < 0 ? -1 : (int)folder;
	return folder;
}

/* Does it belong to the user, or to root? */
static bool is_ours(const struct hk_file_status *status)
{
	return status->user == 0 || status->user == (uint32_t)HK_SYS_GETEUID();
}

static bool all_may_write(int folder)
{
	struct hk_file_status status;

	return !about(folder, &status) || status.mode & S_IWOTH;
}

/* Opens the existing file for writing, to find out what it is and whether that is allowed. */
static long find(struct hk_file *file, char *path)
{
	int fd = descriptor_named(path);
	long folder;

	if (fd >= 0)
		return HK_SYS(fcntl, fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1, 0, 0);
	folder = enter(file, path);
	if (folder < 0)
		return folder;
	return open_at(file->folder, file->last, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
}

/* The new name contains a random number, so that it cannot be predicted. */
static void name_beside(struct hk_file *file)
{
	struct hk_line line = { .length = 0 };
	uint64_t number = (uintptr_t)file;

	HK_SYS(getrandom, &number, sizeof number, HK_RANDOM_NONBLOCK, 0, 0);
	hk_line_str(&line, ".hakmem-");
	hk_line_hex(&line, number);
	memcpy(file->beside, line.text, line.length);
	file->beside[line.length] = 0;
}

static long create(struct hk_file *file)
{
	long fd = -EEXIST;
	int i;

	for (i = 0; i < TRIES && fd == -EEXIST; i++) {
		name_beside(file);
		fd = open_at(file->folder, file->beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW);
	}
	file->beside_failed = fd < 0;
	return fd;
}

/* Gives the new file the mode of the old one, if both belong to the same user. */
static void same_mode(int fd, const struct hk_file_status *old)
{
	struct hk_file_status new;
	uint32_t mode = old->mode & 0777;

	if (!about(fd, &new) || new.user != old->user)
		return;
	if (new.group != old->group &&
	    HK_SYS(fchownat, fd, "", -1, old->group, AT_EMPTY_PATH) != 0)
		mode &= ~070u;
	HK_SYS(fchmod, fd, mode, 0, 0, 0);
}

/* Starts to replace an existing file, which is open as fd. */
static long begin_over(struct hk_file *file, int fd)
{
	struct hk_file_status old;
	long result = -EINVAL;

	if (!about(fd, &old)) {
		result = -EIO;
	} else if (file->folder < 0 || S_ISFIFO(old.mode) || S_ISCHR(old.mode)) {
		file->direct = true;
		if (file->folder < 0 || is_ours(&old) || !all_may_write(file->folder))
			return fd;
		result = -EPERM;
	} else if (S_ISREG(old.mode)) {
		result = create(file);
		if (result >= 0)
			same_mode((int)result, &old);
	}
	close_one(fd);
	return result;
}

static void fail(struct hk_file *file, long result)
{
	if (result < 0 && !file->error)
		file->error = (int)-result;
}

void hk_file_begin(struct hk_file *file, char *path)
{
	long fd;

	file->fd = file->folder = -1;
	file->direct = file->beside_failed = false;
	file->error = 0;
	hk_os_quiet(&file->quiet);
	fd = find(file, path);
	if (fd >= 0)
		fd = begin_over(file, (int)fd);
	else if (fd == -ENOENT && file->folder >= 0)
		fd = create(file);
	fail(file, fd);
	if (fd >= 0)
		file->fd = (int)fd;
}

void hk_file_put(struct hk_file *file, const char *text, size_t length)
{
	long n;

	while (length && !file->error) {
		n = file->direct ? hk_os_write_soon(file->fd, text, length < PIECE ? length : PIECE)
				 : HK_SYS(write, file->fd, text, length, 0, 0);
		if (n == -EINTR)
			continue;
		fail(file, n == 0 ? -EAGAIN : n);
		if (n <= 0)
			break;
		text += n;
		length -= (size_t)n;
	}
}

void hk_file_put_line(struct hk_file *file, struct hk_line *line)
{
	hk_file_put(file, line->text, line->length);
	line->length = 0;
}

void hk_file_copy(struct hk_file *file, const char *from)
{
	char text[512];		/* the stack may be small */
	long fd = file->error ? -1 : open_at(AT_FDCWD, from, O_RDONLY), n;

	if (fd < 0)
		return;
	while ((n = HK_SYS(read, fd, text, sizeof text, 0, 0)) > 0)
		hk_file_put(file, text, (size_t)n);
	close_one(fd);
}

/* The new file must be on the disk before it replaces the old one. Some file systems have no
 * fsync. */
static void replace(struct hk_file *file)
{
	long result = HK_SYS(fsync, file->fd, 0, 0, 0, 0);

	if (result != -EINVAL)
		fail(file, result);
	if (!file->error) {
		result = HK_SYS(renameat2, file->folder, file->beside, file->folder, file->last, 0);
		file->beside_failed = result < 0;
		fail(file, result);
	}
}

bool hk_file_end(struct hk_file *file)
{
	bool beside = file->fd >= 0 && !file->direct;

	if (beside && !file->error)
		replace(file);
	if (beside && file->error)
		HK_SYS(unlinkat, file->folder, file->beside, 0, 0, 0);
	file->fd = close_one(file->fd);
	file->folder = close_one(file->folder);
	hk_os_loud(&file->quiet, -file->error);
	return !file->error;
}

const char *hk_file_why(const struct hk_file *file)
{
	static const struct {
		int error;
		const char *why;
	} known[] = {
		{ ENOENT, "there is no such directory" },
		{ ENOTDIR, "a part of the path is no directory" },
		{ EISDIR, "that is a directory" },
		{ EACCES, "permission denied" },
		{ EPERM, "permission denied" },
		{ EROFS, "the file system is read-only" },
		{ ENOSPC, "no space left" },
		{ EDQUOT, "over the quota" },
		{ EFBIG, "over the limit of the size of a file" },
		{ EMFILE, "too many open files" },
		{ ENFILE, "too many open files" },
		{ ELOOP, "a symbolic link is not followed" },
		{ ENAMETOOLONG, "the path is too long" },
		{ ENXIO, "it has no reader" },
		{ EPIPE, "it has no reader" },
		{ EAGAIN, "its reader does not read" },
		{ EBADF, "it is not open for writing" },
		{ EINVAL, "neither a file nor a FIFO nor a character device" },
		{ EIO, "input or output error" },
	};
	unsigned i;

	/* The cause of these errors may be the directory or the file; the message says which
	 * one. */
	if (file->beside_failed && (file->error == EACCES || file->error == EPERM || file->error == EBUSY))
		return "the directory does not let a new file take its place";
	for (i = 0; i < sizeof known / sizeof *known; i++)
		if (known[i].error == file->error)
			return known[i].why;
	return "the kernel refused";
}
