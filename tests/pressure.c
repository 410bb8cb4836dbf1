/*
 * For tests/cgroup.sh: free memory waits, so that the scavenger is awake and looks for memory
 * pressure. Prints how often that was found: waits until it was, or for some turns of the
 * scavenger. "grow" and a file: writes a total into it that grows, "set" and a file: the text
 * that follows, both after the first turns; "any" waits for turns only.
 */
#include "tap.h"
#include "heap.h"

#include <hakmem/hakmem.h>

enum { BLOCKS = 80, SIZE = 100 * KB, TURNS = 6, ROUNDS = 2000 };

static struct hak_stats now(void)
{
	struct hak_stats s;

	hak_stats_get(&s, sizeof s);
	return s;
}

static void use(void)
{
	char *block[BLOCKS];
	int i;

	for (i = 0; i < BLOCKS; i++)
		memset(block[i] = (char *)hide(malloc(SIZE)), 1, SIZE);
	for (i = 0; i < BLOCKS; i++)
		free(block[i]);
	usleep(10000);
}

static void until_turns(size_t turns)
{
	int round;

	for (round = 0; round < ROUNDS && now().scavenger_turns < turns; round++)
		use();
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "any";
	char text[128];
	int round;

	until_turns(TURNS);
	if (argc > 3 && strcmp(what, "set") == 0)
		rewrite_file(argv[2], argv[3]);
	for (round = 0; strcmp(what, "any") && round < ROUNDS && !now().pressure; round++) {
		if (argc > 2 && strcmp(what, "grow") == 0) {
			snprintf(text, sizeof text, "some avg10=0.00 avg60=0.00 avg300=0.00 total=%d\n", round * 300000);
			rewrite_file(argv[2], text);
		}
		use();
	}
	printf("%zu\n", now().pressure);
	return 0;
}
