/*
 * Prints NAME=value of every setting in force, if malloc is HAKMEM's. Not
 * linked with the library, which its environment alone has to bring in.
 */
#include <dlfcn.h>
#include <hakmem/hakmem.h>
#include <stdio.h>

int main(void)
{
	__typeof__(hak_setting_name) *name_of = dlsym(RTLD_DEFAULT, "hak_setting_name");
	__typeof__(hak_setting) *get = dlsym(RTLD_DEFAULT, "hak_setting");
	const char *name;
	char value[512];

	if (!name_of || !get || dlsym(RTLD_DEFAULT, "malloc") != dlsym(RTLD_DEFAULT, "hak_malloc"))
		return 1;
	for (unsigned i = 0; (name = name_of(i)); i++) {
		get(name, value, sizeof(value));
		printf("%s=%s\n", name, value);
	}
	return 0;
}
