// SPDX-License-Identifier: MIT
#include "report/units.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

char *units_bytes(char out[UNITS_MAX], u64 bytes)
{
	static const char *const names[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes / 1024;
	size_t unit = 0;

	if (bytes < 1024) {
		snprintf(out, UNITS_MAX, "%" PRIu64 " B", bytes);
		return out;
	}
	/* Three digits; what would be rounded up to 1024 is 1.00 of the next unit. */
	while (value >= 1023.5 && unit + 1 < ARRAY_SIZE(names)) {
		value /= 1024;
		unit++;
	}
	snprintf(out, UNITS_MAX, "%.*f %s",
		 value < 9.995   ? 2
		 : value < 99.95 ? 1
				 : 0,
		 value, names[unit]);
	return out;
}

char *units_growth(char out[UNITS_MAX], s64 bytes)
{
	char size[UNITS_MAX];

	units_bytes(size, bytes < 0 ? 0 - (u64)bytes : (u64)bytes);
	snprintf(out, UNITS_MAX, "%s%.20s", bytes < 0 ? "-" : bytes ? "+" : "", size);
	return out;
}

char *units_count(char out[UNITS_MAX], u64 count)
{
	char digits[24];
	size_t n = (size_t)snprintf(digits, sizeof(digits), "%" PRIu64, count);
	char *p = out;

	for (size_t i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			*p++ = ',';
		*p++ = digits[i];
	}
	*p = '\0';
	return out;
}

char *units_percent(char out[UNITS_MAX], u64 part, u64 whole)
{
	double percent = whole ? 100.0 * (double)part / (double)whole : 0;

	if (!whole)
		strcpy(out, "-");
	else if (part && percent < 0.1)
		strcpy(out, "<0.1 %");
	else if (part < whole && percent > 99.9)
		strcpy(out, ">99.9 %");
	else
		snprintf(out, UNITS_MAX, "%.1f %%", percent);
	return out;
}

char *units_seconds(char out[UNITS_MAX], double seconds)
{
	u64 s = seconds > 0 && seconds < 1e15 ? (u64)(seconds + 0.5) : 0;

	if (!(seconds > 0))
		strcpy(out, "0 s");
	else if (seconds < 0.9995)
		snprintf(out, UNITS_MAX, "%.0f ms", seconds * 1000);
	else if (seconds < 59.95)
		snprintf(out, UNITS_MAX, "%.1f s", seconds);
	else if (s < 3600)
		snprintf(out, UNITS_MAX, "%" PRIu64 " min %02" PRIu64 " s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(out, UNITS_MAX, "%" PRIu64 " h %02" PRIu64 " min", s / 3600,
			 s % 3600 / 60);
	else
		snprintf(out, UNITS_MAX, "%" PRIu64 " d %02" PRIu64 " h", s / 86400,
			 s % 86400 / 3600);
	return out;
}

const char *units_plural(u64 count)
{
	return count == 1 ? "" : "s";
}
