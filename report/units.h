/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_REPORT_UNITS_H
#define MEMATTACH_REPORT_UNITS_H

#include "base/types.h"

/*
 * Figures for people. Each is written to out and returned. Sizes in binary
 * units with three digits ("1.25 MiB"; exact below 1 KiB, "512 B").
 */
#define UNITS_MAX 32

char *units_bytes(char out[UNITS_MAX], u64 bytes);

/* A difference of sizes, with its sign: "+1.25 MiB", "-3.00 KiB", "0 B". */
char *units_growth(char out[UNITS_MAX], s64 bytes);

/* "1,234,567" */
char *units_count(char out[UNITS_MAX], u64 count);

/* part in percent of whole: "84.0 %", "<0.1 %" for what is not nothing, "-" if whole is 0. */
char *units_percent(char out[UNITS_MAX], u64 part, u64 whole);

/* "120 ms", "4.9 s", "2 min 05 s", "3 h 12 min", "2 d 03 h"; "0 s" */
char *units_seconds(char out[UNITS_MAX], double seconds);

/* An s behind a noun unless count is 1. */
const char *units_plural(u64 count);

#endif
