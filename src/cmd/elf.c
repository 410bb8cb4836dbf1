/*
 * What the command needs from an ELF file: its kind, its interpreter, a note, one symbol.
 *
 * This is a separate parser instead of libelf, because only three tables are needed.
 * libelf maps the file, whose owner may truncate it meanwhile, and limits neither counts
 * nor memory. Here pread copies everything into buffers of known sizes, and counts in the
 * file that exceed these are not used.
 */
#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
	MOST_SEGMENTS = 128,
	MOST_SECTIONS = 4096,
	MOST_TABLE = 64 << 20,		/* bytes of symbols, and of their names */
	MOST_NAMES = 1024,		/* strings that end in the wanted one */
	MOST_NOTES = 4096,		/* bytes of a segment of notes */
	PIECE = 2048 * sizeof(ElfW(Sym)),
};

struct symbols {
	size_t offset, size, names, names_size;
};

struct elf {
	int fd;
	enum elf_kind kind;
	bool go;
	struct stat file;
	size_t lowest;
	char *interpreter;
	struct symbols symbols[2];
};

#if UINTPTR_MAX == UINT32_MAX
#define NATIVE_CLASS ELFCLASS32
#else
#define NATIVE_CLASS ELFCLASS64
#endif
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE_DATA ELFDATA2LSB
#else
#define NATIVE_DATA ELFDATA2MSB
#endif

/* Reads up to size bytes; returns how many there were. */
static size_t copy(int fd, void *to, size_t size, size_t offset)
{
	ssize_t got = offset <= INT64_MAX ? pread(fd, to, size, (off_t)offset) : -1;

	return got > 0 ? (size_t)got : 0;
}

static void *copy_table(int fd, size_t offset, size_t count, size_t size)
{
	void *table = grow(NULL, count * size + 1);

	if (copy(fd, table, count * size, offset) == count * size)
		return table;
	free(table);
	return NULL;
}

/* Is this header that of a native ELF file? It is compared with the header of this program. */
static bool native(const ElfW(Ehdr) *head)
{
	static ElfW(Ehdr) own;
	int fd;

	if (!own.e_machine) {
		fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		if (fd < 0 || copy(fd, &own, sizeof own, 0) != sizeof own)
			own = *head;
		if (fd >= 0)
			close(fd);
	}
	return head->e_ident[EI_CLASS] == NATIVE_CLASS && head->e_ident[EI_DATA] == NATIVE_DATA &&
	       head->e_machine == own.e_machine;
}

/* Go's linker writes a note with the build ID, which remains in a stripped program. */
static bool has_go_note(int fd, const ElfW(Phdr) *p)
{
	enum { GO_BUILD_ID = 4 };
	char notes[MOST_NOTES];
	size_t size = copy(fd, notes, p->p_filesz < sizeof notes ? p->p_filesz : sizeof notes, p->p_offset), at = 0;
	ElfW(Nhdr) note;

	while (at + sizeof note + 4 <= size) {
		memcpy(&note, notes + at, sizeof note);
		at += sizeof note;
		if (note.n_type == GO_BUILD_ID && note.n_namesz == 4 && !memcmp(notes + at, "Go\0", 4))
			return true;
		if (note.n_namesz > size || note.n_descsz > size)
			return false;
		at += ((note.n_namesz + 3) & ~3u) + ((note.n_descsz + 3) & ~3u);
	}
	return false;
}

static void read_segments(struct elf *elf, const ElfW(Ehdr) *head)
{
	size_t count = head->e_phnum < MOST_SEGMENTS ? head->e_phnum : MOST_SEGMENTS, i;
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	ElfW(Phdr) *p = head->e_phentsize == sizeof *p ? copy_table(elf->fd, head->e_phoff, count, sizeof *p) : NULL;
	char path[PATH_MAX];

	for (i = 0; p && i < count; i++) {
		if (p[i].p_type == PT_LOAD && p[i].p_vaddr < elf->lowest)
			elf->lowest = p[i].p_vaddr;
		if (p[i].p_type == PT_INTERP && !elf->interpreter &&
		    memchr(path, 0, copy(elf->fd, path, sizeof path, p[i].p_offset)))
			elf->interpreter = text("%s", path);
		elf->go |= p[i].p_type == PT_NOTE && has_go_note(elf->fd, &p[i]);
	}
	elf->lowest &= -page;
	free(p);
}

/* Uses the first section of each kind: a file has at most one. */
static void read_sections(struct elf *elf, const ElfW(Ehdr) *head)
{
	static const unsigned kinds[] = { SHT_DYNSYM, SHT_SYMTAB };
	size_t count = head->e_shnum < MOST_SECTIONS ? head->e_shnum : MOST_SECTIONS, i, kind;
	ElfW(Shdr) *s = head->e_shentsize == sizeof *s ? copy_table(elf->fd, head->e_shoff, count, sizeof *s) : NULL;

	for (kind = 0; s && kind < 2; kind++) {
		for (i = 0; i < count && s[i].sh_type != kinds[kind]; i++)
			;
		if (i == count || s[i].sh_link >= count)
			continue;
		elf->symbols[kind] = (struct symbols){ s[i].sh_offset, s[i].sh_size,
			s[s[i].sh_link].sh_offset, s[s[i].sh_link].sh_size };
	}
	free(s);
}

struct elf *elf_read(int fd)
{
	struct elf *elf = grow(NULL, sizeof *elf);
	ElfW(Ehdr) head;
	struct stat s;
	size_t got;

	if (fd < 0 || fstat(fd, &s) < 0) {
		free(elf);
		return NULL;
	}
	*elf = (struct elf){ .fd = fd, .kind = ELF_NONE, .file = s, .lowest = SIZE_MAX };
	got = copy(fd, &head, sizeof head, 0);
	if (got < EI_NIDENT || memcmp(&head, ELFMAG, SELFMAG) != 0)
		return elf;
	elf->kind = ELF_OTHER;
	if (got == sizeof head && native(&head)) {
		elf->kind = ELF_NATIVE;
		read_segments(elf, &head);
		read_sections(elf, &head);
	}
	return elf;
}

struct elf *elf_open(const char *path)
{
	return elf_read(regular_file(open(path, O_PATH | O_CLOEXEC)));
}

void elf_close(struct elf *elf)
{
	close(elf->fd);
	free(elf->interpreter);
	free(elf);
}

enum elf_kind elf_kind_of(const struct elf *elf)
{
	return elf->kind;
}

bool elf_is_go(const struct elf *elf)
{
	return elf->go;
}

/* Decides as the kernel does for AT_SECURE; see capabilities(7) and getauxval(3). */
bool elf_secure(const struct elf *elf)
{
	const struct stat *s = &elf->file;
	struct statvfs mount;

	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 || (fstatvfs(elf->fd, &mount) == 0 && mount.f_flag & ST_NOSUID))
		return false;
	if (s->st_mode & S_ISUID && s->st_uid != getuid())
		return true;
	if (s->st_mode & S_ISGID && s->st_mode & S_IXGRP && s->st_gid != getgid())
		return true;
	return getuid() != 0 && fgetxattr(elf->fd, "security.capability", NULL, 0) > 0;
}

const char *elf_interpreter(const struct elf *elf)
{
	return elf->interpreter;
}

size_t elf_lowest(const struct elf *elf)
{
	return elf->lowest;
}

/* Finds the offsets where the name of the symbol may begin, in ascending order: the linker
 * may store a name as the end of a longer one. Returns their number. */
static unsigned find_names(const struct elf *elf, const struct symbols *t, const char *name,
			   uint32_t found[MOST_NAMES])
{
	size_t length = strlen(name) + 1, kept = 0, done = 0, got;
	char piece[PIECE], *at;
	unsigned count = 0;

	while (done < t->names_size) {
		size_t left = t->names_size - done, room = sizeof piece - kept;

		got = copy(elf->fd, piece + kept, left < room ? left : room, t->names + done);
		if (!got)
			break;
		for (at = piece; (at = memmem(at, (size_t)(piece + kept + got - at), name, length)); at++) {
			if (count == MOST_NAMES)
				return count;
			found[count++] = (uint32_t)(done - kept + (size_t)(at - piece));
		}
		done += got;
		got += kept;
		kept = got < length - 1 ? got : length - 1;
		memmove(piece, piece + got - kept, kept);
	}
	return count;
}

static int by_offset(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static bool in_table(const struct elf *elf, const struct symbols *t, const char *name, size_t *address)
{
	uint32_t names[MOST_NAMES];
	char piece[PIECE];
	size_t done, got, i;
	unsigned count = t->size <= MOST_TABLE && t->names_size <= MOST_TABLE ? find_names(elf, t, name, names) : 0;

	for (done = 0; count && done < t->size; done += got) {
		size_t left = t->size - done;
		ElfW(Sym) symbol;

		got = copy(elf->fd, piece, left < sizeof piece ? left : sizeof piece, t->offset + done);
		got -= got % sizeof symbol;
		if (!got)
			break;
		for (i = 0; i < got; i += sizeof symbol) {
			memcpy(&symbol, piece + i, sizeof symbol);
			if (symbol.st_shndx == SHN_UNDEF ||
			    !bsearch(&symbol.st_name, names, count, sizeof *names, by_offset))
				continue;
			*address = symbol.st_value;
			return true;
		}
	}
	return false;
}

bool elf_symbol(const struct elf *elf, const char *name, size_t *address)
{
	return in_table(elf, &elf->symbols[0], name, address) || in_table(elf, &elf->symbols[1], name, address);
}
