/* A statistics page of a library to come. */
#include <stdint.h>
#include <unistd.h>

const struct {
	char magic[16];
	uint32_t version, word;
	char library[16];
	char rest[512];
} hakmem_stats_page = { "hakmem stats pg", 99, sizeof(long), "9.9.9", "" };

int main(void)
{
	const char *volatile keep = hakmem_stats_page.magic;

	(void)keep;
	if (write(STDOUT_FILENO, "ready\n", 6) != 6)
		return 1;
	pause();
	return 0;
}
