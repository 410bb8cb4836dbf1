#include "cmd/cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct elf {
	const char *data;
	size_t size;
	const ElfW(Ehdr) *head;		/* NULL: of another kind */
	bool other;
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

/* Everything is read through here. */
static const void *at(const struct elf *elf, size_t offset, size_t bytes)
{
	return offset <= elf->size && bytes <= elf->size - offset && offset % sizeof(size_t) == 0 ?
		elf->data + offset : NULL;
}

static const char *string_at(const struct elf *elf, const ElfW(Shdr) *strings, size_t offset)
{
	const char *start;

	if (!strings || offset >= strings->sh_size || strings->sh_offset > elf->size ||
	    strings->sh_size > elf->size - strings->sh_offset)
		return "";
	start = elf->data + strings->sh_offset + offset;
	return memchr(start, 0, strings->sh_size - offset) ? start : "";
}

/* A header of our own kind of file, by the machine that the header of this
 * program names. */
static bool native(const ElfW(Ehdr) *head)
{
	static ElfW(Ehdr) own;
	int fd;

	if (!own.e_machine) {
		fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
		if (fd < 0 || read(fd, &own, sizeof own) != (ssize_t)sizeof own)
			own = *head;
		if (fd >= 0)
			close(fd);
	}
	return head->e_ident[EI_CLASS] == NATIVE_CLASS && head->e_ident[EI_DATA] == NATIVE_DATA &&
	       head->e_machine == own.e_machine;
}

struct elf *elf_open(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct elf *elf;
	struct stat s;
	void *data;

	if (fd < 0)
		return NULL;
	if (fstat(fd, &s) < 0 || !S_ISREG(s.st_mode) || !s.st_size) {
		close(fd);
		errno = ENOEXEC;
		return NULL;
	}
	data = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	close(fd);
	if (data == MAP_FAILED)
		return NULL;
	elf = grow(NULL, sizeof *elf);
	*elf = (struct elf){ .data = data, .size = (size_t)s.st_size };
	if (elf->size >= EI_NIDENT && !memcmp(data, ELFMAG, SELFMAG)) {
		elf->other = true;
		if (elf->size >= sizeof *elf->head && native(data))
			elf->head = data;
	}
	return elf;
}

void elf_close(struct elf *elf)
{
	munmap((void *)elf->data, elf->size);
	free(elf);
}

enum elf_kind elf_kind(const struct elf *elf)
{
	return elf->head ? ELF_NATIVE : elf->other ? ELF_OTHER : ELF_NONE;
}

static const ElfW(Phdr) *segment(const struct elf *elf, size_t i)
{
	return !elf->head || i >= elf->head->e_phnum ? NULL :
		at(elf, elf->head->e_phoff + i * sizeof(ElfW(Phdr)), sizeof(ElfW(Phdr)));
}

static const ElfW(Shdr) *section(const struct elf *elf, size_t i)
{
	return !elf->head || i >= elf->head->e_shnum ? NULL :
		at(elf, elf->head->e_shoff + i * sizeof(ElfW(Shdr)), sizeof(ElfW(Shdr)));
}

const char *elf_interpreter(const struct elf *elf)
{
	const ElfW(Phdr) *p;
	size_t i;

	for (i = 0; (p = segment(elf, i)); i++) {
		if (p->p_type == PT_INTERP && p->p_offset < elf->size &&
		    memchr(elf->data + p->p_offset, 0, elf->size - p->p_offset))
			return elf->data + p->p_offset;
	}
	return NULL;
}

size_t elf_lowest(const struct elf *elf)
{
	size_t i, lowest = SIZE_MAX, page = (size_t)sysconf(_SC_PAGESIZE);
	const ElfW(Phdr) *p;

	for (i = 0; (p = segment(elf, i)); i++)
		if (p->p_type == PT_LOAD && p->p_vaddr < lowest)
			lowest = p->p_vaddr;
	return lowest & -page;
}

static bool in_table(const struct elf *elf, const ElfW(Shdr) *table, const char *name, size_t *address)
{
	const ElfW(Shdr) *strings = section(elf, table->sh_link);
	size_t i, count = table->sh_size / sizeof(ElfW(Sym));
	const ElfW(Sym) *symbols = at(elf, table->sh_offset, count * sizeof *symbols);

	for (i = 0; symbols && i < count; i++) {
		if (symbols[i].st_shndx == SHN_UNDEF ||
		    strcmp(string_at(elf, strings, symbols[i].st_name), name) != 0)
			continue;
		*address = symbols[i].st_value;
		return true;
	}
	return false;
}

bool elf_symbol(const struct elf *elf, const char *name, size_t *address)
{
	static const unsigned kinds[] = { SHT_DYNSYM, SHT_SYMTAB };
	const ElfW(Shdr) *s;
	size_t i, kind;

	for (kind = 0; kind < 2; kind++)
		for (i = 0; (s = section(elf, i)); i++)
			if (s->sh_type == kinds[kind] && in_table(elf, s, name, address))
				return true;
	return false;
}
