/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_REPORT_TEXT_PARTS_H
#define MEMATTACH_REPORT_TEXT_PARTS_H

#include "report/blame.h"
#include "report/line.h"
#include "report/text.h"

/* What the parts of the text report share. Only for report/text*.c. */

struct text_row {
	const struct capture_site *site;
	const struct capture_stack *stack;
	struct blame blame;
	s64 growth; /* live bytes, now minus then */
	s64 key;    /* what --sort asks for */
};

struct text {
	FILE *f;
	struct line line;
	const struct capture *capture;
	const struct capture_snapshot *snapshot;
	const struct capture_snapshot *before; /* growth is since this one; NULL: since attach */
	enum text_sort sort;
	u32 width, prose;      /* columns; for sentences */
	u8 *classes;           /* of blame.h */
	struct text_row *rows; /* whose key is not 0, the largest first */
	size_t rows_n, shown;  /* shown of them are printed */
	u64 key_sum;           /* of all positive keys */
};

/* Fills rows, rows_n, key_sum and classes. 0 or -ENOMEM. */
int text_rows_select(struct text *text);
void text_rows_deinit(struct text *text);

/* What the sort key is called: "live bytes"; and its figure, with the unit. */
const char *text_sort_name(enum text_sort sort);
const char *text_key(const struct text *text, s64 key, char *out);

/* "Top stacks": a table with one line a stack. */
void text_write_table(struct text *text);

/* "Functions": own and total of the functions that matter. 0 or -ENOMEM. */
int text_write_functions(struct text *text);

/* Each stack in full. */
void text_write_stacks(struct text *text);

/* The head: who, when, totals, caveats, diagnosis. */
void text_write_head(struct text *text);

/* A heading line with an empty one before it. */
void text_heading(struct text *text, const char *heading);

/*
 * Where a frame is, short, into out (size bytes): "server.c:42", or without a
 * line "(libc.so.6)", or "" if even that is unknown. Not harmless yet.
 */
void text_location_short(const struct text *text, const struct capture_frame *frame, char *out,
			 size_t size);

/*
 * The name of a frame's function for a narrow column; its offset in the module if it has
 * none, "libfoo.so+0x1234".
 */
void text_function_short(const struct capture_frame *frame, char *out, size_t size);

/* Is this frame in the program itself, rather than in a library? */
bool text_in_program(const struct text *text, const struct capture_frame *frame);

#endif
