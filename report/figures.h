/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_REPORT_FIGURES_H
#define MEMATTACH_REPORT_FIGURES_H

#include "base/units.h"

/* More figures for people, beside those of base/units.h. Each is written to text and returned. */

/* A difference of sizes, with its sign: "+1.2 MiB", "-3.0 KiB", "0 B". */
const char *figures_growth(char text[UNITS_MAX], s64 bytes);

/* part in percent of whole: "84.0 %", "<0.1 %" for what is not nothing, "-" if whole is 0. */
const char *figures_percent(char text[UNITS_MAX], u64 part, u64 whole);

/* A figure that may be an estimate with a standard error: "1.2 MiB"; estimated "1.2 MiB ± 100 KiB". */
#define FIGURES_ESTIMATE_MAX (2 * UNITS_MAX + 8)
const char *figures_bytes(char text[FIGURES_ESTIMATE_MAX], u64 bytes, bool estimated, u64 error);
const char *figures_count(char text[FIGURES_ESTIMATE_MAX], u64 count, bool estimated, u64 error);

/* An s behind a noun unless count is 1. */
const char *figures_plural(u64 count);

#endif
