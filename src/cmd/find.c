/* Where the statistics page lies in a process. */
#include "cmd/heap.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

struct search {
	struct heap *heap;
	const char *exe;
	bool everywhere;		/* not only in likely files */
	char last[4096];		/* the file seen last: its first mapping counts */
	int error;
	char *other;			/* a page of another version: its words */
};

static bool is_page(const struct hk_stats_page *p)
{
	return !memcmp(p->magic, HK_STATS_PAGE_MAGIC, sizeof p->magic);
}

static bool copy_page(struct search *s, size_t address)
{
	struct hk_stats_page *page = &s->heap->page;
	struct iovec to = { page, sizeof *page }, from = { (void *)address, sizeof *page };
	ssize_t got = process_vm_readv(s->heap->pid, &to, 1, &from, 1, 0);

	if (got < 0 && errno != EFAULT)
		s->error = errno;
	if (got < (ssize_t)offsetof(struct hk_stats_page, size) || !is_page(page))
		return false;
	if (page->word == sizeof(size_t) && page->version == HK_STATS_PAGE_VERSION &&
	    page->size == sizeof *page && page->classes == HK_CLASSES && got == sizeof *page)
		return true;
	free(s->other);
	s->other = text("its library is version %.16s with a statistics page of version %u; this command (%s) "
			"reads version %d: use the command that came with that library",
			page->library, page->version, PACKAGE_VERSION, HK_STATS_PAGE_VERSION);
	return false;
}

static bool likely(const struct search *s, const char *path)
{
	const char *slash = strrchr(path, '/');

	return !strncmp(slash + 1, "libhakmem.so", 12) || !strcmp(path, s->exe);
}

/* In its file, also in another mount namespace. */
static bool by_symbol(struct search *s, const struct mapping *m)
{
	char *path = process_path(s->heap->pid, m->path);
	struct elf *elf = elf_open(path);
	size_t address;
	bool found = false;

	free(path);
	if (!elf)
		return false;
	if (elf_kind(elf) == ELF_NATIVE && elf_symbol(elf, "hakmem_stats_page", &address))
		found = copy_page(s, m->start + address - elf_lowest(elf));
	elf_close(elf);
	return found;
}

static bool first_mapping(const struct mapping *m, void *argument)
{
	struct search *s = argument;
	bool again = !strcmp(s->last, m->path);

	strcpy(s->last, m->path);
	return !again && likely(s, m->path) != s->everywhere && by_symbol(s, m);
}

/* Where the symbol was stripped, or the file was replaced or is out of reach:
 * the page begins with its magic, at a multiple of a word. */
static bool by_magic(const struct mapping *m, void *argument)
{
	enum { PIECE = 1 << 20 };
	static char piece[PIECE];
	struct search *s = argument;
	size_t start, i;

	if (!likely(s, m->path))
		return false;
	for (start = m->start; start < m->end; start += PIECE) {
		size_t size = m->end - start < PIECE ? m->end - start : PIECE;
		struct iovec to = { piece, size }, from = { (void *)start, size };
		ssize_t got = process_vm_readv(s->heap->pid, &to, 1, &from, 1, 0);

		if (got < 0 && errno != EFAULT)
			s->error = errno;
		for (i = 0; got > 0 && i + sizeof s->heap->page.magic <= (size_t)got; i += sizeof(size_t))
			if (!memcmp(piece + i, HK_STATS_PAGE_MAGIC, sizeof s->heap->page.magic) &&
			    copy_page(s, start + i))
				return true;
	}
	return false;
}

static char *command_of(pid_t pid)
{
	char *path = text("/proc/%d/comm", (int)pid), *line = file_line(path), *c;

	free(path);
	for (c = line; c && *c; c++)
		if (!isprint((unsigned char)*c) || *c == '"' || *c == '\\')
			*c = '?';
	return line ? line : text("?");
}

static char *why_not(const struct search *s, pid_t pid, bool looked)
{
	if (s->other)
		return s->other;
	if (s->error == EPERM || !looked)
		return text("process %d may not be looked at: %s", (int)pid, process_advice());
	if (s->error == ESRCH)
		return text("process %d has ended", (int)pid);
	return text("process %d is not on HAKMEM; why not: hakmem check %d", (int)pid, (int)pid);
}

char *heap_find(struct heap *heap, pid_t pid)
{
	char *link = text("/proc/%d/exe", (int)pid), exe[4096], *deleted, *why;
	struct search s = { .heap = heap, .exe = exe };
	ssize_t length = readlink(link, exe, sizeof exe - 1);

	free(link);
	exe[length > 0 ? length : 0] = 0;
	deleted = strstr(exe, " (deleted)");
	if (deleted)
		*deleted = 0;
	*heap = (struct heap){ .pid = pid };
	if (maps_walk(pid, first_mapping, &s) || maps_walk(pid, by_magic, &s)) {
		free(s.other);
		heap->command = command_of(pid);
		return NULL;
	}
	/* An archive may have been linked into any library. */
	*s.last = 0;
	s.everywhere = true;
	if (!s.other && !s.error && maps_walk(pid, first_mapping, &s)) {
		heap->command = command_of(pid);
		return NULL;
	}
	why = why_not(&s, pid, length > 0);
	if (why != s.other)
		free(s.other);
	return why;
}

void heap_forget(struct heap *heap)
{
	free(heap->command);
	heap->command = NULL;
}

struct heap *heap_find_all(unsigned *count)
{
	DIR *proc = opendir("/proc");
	struct heap *list = NULL;
	struct dirent *entry;

	*count = 0;
	while (proc && (entry = readdir(proc))) {
		char *why;

		if (!isdigit((unsigned char)*entry->d_name))
			continue;
		list = grow(list, (*count + 1) * sizeof *list);
		why = heap_find(&list[*count], (pid_t)atoi(entry->d_name));
		free(why);
		*count += !why;
	}
	if (proc)
		closedir(proc);
	return list;
}
