/*
 * A file that takes the place of an older one once it is whole; written as
 * .hakmem-0x... beside it. A FIFO or a character device, and what /dev/stderr and
 * the like name, is written to as it comes, with a second's patience for a reader
 * that is slow.
 *
 * A symbolic link in its place is not followed, nor replaced.
 *
 * From begin to end the thread takes no signal, and SIGXFSZ or SIGPIPE of ours is
 * taken away. No lock is held: any of this may take long.
 */
#ifndef HK_OS_FILE_H
#define HK_OS_FILE_H

#include "os/os.h"

struct hk_file {
	int fd, folder;			/* or -1 */
	bool direct;			/* as it comes */
	int error;			/* of the kernel, the first; 0: good so far */
	bool beside_failed;		/* it was about the new file */
	struct hk_quiet quiet;
	char beside[32];
	const char *last;		/* the name in the folder: the end of the path */
};

/* The path stays the caller's, who leaves it alone until the end. */
void hk_file_begin(struct hk_file *file, char *path);
/* What follows a failure is dropped. */
void hk_file_put(struct hk_file *file, const char *text, size_t length);
/* True: it is there as a whole. Else nothing has changed. */
bool hk_file_end(struct hk_file *file);
/* Why not, as in "cannot write it: " and this. */
const char *hk_file_why(const struct hk_file *file);

#endif
