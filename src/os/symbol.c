/* Finds another library of the program that defines a function of this one. */
#include "os/os.h"

#include <dlfcn.h>
#include <link.h>

/* Weak, because a statically linked program has no dynamic linker. */
#pragma weak dlsym

struct search {
	uintptr_t address;
	const void *found;		/* the program headers of the object */
};

static int find_object(struct dl_phdr_info *info, size_t size, void *arg)
{
	struct search *s = arg;
	unsigned i;

	(void)size;
	for (i = 0; i < info->dlpi_phnum && !s->found; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD &&
		    s->address - info->dlpi_addr - info->dlpi_phdr[i].p_vaddr < info->dlpi_phdr[i].p_memsz)
			s->found = info->dlpi_phdr;
	return s->found != NULL;
}

/* Unlike dladdr, it does not read all symbols of the object. */
static const void *object_of(const void *code)
{
	struct search s = { (uintptr_t)code, NULL };

	if (code)
		dl_iterate_phdr(find_object, &s);
	return s.found;
}

void *hk_os_replacement(const char *symbol, const char *original)
{
	void *p = dlsym ? dlsym(RTLD_NEXT, symbol) : NULL;
	const void *home = object_of(p);

	if (!home || home == object_of(dlsym(RTLD_NEXT, original)) || home == object_of(dlsym(RTLD_NEXT, "malloc")))
		return NULL;
	return p;
}
