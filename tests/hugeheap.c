/*
 * For tests/hugesizes.sh: a heap that grows densely to 240 MiB. Prints the KiB of its huge pages,
 * and those for which pages larger than small ones are requested. With an argument, huge pages
 * have been expensive before, because each of them took milliseconds, and the heap grows to 100
 * MiB: less than after which they are tried again.
 */
#include "tap.h"
#include "smaps.h"

#include "pool/thp.h"

#include <signal.h>

enum { SIZE = 128, IN_USE = 240 << 20, SHORT = 100 << 20, SLOW_MS = 5, SLOW_PAGES = 8 };
static char *slow;

static void slow_fault(int signal)
{
	(void)signal;
	usleep(SLOW_MS * 1000);
	mprotect(slow, 4096, PROT_READ | PROT_WRITE);
}

static void make_expensive(void)
{
	int i;

	slow = (char *)mmap(NULL, 65536, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	signal(SIGSEGV, slow_fault);
	for (i = 0; i < SLOW_PAGES; i++) {
		mprotect(slow, 4096, PROT_NONE);
		hk_thp_touch(slow);
	}
	signal(SIGSEGV, SIG_DFL);
}

int main(int argc, char **argv)
{
	size_t blocks = (argc > 1 ? SHORT : IN_USE) / SIZE, i;

	(void)argv;
	if (argc > 1)
		make_expensive();
	for (i = 0; i < blocks; i++)
		memset(malloc(SIZE), 1, SIZE);
	printf("%zu %zu\n", smaps_sum("AnonHugePages:"), smaps_flagged(" hg"));
	return 0;
}
