/*
 * The parser of ELF files in the command. It never maps the file, so that every error is
 * in its buffers; every query must return soon for any file.
 *
 * sources: src/cmd/elf.c src/cmd/proc.c src/cmd/say.c
 * options: -max_len=16384 -timeout=5
 */
#include "cmd/cmd.h"
#include "fuzz.h"

#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = memfd_create("elf", MFD_CLOEXEC);
	size_t address = 0, again = 1;
	struct elf *elf;
	bool found;

	MUST(write(fd, data, size) == (ssize_t)size);
	elf = elf_read(fd);
	MUST(elf);
	MUST(elf_kind_of(elf) <= ELF_NONE);
	MUST(!elf_interpreter(elf) || strlen(elf_interpreter(elf)) < PATH_MAX);
	found = elf_symbol(elf, "hakmem_stats_page", &address);
	MUST(elf_symbol(elf, "hakmem_stats_page", &again) == found);
	MUST(!found || (address == again && elf_kind_of(elf) == ELF_NATIVE && memmem(data, size, "hakmem_stats_page", 18)));
	MUST(!elf_is_go(elf) || memmem(data, size, "Go\0", 4));
	found = elf_symbol(elf, "malloc", &address);
	MUST(!found || memmem(data, size, "malloc", 7));
	elf_close(elf);
	return 0;
}
