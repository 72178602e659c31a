/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_REPORT_TEXT_H
#define MEMATTACH_REPORT_TEXT_H

#include <stdio.h>

#include "base/err.h"
#include "report/capture.h"

enum text_sort {
	SORT_LIVE,
	SORT_BLOCKS,
	SORT_TOTAL,
	SORT_PEAK,
	SORT_TEMPORARY,
	SORT_GROWTH,
};

struct text_options {
	enum text_sort sort;
	u32 top;    /* how many stacks; 0: all */
	bool color; /* ANSI colours */
	u32 width;  /* columns of the terminal; 0: unknown, then 100 */
};

/*
 * Writes the report for people of the snapshot at index in capture (growth is
 * counted from the snapshot before it, or from attach). Strings of the target
 * are made harmless for a terminal. Write errors stay in f. 0 or -ENOMEM.
 */
int text_write(FILE *f, const struct capture *capture, size_t index,
	       const struct text_options *options, struct err *err);

/* The enum for a word of --sort; -1 if it is none. */
int text_sort_parse(const char *word);

#endif
