// SPDX-License-Identifier: MIT
/*
 * The stacks in full, leaf first, as debuggers and valgrind print them. Function and
 * place stand in two columns; a line that is too wide for that is broken, never
 * cut: the place of a frame is what the reader is after.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "report/names.h"
#include "report/text_parts.h"
#include "report/figures.h"

#define FRAME_INDENT     7  /* "   -> at " and "      by " */
#define FUNCTION_PERCENT 45 /* of the width: no wider name moves the column of places */
#define FIGURES_INDENT   4
#define PLACE_MAX        1024

/* The full name, or where the code is if it has none. */
static void full_name(const struct capture_frame *frame, char *out, size_t size)
{
	if (frame->function)
		snprintf(out, size, "%s", frame->function);
	else
		snprintf(out, size, "0x%" PRIx64, frame->address);
}

/* "src/server.c:42", with its module if that is a library; "(in libc.so.6)"; for no name the offset. */
static void full_place(const struct text *text, const struct capture_frame *frame, bool whole_path,
		       char *out, size_t size)
{
	const char *module = frame->module ? names_base(frame->module) : NULL;
	size_t n = 0;

	out[0] = '\0';
	if (frame->file) {
		n = (size_t)snprintf(out, size, "%.*s", PLACE_MAX / 2,
				     whole_path ? frame->file : names_tail(frame->file));
		if (frame->line)
			n += (size_t)snprintf(out + n, size - n, ":%u", frame->line);
		if (!module || text_in_program(text, frame))
			return;
		out[n++] = ' ';
	}
	if (!module)
		snprintf(out + n, size - n, "(in no known module)");
	else if (frame->function)
		snprintf(out + n, size - n, "(in %.256s)", module);
	else
		snprintf(out + n, size - n, "(in %.256s+0x%" PRIx64 ")", module, frame->offset);
}

/* The column at which the places of this stack begin. */
static u32 place_column(const struct text *text, const struct text_row *row)
{
	u32 max = text->width * FUNCTION_PERCENT / 100, widest = 0;

	for (u32 i = 0; i < row->stack->n; i++) {
		const struct capture_frame *frame = &text->capture->frames[row->stack->frames[i]];
		u32 columns = 14; /* of an address */

		if (frame->function)
			columns = line_columns(frame->function, strlen(frame->function));
		if (columns <= max && columns > widest)
			widest = columns;
	}
	return FRAME_INDENT + 3 + widest + 2;
}

static void write_frame(struct text *text, const struct text_row *row, u32 i, u32 column)
{
	const struct capture_frame *frame = &text->capture->frames[row->stack->frames[i]];
	bool guilty = i == row->blame.guilty;
	enum line_style style = guilty                                               ? STYLE_GUILTY
				: text->classes[row->stack->frames[i]] != BLAME_USER ? STYLE_DIM
										     : STYLE_NONE;
	char name[32], place[PLACE_MAX];
	const char *function = frame->function;
	struct line *line = &text->line;

	if (!function) {
		full_name(frame, name, sizeof(name));
		function = name;
	}
	full_place(text, frame, guilty, place, sizeof(place));
	line_style(line, style);
	line_add(line, "%*s %s ", FRAME_INDENT - 1, guilty ? "->" : "", i ? "by" : "at");
	line_add_short(line, function, strlen(function), 3 * text->width);
	if (frame->inlined)
		snprintf(place + strlen(place), sizeof(place) - strlen(place), " [inlined]");
	if (line->columns + 2 > column)
		column = line->columns + 2;
	if (column + line_columns(place, strlen(place)) > text->width) {
		line_end(line, text->f);
		line_style(line, style);
		column = FRAME_INDENT + 5;
	}
	line_pad(line, column);
	line_add_foreign(line, place, strlen(place));
	line_end(line, text->f);
}

static void write_cut(struct text *text, enum capture_cut cut)
{
	if (cut == CAPTURE_WHOLE)
		return;
	line_style(&text->line, STYLE_WARNING);
	line_add(&text->line, "%*s ... ", FRAME_INDENT - 1, "");
	if (cut == CAPTURE_CUT_DEPTH)
		line_add(&text->line, "[cut: deeper than --depth %u]",
			 text->capture->settings.depth);
	else
		line_add(&text->line, "[cut: no unwind information further out]");
	line_end(&text->line, text->f);
}

/* Appends a piece that is not broken, in the next line if there is no room in this one. */
__attribute__((format(printf, 2, 3))) static void figure(struct text *text, const char *fmt, ...)
{
	struct line *line = &text->line;
	char piece[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(piece, sizeof(piece), fmt, ap);
	va_end(ap);
	if (line->columns && line->columns + 1 + line_columns(piece, strlen(piece)) > text->width)
		line_end(line, text->f);
	line_pad(line, line->columns ? line->columns + 1 : FIGURES_INDENT);
	line_add_foreign(line, piece, strlen(piece));
}

static void write_figures(struct text *text, const struct capture_site *site)
{
	char a[FIGURES_ESTIMATE_MAX], b[FIGURES_ESTIMATE_MAX];
	const char *end = site->live_blocks ? ";" : "";
	bool estimated = text->snapshot->estimated;

	figure(text, "allocated %s in %s call%s,",
	       figures_bytes(a, site->total_bytes, estimated, site->total_bytes_error),
	       figures_count(b, site->total_allocations, estimated, site->total_allocations_error),
	       figures_plural(site->total_allocations));
	figure(text, "%s freed%s", site->total_frees ? units_count(a, site->total_frees) : "none",
	       site->temporary ? "," : ";");
	if (site->temporary)
		figure(text, "%s temporary;",
		       figures_percent(a, site->temporary, site->total_allocations));
	figure(text, "largest %s%s;", estimated ? "recorded " : "", units_bytes(a, site->largest));
	figure(text, "at the peak %s%s", units_bytes(a, site->peak_bytes), end);
	if (site->live_blocks == 1 && !estimated)
		figure(text, "age %s", units_seconds(a, site->oldest_age));
	else if (site->live_blocks)
		figure(text, "oldest %s, median %s", units_seconds(a, site->oldest_age),
		       units_seconds(b, site->median_age));
	line_end(&text->line, text->f);
}

static void write_title(struct text *text, const struct text_row *row, size_t rank)
{
	char a[FIGURES_ESTIMATE_MAX], b[FIGURES_ESTIMATE_MAX], title[320];
	bool estimated = text->snapshot->estimated;
	const struct capture_site *site = row->site;
	size_t n;

	n = (size_t)snprintf(
		title, sizeof(title), "%s live in %s block%s",
		figures_bytes(a, site->live_bytes, estimated, site->live_bytes_error),
		figures_count(b, site->live_blocks, estimated, site->live_blocks_error),
		figures_plural(site->live_blocks));
	if (text->sort != SORT_GROWTH)
		n += (size_t)snprintf(title + n, sizeof(title) - n, ", %s of %s",
				      figures_percent(a, (u64)row->key, text->key_sum),
				      text_sort_name(text->sort));
	if (text->sort != SORT_LIVE && text->sort != SORT_GROWTH)
		n += (size_t)snprintf(title + n, sizeof(title) - n, " (%s)",
				      text_key(text, row->key, a));
	if (text->before || text->sort == SORT_GROWTH)
		snprintf(title + n, sizeof(title) - n, ", %s since %s",
			 figures_growth(a, row->growth),
			 text->before ? "the last snapshot" : "attach");
	line_style(&text->line, STYLE_HEADING);
	line_add(&text->line, "#%zu  ", rank);
	line_end_wrapped(&text->line, text->f, title, FIGURES_INDENT, text->width);
}

void text_write_stacks(struct text *text)
{
	for (size_t i = 0; i < text->shown; i++) {
		const struct text_row *row = &text->rows[i];
		u32 column = place_column(text, row);

		if (i)
			putc('\n', text->f);
		write_title(text, row, i + 1);
		write_figures(text, row->site);
		for (u32 k = 0; k < row->stack->n; k++)
			write_frame(text, row, k, column);
		if (!row->stack->n)
			fputs("       (no stack)\n", text->f);
		write_cut(text, row->stack->cut);
	}
}
