/* /proc/self/smaps of a test. */
#ifndef TEST_SMAPS_H
#define TEST_SMAPS_H

#include "tap.h"

/* The next line that starts so, after `at`; what follows is returned. NULL: there is none. */
static inline const char *smaps_line(const char *at, const char *field)
{
	for (at = strchr(at, '\n'); at; at = strchr(at, '\n'))
		if (!strncmp(++at, field, strlen(field)))
			return at + strlen(field);
	return NULL;
}

static inline const char *smaps_text(void)
{
	static char text[16 << 20];

	return tap_read("/proc/self/smaps", text, sizeof text) ? text : "";
}

/* Sums a field over all mappings. */
static inline size_t smaps_sum(const char *field)
{
	const char *at = smaps_text();
	size_t sum = 0;

	while ((at = smaps_line(at, field)) != NULL)
		sum += strtoul(at, NULL, 10);
	return sum;
}

/* Of the mappings with this flag, in KiB. */
static inline size_t smaps_flagged(const char *flag)
{
	const char *at = smaps_text(), *flags;
	size_t sum = 0, found;

	while ((at = smaps_line(at, "Size:")) != NULL && (flags = smaps_line(at, "VmFlags:")) != NULL) {
		found = strcspn(flags, "\n");
		if (memmem(flags, found, flag, strlen(flag)))
			sum += strtoul(at, NULL, 10);
	}
	return sum;
}

#endif
