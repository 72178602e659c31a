// SPDX-License-Identifier: MIT
#include "base/units.h"

#include <stdio.h>
#include <string.h>

const char *units_bytes(char text[UNITS_MAX], u64 bytes)
{
	static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
	double value = (double)bytes;
	size_t i = 0;

	/* 1023.95 KiB would be printed as 1024 KiB. */
	while (value >= 1023.5 && i + 1 < ARRAY_SIZE(unit)) {
		value /= 1024;
		i++;
	}
	if (i == 0 || value >= 99.95)
		snprintf(text, UNITS_MAX, "%.0f %s", value, unit[i]);
	else
		snprintf(text, UNITS_MAX, "%.1f %s", value, unit[i]);
	return text;
}

const char *units_count(char text[UNITS_MAX], u64 count)
{
	char digits[24];
	int n = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)count);
	char *out = text;

	for (int i = 0; i < n; i++) {
		if (i > 0 && (n - i) % 3 == 0)
			*out++ = ',';
		*out++ = digits[i];
	}
	*out = '\0';
	return text;
}

const char *units_seconds(char text[UNITS_MAX], double seconds)
{
	u64 minutes = seconds > 0 && seconds < 1e15 ? (u64)(seconds / 60 + 0.5) : 0;

	if (seconds >= 1e15)
		snprintf(text, UNITS_MAX, "an age");
	else if (seconds < 9.95)
		snprintf(text, UNITS_MAX, "%.1f s", seconds > 0 ? seconds : 0);
	else if (seconds < 99.5)
		snprintf(text, UNITS_MAX, "%.0f s", seconds);
	else if (minutes < 60)
		snprintf(text, UNITS_MAX, "%llu min", (unsigned long long)minutes);
	else if (minutes < 48 * 60)
		snprintf(text, UNITS_MAX, "%llu h %llu min", (unsigned long long)(minutes / 60),
			 (unsigned long long)(minutes % 60));
	else
		snprintf(text, UNITS_MAX, "%llu days", (unsigned long long)(minutes / (24 * 60)));
	return text;
}
