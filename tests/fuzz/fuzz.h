/* Common parts of the fuzz targets: libFuzzer passes each input to LLVMFuzzerTestOneInput. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A condition that must hold for every input; a sanitizer reports the line. */
#define MUST(x) ((x) ? (void)0 : __builtin_trap())

/* Printable ASCII only, so that it cannot control a terminal. */
static void must_be_plain(const char *text)
{
	for (; *text; text++)
		MUST(*text >= ' ' && *text <= '~');
}

#endif
