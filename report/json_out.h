/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_REPORT_JSON_OUT_H
#define MEMATTACH_REPORT_JSON_OUT_H

#include <stdio.h>

#include "base/types.h"

/*
 * The values of JSON, written as they come: a capture may hold 100,000 stacks,
 * for which a tree in memory would be larger than the capture itself. Errors
 * stay in f.
 */

/*
 * A string in quotes; null for NULL. Bytes that are no UTF-8 become U+FFFD;
 * hostile characters (base/escape.h) are escaped, so that the file is harmless
 * on a terminal, too.
 */
void json_out_string(FILE *f, const char *s);

/* An integer. JSON readers hold 63 bits; more than that becomes INT64_MAX. */
void json_out_u64(FILE *f, u64 value);

/* A number that reads back as the same double; 0 for what is no finite number. */
void json_out_double(FILE *f, double value);

/* ms milliseconds as a number of seconds. */
void json_out_ms(FILE *f, u32 ms);

/* An array of n strings. */
void json_out_strings(FILE *f, char *const *strings, size_t n);

/* `"key": value` pairs: an integer, a string, a boolean; with ", " before them unless first. */
void json_out_key(FILE *f, const char *key, bool first);
void json_out_key_u64(FILE *f, const char *key, u64 value);
void json_out_key_string(FILE *f, const char *key, const char *value);
void json_out_key_bool(FILE *f, const char *key, bool value);

#endif
