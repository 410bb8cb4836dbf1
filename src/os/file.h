/*
 * A file that replaces an older one once it is complete. It is written as .hakmem-0x... in
 * the same directory and then renamed. FIFOs, character devices, and descriptors such as
 * /dev/stderr are written to directly; a write waits at most a second for a slow reader.
 *
 * If the path is a symbolic link, the link is neither followed nor replaced.
 *
 * From begin to end signals are blocked in the thread, and a SIGXFSZ or SIGPIPE that a write
 * raises is discarded. No lock is held, because any of this may take long.
 */
#ifndef HK_OS_FILE_H
#define HK_OS_FILE_H

#include "os/os.h"

struct hk_file {
	int fd, folder;			/* or -1 */
	bool direct;			/* written to directly, not replaced */
	int error;			/* errno of the first error; 0: none so far */
	bool beside_failed;		/* the error concerned the new file */
	struct hk_quiet quiet;
	char beside[32];
	const char *last;		/* the name in the directory: the end of the path */
};

/* The caller owns the path, and must not change it until the end. */
void hk_file_begin(struct hk_file *file, char *path);
/* Does nothing after an error. */
void hk_file_put(struct hk_file *file, const char *text, size_t length);
/* Appends a line, which is empty afterwards. */
struct hk_line;
void hk_file_put_line(struct hk_file *file, struct hk_line *line);
/* Appends the contents of another file; nothing if that cannot be read. */
void hk_file_copy(struct hk_file *file, const char *from);
/* True: the file is complete. False: nothing has changed. */
bool hk_file_end(struct hk_file *file);
/* The reason, for a message such as "cannot write it: REASON". */
const char *hk_file_why(const struct hk_file *file);

#endif
