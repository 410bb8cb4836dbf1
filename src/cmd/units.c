/* Sizes as text, in a suitable unit; JSON and Prometheus use bytes. */
#include "cmd/cmd.h"

#include <string.h>

static const char *const names[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };

/* If a size rounds to 1024 of a unit, the next unit is used. */
static double scale(size_t bytes, unsigned *unit)
{
	double value = (double)bytes;

	for (*unit = 0; value >= (*unit ? 1023.5 : 1024); value /= 1024)
		++*unit;
	return value;
}

char *size_text(char *out, size_t bytes)
{
	unsigned unit;
	double value = scale(bytes, &unit);

	snprintf(out, SIZE_TEXT, "%.*f %s", unit != 0, value, names[unit]);
	return out;
}

char *size_short(char *out, size_t bytes)
{
	unsigned unit;
	double value = scale(bytes, &unit);

	snprintf(out, SIZE_TEXT, "%.*f%.1s", unit && value < 99.95, value, unit ? names[unit] : "");
	return out;
}

char *size_change(char *out, size_t before, size_t now)
{
	if (before == now)
		return strcpy(out, "0");
	*out = now > before ? '+' : '-';
	size_short(out + 1, now > before ? now - before : before - now);
	return out;
}
