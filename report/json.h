/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_REPORT_JSON_H
#define MEMATTACH_REPORT_JSON_H

#include <stdio.h>

#include "base/err.h"
#include "report/capture.h"

/*
 * Writes a capture as JSON (FORMATS.md, "Capture", version 1). Strings that are
 * not UTF-8 have their bad bytes replaced by U+FFFD. Written as it goes, with
 * nothing kept in memory. Returns 0; write errors stay in f.
 */
int json_write(FILE *f, const struct capture *capture, struct err *err);

/*
 * Reads a capture file. It may come from anywhere: everything is checked, and
 * what is wrong is said with where it stands. NULL with err filled on failure.
 */
struct capture *json_read(const char *path, struct err *err);

/* The same from len bytes of text; name stands for the file in messages. */
struct capture *json_read_buffer(const char *text, size_t len, const char *name, struct err *err);

#endif
