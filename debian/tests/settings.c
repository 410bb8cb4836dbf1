/* Prints NAME=value of every setting in force, if malloc is HAKMEM's. */
#include <dlfcn.h>
#include <hakmem/hakmem.h>
#include <stdio.h>
#include <stdlib.h>

int main(void)
{
	const char *name;
	char value[512];

	if (dlsym(RTLD_DEFAULT, "malloc") != dlsym(RTLD_DEFAULT, "hak_malloc"))
		return 1;
	for (unsigned i = 0; (name = hak_setting_name(i)); i++) {
		hak_setting(name, value, sizeof(value));
		printf("%s=%s\n", name, value);
	}
	return 0;
}
