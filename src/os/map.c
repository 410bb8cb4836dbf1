#include "os/os.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "os/line.h"

extern char **environ;

size_t hk_page_size = 4096;
_Atomic size_t hk_os_mapped, hk_os_mapped_peak;

void hk_os_start(void)
{
	unsigned long size = getauxval(AT_PAGESZ);

	if (size)
		hk_page_size = size;
	hk_os_read_limit();
	hk_os_read_huge_mode();
}

bool hk_os_secure(void)
{
	return getauxval(AT_SECURE) != 0;
}

char **hk_os_environment(void)
{
	return environ;
}

/* The new size of a mapping, 0 for one that is gone. */
static void account(size_t old_size, size_t new_size)
{
	size_t change = new_size - old_size;

	hk_raise(&hk_os_mapped_peak, change + atomic_fetch_add_explicit(&hk_os_mapped, change,
									memory_order_relaxed));
}

static void *map_anywhere(size_t size, int access)
{
	void *p = mmap(NULL, size, access, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

/*
 * Most requests are aligned by luck: the kernel hands out ranges downwards
 * next to each other, so one aligned mapping makes the next one aligned too.
 * Only otherwise is more mapped and the surplus cut off.
 */
static void *map_aligned(size_t size, size_t align, int access)
{
	char *p = map_anywhere(size, access);
	size_t before;

	if (p && ((uintptr_t)p & (align - 1))) {
		munmap(p, size);
		if (size + align < size)
			p = NULL;
		else
			p = map_anywhere(size + align - hk_page_size, access);
		if (p) {
			before = -(uintptr_t)p & (align - 1);
			if (before)
				munmap(p, before);
			p += before;
			if (align - hk_page_size - before)
				munmap(p + size, align - hk_page_size - before);
		}
	}
	return p;
}

void *hk_os_map(size_t size, size_t align)
{
	int saved = errno;
	void *p = map_aligned(size, align, PROT_READ | PROT_WRITE);

	if (p)
		account(0, size);
	errno = saved;
	return p;
}

void *hk_os_reserve(size_t size, size_t align)
{
	int saved = errno;
	void *p = map_aligned(size, align, PROT_NONE);

	errno = saved;
	return p;
}

void hk_os_unreserve(void *addr, size_t size)
{
	int saved = errno;

	munmap(addr, size);
	errno = saved;
}

bool hk_os_unmap(void *addr, size_t size)
{
	int saved = errno;
	bool done = munmap(addr, size) == 0;

	if (done)
		account(size, 0);
	errno = saved;
	return done;
}

bool hk_os_purge(void *addr, size_t size)
{
	int saved = errno;
	bool done = madvise(addr, size, MADV_DONTNEED) == 0;

	errno = saved;
	return done;
}

void hk_os_populate(void *addr, size_t size)
{
	int saved = errno;
	volatile char *p = addr;
	size_t i;

#ifdef MADV_POPULATE_WRITE
	if (madvise(addr, size, MADV_POPULATE_WRITE) == 0) {
		errno = saved;
		return;
	}
#endif
	for (i = 0; i < size; i += hk_page_size)
		p[i] = 0;
	errno = saved;
}

int hk_os_resize(void *addr, size_t old_size, size_t new_size)
{
	int saved = errno, error = 0;

	/* To the kernel both are munmap. Emulators of 32-bit programs (qemu-user
	 * 7.2) answer a shrinking mremap by taking what lies behind the mapping. */
	if (new_size < old_size) {
		if (munmap((char *)addr + new_size, old_size - new_size))
			error = errno;
	} else if (mremap(addr, old_size, new_size, 0) == MAP_FAILED)
		error = errno;
	if (!error)
		account(old_size, new_size);
	errno = saved;
	return error;
}

bool hk_os_move(void *addr, size_t old_size, void *to, size_t new_size)
{
	int saved = errno;
	bool done = mremap(addr, old_size, new_size, MREMAP_MAYMOVE | MREMAP_FIXED, to) !=
		    MAP_FAILED;

	/* vm.max_map_count leaves the target as it was. After other errors it
	 * may be unmapped already, and another thread's by now. */
	if (!done && errno == ENOMEM)
		munmap(to, new_size);
	if (done)
		account(old_size, new_size);
	errno = saved;
	return done;
}

static struct timespec read_clock(clockid_t clock)
{
	struct timespec t;
	int saved = errno;

	if (clock_gettime(clock, &t) != 0)
		t = (struct timespec){ 0 };
	errno = saved;
	return t;
}

uint64_t hk_os_now(void)
{
	struct timespec t = read_clock(CLOCK_MONOTONIC_COARSE);

	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

uint64_t hk_os_clock(void)
{
	struct timespec t = read_clock(CLOCK_MONOTONIC);

	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

long hk_os_process_id(void)
{
	return getpid();
}

long hk_os_thread_id(void)
{
	return syscall(SYS_gettid);
}

/* The one look-up in the dynamic linker that is safe anywhere (glibc 2.35). */
#ifdef DLFO_STRUCT_HAS_EH_DBASE
extern __typeof__(_dl_find_object) _dl_find_object __attribute__((weak));

const char *hk_os_object(const void *code, uintptr_t *offset)
{
	struct dl_find_object found;

	if (!_dl_find_object || _dl_find_object((void *)(uintptr_t)code, &found) != 0)
		return NULL;
	*offset = (uintptr_t)code - found.dlfo_link_map->l_addr;
	return *found.dlfo_link_map->l_name ? found.dlfo_link_map->l_name
					    : program_invocation_name;
}
#else
const char *hk_os_object(const void *code, uintptr_t *offset)
{
	(void)code;
	(void)offset;
	return NULL;
}
#endif

bool hk_os_write(int fd, const void *data, size_t size)
{
	const char *p = data;
	int saved = errno;
	ssize_t n = 0;

	while (size && n >= 0) {
		n = write(fd, p, size);
		if (n < 0 && errno == EINTR)
			n = 0;
		if (n > 0) {
			p += n;
			size -= (size_t)n;
		}
	}
	errno = saved;
	return size == 0;
}

int hk_os_create(const char *path)
{
	int saved = errno;
	int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
	int fd = open(path, flags, 0644);

	errno = saved;
	return fd;
}

void hk_os_close(int fd)
{
	int saved = errno;

	close(fd);
	errno = saved;
}

_Noreturn void hk_assert_failed(const char *what, const char *file, int line)
{
	struct hk_line l;

	hk_line_start(&l);
	hk_line_str(&l, "invariant broken: ");
	hk_line_str(&l, what);
	hk_line_str(&l, " at ");
	hk_line_str(&l, file);
	hk_line_char(&l, ':');
	hk_line_dec(&l, (uintmax_t)line);
	hk_line_abort(&l);
}
