/* As MPI, UCX and sanitizers do, to learn what memory goes. */
#include "wrappers/wrap.h"

#include <sys/mman.h>
#include <sys/types.h>

WRAP(void *, mmap, (void *at, size_t size, int access, int flags, int fd, off_t offset),
     (at, size, access, flags, fd, offset))
WRAP(int, munmap, (void *at, size_t size), (at, size))
WRAP(int, madvise, (void *at, size_t size, int advice), (at, size, advice))
WRAP(int, mprotect, (void *at, size_t size, int access), (at, size, access))
WRAP(int, mincore, (void *at, size_t size, unsigned char *pages), (at, size, pages))

#undef mremap
void *mremap(void *at, size_t size, size_t wanted, int flags, ...)
{
	static void *(*real)(void *, size_t, size_t, int, ...);

	if (!real)
		*(void **)&real = look_up("mremap");
	use_heap();
	return real(at, size, wanted, flags);
}
