// SPDX-License-Identifier: MIT
#include "report/figures.h"

#include <stdio.h>
#include <string.h>

const char *figures_growth(char text[UNITS_MAX], s64 bytes)
{
	char size[UNITS_MAX];

	units_bytes(size, bytes < 0 ? 0 - (u64)bytes : (u64)bytes);
	snprintf(text, UNITS_MAX, "%s%.20s", bytes < 0 ? "-" : bytes ? "+" : "", size);
	return text;
}

const char *figures_percent(char text[UNITS_MAX], u64 part, u64 whole)
{
	double percent = whole ? 100.0 * (double)part / (double)whole : 0;

	if (!whole)
		strcpy(text, "-");
	else if (part && percent < 0.1)
		strcpy(text, "<0.1 %");
	else if (part < whole && percent > 99.9)
		strcpy(text, ">99.9 %");
	else
		snprintf(text, UNITS_MAX, "%.1f %%", percent);
	return text;
}

static const char *with_error(char *text, const char *figure, bool estimated, const char *error)
{
	if (estimated)
		snprintf(text, FIGURES_ESTIMATE_MAX, "%s \u00b1 %s", figure, error);
	else
		snprintf(text, FIGURES_ESTIMATE_MAX, "%s", figure);
	return text;
}

const char *figures_bytes(char text[FIGURES_ESTIMATE_MAX], u64 bytes, bool estimated, u64 error)
{
	char a[UNITS_MAX], b[UNITS_MAX];

	return with_error(text, units_bytes(a, bytes), estimated, units_bytes(b, error));
}

const char *figures_count(char text[FIGURES_ESTIMATE_MAX], u64 count, bool estimated, u64 error)
{
	char a[UNITS_MAX], b[UNITS_MAX];

	return with_error(text, units_count(a, count), estimated, units_count(b, error));
}

const char *figures_plural(u64 count)
{
	return count == 1 ? "" : "s";
}
