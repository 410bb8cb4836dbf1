#ifndef TESTS_DEEPBIND_MODULE_H
#define TESTS_DEEPBIND_MODULE_H

#include <stddef.h>

void *module_malloc(size_t size);
void module_free(void *p);
char *module_strdup(const char *text);

#endif
