/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_REPORT_LINE_H
#define MEMATTACH_REPORT_LINE_H

#include <stdio.h>

#include "base/types.h"

enum line_style {
	STYLE_NONE,
	STYLE_HEADING,
	STYLE_GUILTY, /* what to look at first */
	STYLE_WARNING,
	STYLE_DIM,
};

/*
 * One line of a report for a terminal while it is put together. It knows how
 * many columns it takes, so that columns align whatever a name holds, and it
 * takes strings of the target only in a way that makes them harmless.
 */
struct line {
	char *text;
	size_t n, cap;
	u32 columns;
	enum line_style style; /* that is on */
	bool color;            /* are styles written? */
	bool failed;           /* out of memory: the line is incomplete */
};

void line_init(struct line *line, bool color);
void line_deinit(struct line *line);

/* Our own words, plain ASCII. */
void line_add(struct line *line, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* A string of the target, n bytes, made harmless (base/escape.h). */
void line_add_foreign(struct line *line, const char *s, size_t n);

/* The same in at most max columns: if it is wider, its middle becomes "...". max >= 4. */
void line_add_short(struct line *line, const char *s, size_t n, u32 max);

/* The columns that line_add_foreign would take. */
u32 line_columns(const char *s, size_t n);

/* Blanks up to column. */
void line_pad(struct line *line, u32 column);

/* text (our own), at the right end of width columns. */
void line_add_right(struct line *line, const char *text, u32 width);

/* From here on in this style; STYLE_NONE ends it. */
void line_style(struct line *line, enum line_style style);

/* Writes the line and begins a new one. */
void line_end(struct line *line, FILE *f);

/*
 * Writes a text, which may be a string of the target, and breaks it between
 * words (not behind a number) so that lines have at most width columns if
 * possible. The line may hold something before it; further lines begin at
 * column indent, in the same style.
 */
void line_end_wrapped(struct line *line, FILE *f, const char *text, u32 indent, u32 width);

#endif
