/* What every fuzz target has: an input comes to LLVMFuzzerTestOneInput. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold for every input; a sanitizer names the line. */
#define MUST(x) ((x) ? (void)0 : __builtin_trap())

/* Words that a terminal takes for nothing else. */
static void must_be_plain(const char *text)
{
	for (; *text; text++)
		MUST(*text >= ' ' && *text <= '~');
}

#endif
