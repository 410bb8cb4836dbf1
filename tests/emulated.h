/*
 * Support for running under a user-mode emulator (qemu-user), whose command line is in
 * HAKMEM_TEST_EMULATED: which cases it cannot run, how a program executes itself, and which
 * memory belongs to the program.
 */
#ifndef TESTS_EMULATED_H
#define TESTS_EMULATED_H

#include "tap.h"

/* What the emulator lacks or does itself; the reasons below are in the same order. */
enum lack { LACK_FORK, LACK_STDERR, LACK_RLIMIT, LACK_MADVISE, LACK_TRACE, LACK_MAPPINGS, LACK_ADJACENT };

TAP_UNUSED static const char *emulator(void)
{
	return getenv("HAKMEM_TEST_EMULATED");
}

/* True if the emulator would fail the case, which is then skipped. */
TAP_UNUSED static bool emulator_fails(enum lack lack, const char *name)
{
	static const char *const why[] = {
		"the emulator dies of a thread in a child of several threads",
		"the emulator writes to standard error when a program ends by a signal",
		"the emulator sets no limits on memory",
		"the emulator accepts any advice and does nothing",
		"the emulator lets no program trace another",
		"the emulator has mappings of its own",
		"the emulator leaves space between aligned mappings",
	};

	if (emulator())
		skip(name, why[lack]);
	return emulator() != NULL;
}

/* Rounds of mapping and moving Huge blocks: an emulator of a 32-bit target walks their pages
 * at each call. */
TAP_UNUSED static unsigned long mapping_rounds(unsigned long full)
{
	return emulator() && sizeof(void *) == 4 ? full / 20 : full;
}

/* Executes this program again, through the emulator: the kernel does not know that it is
 * needed. */
TAP_UNUSED static void exec_self(const char *name, const char *first, const char *second)
{
	enum { WORDS = 8 };
	static char words[256], path[256];
	const char *argv[WORDS + 4];
	size_t n = 0;

	if (emulator()) {
		snprintf(words, sizeof words, "%s", emulator());
		for (argv[n] = strtok(words, " "); argv[n] && n < WORDS; argv[n] = strtok(NULL, " "))
			n++;
		if (readlink("/proc/self/exe", path, sizeof path - 1) < 0)
			bail("cannot read /proc/self/exe");
		name = path;
	}
	argv[n] = name;
	argv[n + 1] = first;
	argv[n + 2] = second;
	argv[n + 3] = NULL;
	execvp(emulator() ? argv[0] : "/proc/self/exe", (char *const *)argv);
}

/*
 * The emulator's /proc/self/maps lists only the program's mappings. The other files of its
 * /proc describe the emulator itself, which grows with each thread that is started. Resident
 * pages are counted in pages of the host; unreadable mappings do not belong to the program.
 */
TAP_UNUSED static size_t emulated_memory(bool resident)
{
	enum { PAGE = 4096, PIECE = 1 << 24 };
	static unsigned char there[PIECE / PAGE];
	static char text[1 << 20];
	size_t sum = 0, i, size;
	char *line;

	tap_read("/proc/self/maps", text, sizeof text);
	for (line = text; *line; line += strcspn(line, "\n") + 1) {
		uintptr_t from = strtoul(line, &line, 16), to = strtoul(line + 1, &line, 16);

		if (line[1] == '-')
			continue;
		for (; from < to; from += size) {
			size = to - from < PIECE ? to - from : (size_t)PIECE;
			if (!resident)
				sum += size;
			else if (mincore((void *)from, size, there) == 0)
				for (i = 0; i < size / PAGE; i++)
					sum += (there[i] & 1u) * PAGE;
		}
	}
	return sum;
}

#endif
