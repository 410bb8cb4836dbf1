/* Finds the statistics page of a process. */
#include "cmd/heap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { MOST_SCANNED = 256 << 20 };

struct search {
	pid_t pid;
	struct hk_stats_page *page;
	const char *exe;
	bool everywhere;		/* searches all files, not only likely ones */
	char last[4096];		/* the previous file: only its first mapping is examined */
	int error;
	size_t scanned;
	struct heap_reply *reply;
	bool other;			/* found a page of another version; see reply */
};

/* A page of any version. The magic alone is not enough: this command contains it too. */
static bool is_page(const struct hk_stats_page *p)
{
	return !memcmp(p->magic, HK_STATS_PAGE_MAGIC, sizeof p->magic) && p->version && p->version < 1000 &&
	       (p->word == 4 || p->word == 8);
}

static bool copy_page(struct search *s, size_t address)
{
	struct hk_stats_page *page = s->page;
	struct iovec to = { page, sizeof *page }, from = { (void *)address, sizeof *page };
	ssize_t got = process_vm_readv(s->pid, &to, 1, &from, 1, 0);

	if (got < 0 && errno != EFAULT)
		s->error = errno;
	if (got < (ssize_t)offsetof(struct hk_stats_page, size) || !is_page(page))
		return false;
	if (page->word == sizeof(size_t) && page->version == HK_STATS_PAGE_VERSION &&
	    page->size == sizeof *page && page->classes == HK_CLASSES && got == sizeof *page)
		return true;
	s->other = true;
	snprintf(s->reply->why, sizeof s->reply->why, "its library is version %.16s with a statistics page of version "
		 "%u; this command (%s) reads version %d: use the command that came with that library",
		 page->library, page->version, PACKAGE_VERSION, HK_STATS_PAGE_VERSION);
	return false;
}

static bool likely(const struct search *s, const char *path)
{
	const char *slash = strrchr(path, '/');

	return !strncmp(slash + 1, "libhakmem.so", 12) || !strcmp(path, s->exe);
}

static bool by_symbol(struct search *s, const struct mapping *m)
{
	struct elf *elf = elf_read(mapping_file(s->pid, m));
	size_t address;
	bool found = false;

	if (!elf)
		return false;
	if (elf_kind_of(elf) == ELF_NATIVE && elf_symbol(elf, "hakmem_stats_page", &address))
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

/* For files that were stripped, replaced or cannot be opened: the page begins with its magic,
 * at an address that is a multiple of the word size. */
static bool by_magic(const struct mapping *m, void *argument)
{
	enum { PIECE = 1 << 20 };
	static char piece[PIECE];
	struct search *s = argument;
	size_t start, i;

	if (!likely(s, m->path))
		return false;
	for (start = m->start; start < m->end && s->scanned < MOST_SCANNED; start += PIECE, s->scanned += PIECE) {
		size_t size = m->end - start < PIECE ? m->end - start : PIECE;
		struct iovec to = { piece, size }, from = { (void *)start, size };
		ssize_t got = process_vm_readv(s->pid, &to, 1, &from, 1, 0);

		if (got < 0 && errno != EFAULT)
			s->error = errno;
		for (i = 0; got > 0 && i + sizeof s->page->magic <= (size_t)got; i += sizeof(size_t))
			if (!memcmp(piece + i, HK_STATS_PAGE_MAGIC, sizeof s->page->magic) &&
			    copy_page(s, start + i))
				return true;
	}
	return false;
}

static bool is_hidden(int error)
{
	return error == EPERM || error == EACCES;
}

static void say_why_not(const struct search *s, bool looked)
{
	struct heap_reply *r = s->reply;
	int pid = (int)s->pid;

	r->state = s->other ? HEAP_FAULT : is_hidden(s->error) || !looked ? HEAP_HIDDEN : HEAP_NONE;
	if (s->other)
		return;
	if (r->state == HEAP_HIDDEN)
		snprintf(r->why, sizeof r->why, "process %d may not be looked at: %s", pid, process_advice());
	else if (s->error == ESRCH)
		snprintf(r->why, sizeof r->why, "process %d has ended", pid);
	else
		snprintf(r->why, sizeof r->why, "process %d is not on HAKMEM; why not: hakmem check %d", pid, pid);
}

bool heap_find(pid_t pid, struct hk_stats_page *page, struct heap_reply *reply)
{
	char *link = text("/proc/%d/exe", (int)pid), exe[4096];
	struct search s = { .pid = pid, .page = page, .exe = exe, .reply = reply };
	ssize_t length = readlink(link, exe, sizeof exe - 1);
	bool looked = length > 0 || !is_hidden(errno);

	free(link);
	exe[length > 0 ? length : 0] = 0;
	path_there(exe);
	if (maps_walk(pid, first_mapping, &s) || maps_walk(pid, by_magic, &s))
		return true;
	/* The archive may have been linked into any library. */
	*s.last = 0;
	s.everywhere = true;
	if (!s.other && !s.error && maps_walk(pid, first_mapping, &s))
		return true;
	say_why_not(&s, looked);
	return false;
}
