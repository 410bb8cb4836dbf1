#include "os/os.h"

#include "os/line.h"
#include "os/lock.h"
#include "os/syscall.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

extern char **environ;

size_t hk_page_size = 4096;
const void *hk_os_random;
static bool secure;
_Atomic size_t hk_os_mapped, hk_os_mapped_peak, hk_os_unmapped;
_Atomic size_t hk_os_limit = SIZE_MAX, hk_os_refused;

void hk_os_start(void)
{
	unsigned long size = getauxval(AT_PAGESZ);

	if (size)
		hk_page_size = size;
	hk_os_clock_start();
	secure = getauxval(AT_SECURE) != 0;
	hk_os_random = (const void *)getauxval(AT_RANDOM);
	hk_os_read_limit();
	hk_os_read_space();
	hk_os_read_huge_mode();
}

bool hk_os_secure(void)
{
	return secure;
}

char **hk_os_environment(void)
{
	return environ;
}

static size_t add_mapped(size_t change)
{
	return change + atomic_fetch_add_explicit(&hk_os_mapped, change, memory_order_acq_rel);
}

static void count_unmapped(size_t size)
{
	atomic_fetch_add_explicit(&hk_os_unmapped, size, memory_order_relaxed);
	add_mapped(-size);
}

void hk_os_count_mapped(size_t size)
{
	hk_raise(&hk_os_mapped_peak, add_mapped(size));
}

/*
 * Memory for the program, before the system call. If there is a limit, the memory is counted
 * here, so that threads cannot exceed the limit together. REFUSED: it would be exceeded.
 */
enum claimed { REFUSED, COUNTED, UNCOUNTED };

static enum claimed claim(size_t size)
{
	size_t mapped = atomic_load_explicit(&hk_os_mapped, memory_order_relaxed);
	size_t limit = atomic_load_explicit(&hk_os_limit, memory_order_relaxed);

	if (limit == SIZE_MAX)
		return UNCOUNTED;
	do {
		if (mapped > limit || size > limit - mapped) {
			atomic_fetch_add_explicit(&hk_os_refused, 1, memory_order_relaxed);
			return REFUSED;
		}
	} while (!atomic_compare_exchange_weak_explicit(&hk_os_mapped, &mapped, mapped + size,
			memory_order_acq_rel, memory_order_relaxed));
	hk_raise(&hk_os_mapped_peak, mapped + size);
	return COUNTED;
}

/* After the system call. Otherwise memory is counted in the order of the system calls: the
 * range may have belonged to another thread before. */
static void settle(enum claimed claimed, bool mapped, size_t size)
{
	if (claimed == UNCOUNTED && mapped)
		hk_os_count_mapped(size);
	else if (claimed == COUNTED && !mapped)
		add_mapped(-size);
}

static bool unmap(void *addr, size_t size)
{
	hk_assert_unlocked();
	return HK_SYS(munmap, addr, size, 0, 0, 0) == 0;
}

/* The lowest address that was mapped so far. */
static _Atomic uintptr_t lowest = UINTPTR_MAX;

/* NULL: the kernel refuses, and *place is 0; or it has room only at *place, which is not
 * aligned. */
static void *map_near(uintptr_t hint, size_t size, size_t align, int access, uintptr_t *place)
{
	void *p = hk_sys_map_near(hint, size, access);

	*place = (uintptr_t)p;
	if (!p || !(*place & (align - 1))) {
		if (p && *place < atomic_load_explicit(&lowest, memory_order_relaxed))
			atomic_store_explicit(&lowest, *place, memory_order_relaxed);
		return p;
	}
	unmap(p, size);
	return NULL;
}

/* Maps a larger range and cuts off the rest. */
static void *map_and_cut(size_t size, size_t align, int access)
{
	size_t before;
	char *p = size + align < size ? NULL : hk_sys_map(size + align - hk_page_size, access);

	if (!p)
		return NULL;
	before = -(uintptr_t)p & (align - 1);
	if (before)
		unmap(p, before);
	p += before;
	if (align - hk_page_size - before)
		unmap(p + size, align - hk_page_size - before);
	return p;
}

/*
 * Most mappings are aligned without further work: the kernel places each one directly below
 * the previous one, so an aligned mapping makes the next one aligned too. Otherwise there is
 * probably room at the next aligned address below. A larger range comes last, because a limit on
 * the address space may refuse it.
 */
static void *map_aligned(uintptr_t hint, size_t size, size_t align, int access)
{
	uintptr_t place;
	void *p;

	hk_assert_unlocked();
	p = map_near(hint, size, align, access, &place);
	if (!p && place)
		p = map_near(place & -align, size, align, access, &place);
	return p || !place ? p : map_and_cut(size, align, access);
}

/*
 * For sizes that are no multiple of the alignment, so that the kernel hardly ever chooses an
 * aligned address. There is probably room below all mappings of the heap.
 */
static void *map_fitted(uintptr_t hint, size_t size, size_t align, int access)
{
	uintptr_t below = (atomic_load_explicit(&lowest, memory_order_relaxed) - size) & -align, place;
	void *p;

	hk_assert_unlocked();
	if (hint) {
		p = map_near(hint, size, align, access, &place);
		if (p || !place)
			return p;
	}
	return map_aligned(below, size, align, access);
}

static void *map_anywhere(uintptr_t hint, size_t size, size_t align, int access)
{
	(void)hint;
	(void)align;
	return hk_sys_map(size, access);
}

static void *claim_and_map(void *(*map)(uintptr_t hint, size_t size, size_t align, int access), uintptr_t hint,
			   size_t size, size_t align)
{
	enum claimed claimed = claim(size);
	void *p;

	if (!claimed)
		return NULL;
	p = map(hint, size, align, PROT_READ | PROT_WRITE);
	settle(claimed, p, size);
	return p;
}

void *hk_os_map_anytime(size_t size)
{
	return claim_and_map(map_anywhere, 0, size, hk_page_size);
}

void hk_os_purge_anytime(void *addr, size_t size)
{
	HK_SYS(madvise, addr, size, MADV_DONTNEED, 0, 0);
}

void *hk_os_scratch(size_t size)
{
	return hk_sys_map(size, PROT_READ | PROT_WRITE);
}

void hk_os_scratch_end(void *p, size_t size)
{
	HK_SYS(munmap, p, size, 0, 0, 0);
}

static HK_NOINLINE void work_on_stack(void (*work)(void *memory, void *argument), void *argument)
{
	_Alignas(max_align_t) char memory[HK_SCRATCH];

	work(memory, argument);
}

void hk_os_with_scratch(void (*work)(void *memory, void *argument), void *argument)
{
	void *memory = hk_os_scratch(HK_SCRATCH);

	if (!memory) {
		work_on_stack(work, argument);
		return;
	}
	work(memory, argument);
	hk_os_scratch_end(memory, HK_SCRATCH);
}

void *hk_os_map(size_t size, size_t align)
{
	hk_os_follow_space(atomic_load_explicit(&hk_os_mapped, memory_order_relaxed));
	return claim_and_map(map_aligned, 0, size, align);
}

void *hk_os_map_fitted(size_t size, size_t align, uintptr_t hint)
{
	return claim_and_map(map_fitted, hint, size, align);
}

/*
 * The kernel places each mapping directly below the previous one, so that none could grow.
 * The upper quarter of the address space below this library is divided into places that are
 * 64 GiB apart, and each call uses the next place.
 */
static void *map_with_room(uintptr_t hint, size_t size, size_t align, int access)
{
	const unsigned ROOM_SHIFT = 36;		/* 64 GiB */
	static _Atomic uintptr_t calls;
	uintptr_t here = (uintptr_t)&hk_os_map >> (ROOM_SHIFT & (sizeof here * 8 - 1));
	uintptr_t places = sizeof here == 8 ? here / 4 : 0;
	void *p;

	if (places) {
		hint = (here - 1 - atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) % places)
		       << (ROOM_SHIFT & (sizeof here * 8 - 1));
		hk_assert_unlocked();
		p = hk_sys_map_near(hint, size, access);
		if (!p || !((uintptr_t)p & (align - 1)))
			return p;
		unmap(p, size);
	}
	return map_aligned(0, size, align, access);
}

void *hk_os_map_with_room(size_t size, size_t align)
{
	return claim_and_map(map_with_room, 0, size, align);
}

void *hk_os_reserve(size_t size, size_t align)
{
	return map_with_room(0, size, align, PROT_NONE);
}

void hk_os_unreserve(void *addr, size_t size)
{
	unmap(addr, size);
}

bool hk_os_open_reserved(void *addr, size_t size)
{
	enum claimed claimed = claim(size);
	bool opened = claimed && hk_os_open_pages(addr, size);

	settle(claimed, opened, size);
	return opened;
}

bool hk_os_close_reserved(void *addr, size_t size, bool *clean)
{
	if (HK_SYS(mprotect, addr, size, PROT_NONE, 0, 0) != 0)
		return false;
	*clean = HK_SYS(madvise, addr, size, MADV_DONTNEED, 0, 0) == 0;
	count_unmapped(size);
	return true;
}

/*
 * Unmaps in pieces, because other threads cannot map memory during a munmap. It starts at the
 * end: shortening a mapping does not split it, so once one piece has been unmapped, the
 * others can be too.
 */
bool hk_os_unmap(void *addr, size_t size)
{
	const size_t piece = (size_t)64 << 20;
	size_t left = size, last;

	do {
		last = (left - 1) / piece * piece;
		if (!unmap((char *)addr + last, left - last))
			break;
		left = last;
	} while (left);
	if (left && left != size)
		HK_SYS(madvise, addr, left, MADV_DONTNEED, 0, 0);
	if (left != size)
		count_unmapped(size);
	return left != size;
}

long hk_os_advise(void *addr, size_t size, int advice)
{
	hk_assert_unlocked();
	return HK_SYS(madvise, addr, size, advice, 0, 0);
}

bool hk_os_purge(void *addr, size_t size)
{
	return hk_os_advise(addr, size, MADV_DONTNEED) == 0;
}

bool hk_os_close_pages(void *addr, size_t size)
{
	hk_assert_unlocked();
	return HK_SYS(mprotect, addr, size, PROT_NONE, 0, 0) == 0;
}

bool hk_os_open_pages(void *addr, size_t size)
{
	hk_assert_unlocked();
	return HK_SYS(mprotect, addr, size, PROT_READ | PROT_WRITE, 0, 0) == 0;
}

bool hk_os_populate(void *addr, size_t size)
{
	return hk_os_advise(addr, size, HK_MADV_POPULATE_WRITE) == 0;
}

int hk_os_resize(void *addr, size_t old_size, size_t new_size)
{
	enum claimed claimed;
	long error, p;

	hk_assert_unlocked();
	/* For the kernel, shrinking by munmap and by mremap is the same. User-mode emulators
	 * of 32-bit programs (qemu-user 7.2) unmap memory behind a mapping that mremap
	 * shrinks. */
	if (new_size < old_size) {
		error = -HK_SYS(munmap, (char *)addr + new_size, old_size - new_size, 0, 0, 0);
		if (!error)
			count_unmapped(old_size - new_size);
		return (int)error;
	}
	claimed = claim(new_size - old_size);
	if (!claimed)
		return EAGAIN;
	p = HK_SYS(mremap, addr, old_size, new_size, 0, 0);
	error = hk_sys_failed(p) ? -p : 0;
	settle(claimed, !error, new_size - old_size);
	return (int)error;
}

/*
 * The kernel unmaps the target first, so after most errors another thread may have mapped memory
 * there. It is unchanged only if the kernel fails because of vm.max_map_count, with the same error
 * as for others. So the target is left alone: a few reserved ranges are lost before the limit
 * refuses the next one.
 */
bool hk_os_move(void *addr, size_t old_size, void *to, size_t new_size)
{
	enum claimed claimed = claim(new_size - old_size);
	long moved;

	hk_assert_unlocked();
	if (!claimed) {
		unmap(to, new_size);
		return false;
	}
	moved = HK_SYS(mremap, addr, old_size, new_size, MREMAP_MAYMOVE | MREMAP_FIXED, to);
	settle(claimed, !hk_sys_failed(moved), new_size - old_size);
	return !hk_sys_failed(moved);
}

long hk_os_process_id(void)
{
	return HK_SYS(getpid, 0, 0, 0, 0, 0);
}

long hk_os_thread_id(void)
{
	return HK_SYS(gettid, 0, 0, 0, 0, 0);
}

/* The only lookup in the dynamic linker that is safe in any context (glibc 2.35). */
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

/* libtool defines PIC for the shared library only. */
bool hk_os_own_code(uintptr_t *start, uintptr_t *end)
{
#ifdef PIC
	struct dl_find_object found;

	if (!_dl_find_object || _dl_find_object((void *)(uintptr_t)hk_os_own_code, &found) != 0 ||
	    !*found.dlfo_link_map->l_name)
		return false;
	*start = (uintptr_t)found.dlfo_map_start;
	*end = (uintptr_t)found.dlfo_map_end;
	return true;
#else
	(void)start;
	(void)end;
	return false;
#endif
}
#else
const char *hk_os_object(const void *code, uintptr_t *offset)
{
	(void)code;
	(void)offset;
	return NULL;
}

bool hk_os_own_code(uintptr_t *start, uintptr_t *end)
{
	(void)start;
	(void)end;
	return false;
}
#endif

/* The name of a file is text from outside; the end of a long one matters more. */
static void put_name(struct hk_line *line, const char *name)
{
	const size_t most = 256, length = strlen(name);

	if (length > most) {
		hk_line_str(line, "...");
		name += length - most;
	}
	hk_line_printable(line, name, most);
}

void hk_line_code(struct hk_line *line, const void *code)
{
	uintptr_t offset = 0;
	const char *object = hk_os_object(code, &offset);

	hk_line_hex(line, (uintptr_t)code);
	if (!object)
		return;
	hk_line_str(line, " (");
	put_name(line, object);
	hk_line_char(line, '+');
	hk_line_hex(line, offset);
	hk_line_char(line, ')');
}

bool hk_os_write(int fd, const void *data, size_t size)
{
	const char *p = data;
	long n;

	while (size) {
		n = HK_SYS(write, fd, p, size, 0, 0);
		if (n == -EINTR)
			continue;
		if (n <= 0)
			return false;
		p += n;
		size -= (size_t)n;
	}
	return true;
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
