/*
 * In a program without threads, the fork handlers of the library write to none of its
 * variables: each page that they wrote to would cause a page fault in the parent and another one
 * in the child, which may only exec.
 */
#include "child.h"
#include "heap.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>

enum { PAGES = 1 << 13 };
static const uint64_t present = (uint64_t)1 << 63, of_file = (uint64_t)1 << 61, exclusive = (uint64_t)1 << 56;

extern char __libc_single_threaded __attribute__((weak));

static size_t page_size;
static uintptr_t from, to;		/* the variables of the library */
static uint64_t entry[PAGES];
static char other[3 * 65536];

static int find(struct dl_phdr_info *info, size_t size, void *base)
{
	unsigned i;

	(void)size;
	for (i = 0; info->dlpi_addr == *(uintptr_t *)base && i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *part = &info->dlpi_phdr[i];

		if (part->p_type == PT_LOAD && part->p_flags & PF_W) {
			from = (info->dlpi_addr + part->p_vaddr) & -page_size;
			to = info->dlpi_addr + part->p_vaddr + part->p_memsz;
		}
	}
	return 0;
}

/* Pages that this process has for itself; -1: the kernel does not tell. */
static int own_pages(uintptr_t start, uintptr_t end)
{
	size_t count = (end - start + page_size - 1) / page_size, i;
	int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), own = 0;
	ssize_t got = -1;

	if (file >= 0 && count <= PAGES)
		got = pread(file, entry, count * sizeof *entry, (off_t)(start / page_size * sizeof *entry));
	close(file);
	if (got != (ssize_t)(count * sizeof *entry))
		return -1;
	for (i = 0; i < count; i++)
		own += (entry[i] & (present | of_file | exclusive)) == (present | exclusive);
	return own;
}

/* Does the kernel tell that this child shares a page with its parent until it writes there? */
static bool tells(char *page)
{
	int before = own_pages((uintptr_t)page, (uintptr_t)page + 1);

	*page = 2;
	return before == 0 && own_pages((uintptr_t)page, (uintptr_t)page + 1) == 1;
}

static void in_child(void *unused)
{
	(void)unused;
	_exit(own_pages(from, to));
}

static void control(void *page)
{
	_exit(!tells(page));
}

static int result(void (*body)(void *), void *argument)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		body(argument);
	return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

/* The time of the fork is noted for the scavenger and for MEM learning. */
static void start_without_settings(char **argv)
{
	unsigned set = 0;

	while (environ[set] && strncmp(environ[set], "HAKMEM_", 7) != 0)
		set++;
	if (!environ[set] || getenv("FORKPAGES"))
		return;
	setenv("FORKPAGES", "1", 1);
	unsetenv("HAKMEM_PROFILE");
	unsetenv("HAKMEM_SCAVENGER");
	unsetenv("HAKMEM_MEM_LEARN");
	execv("/proc/self/exe", argv);
}

int main(int argc, char **argv)
{
	static const char name[] = "a fork without threads leaves the variables of the library alone";
	char *page;
	void *block;
	Dl_info info;
	uintptr_t base;
	int pages;

	(void)argc;
	start_without_settings(argv);
	tap_start();
	page_size = (size_t)sysconf(_SC_PAGESIZE);
	page = (char *)(((uintptr_t)other + page_size) & -page_size);
	*page = 1;
	block = hide(malloc(100));
	if (!dladdr((void *)(uintptr_t)malloc, &info))
		bail("dladdr does not know malloc");
	base = (uintptr_t)info.dli_fbase;
	dl_iterate_phdr(find, &base);
	if (!&__libc_single_threaded || !from) {
		skip(name, "libc does not tell whether there are threads");
	} else if (result(control, page) != 0) {
		skip(name, "the kernel does not tell which pages a child shares");
	} else {
		result(in_child, NULL);
		pages = result(in_child, NULL);
		ok(pages == 0, name);
		if (pages)
			diag("%d pages", pages);
	}
	free(block);
	return tap_end();
}
