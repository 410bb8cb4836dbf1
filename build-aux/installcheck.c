/* A user's program: prints the version of the library that it found. */
#include <hakmem/hakmem.h>

#include <stdio.h>
#include <stdlib.h>

int main(void)
{
	void *volatile block = hak_malloc(100);

	if (!block)
		return 1;
	hak_free(block);
#ifndef PREFIXED
	/* Stops the program unless malloc is HAKMEM's as well. */
	block = malloc(100);
	hak_free(block);
#ifdef __cplusplus
	block = ::operator new(100);
	hak_free(block);
#endif
#endif
	return puts(hak_version()) < 0;
}
