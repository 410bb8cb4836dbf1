/* What tells of the process and its libraries. */
#include "wrappers/wrap.h"

#include <link.h>
#include <sys/auxv.h>
#include <sys/prctl.h>

WRAP(int, dl_iterate_phdr, (int (*each)(struct dl_phdr_info *, size_t, void *), void *data), (each, data))
WRAP(unsigned long, getauxval, (unsigned long type), (type))
WRAP(char *, getenv, (const char *name), (name))
WRAP(char *, secure_getenv, (const char *name), (name))
