/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_BASE_UNITS_H
#define MEMATTACH_BASE_UNITS_H

#include "base/types.h"

/* Figures for people to read. */

/* The longest text that these make, with its NUL. */
#define UNITS_MAX 32

/* Bytes with a unit, three digits or so: "0 B", "1023 B", "1.5 KiB", "12.3 MiB", "340 GiB". */
const char *units_bytes(char text[UNITS_MAX], u64 bytes);

/* A count with commas: "1,234,567". */
const char *units_count(char text[UNITS_MAX], u64 count);

/* Seconds in the unit that fits: "0.3 s", "12 s", "5 min", "3 h 20 min", "4 days". */
const char *units_seconds(char text[UNITS_MAX], double seconds);

#endif
