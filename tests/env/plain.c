/* A program that uses malloc; env-secure.sh runs it set-user-ID. It says
 * whether the kernel took it for one. */
#include <stdlib.h>
#include <sys/auxv.h>
#include <unistd.h>

int main(void)
{
	void *volatile block = malloc(100);
	const char *text = getauxval(AT_SECURE) ? "secure\n" : "normal\n";
	int failed = block == NULL || write(STDOUT_FILENO, text, 7) != 7;

	free(block);
	return failed;
}
