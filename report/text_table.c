// SPDX-License-Identifier: MIT
/*
 * One line a stack, so that the guilty one is seen at a glance: figures first,
 * then the guilty function with its line, the library function through which it
 * allocated, and as many of its callers as there is room for. How many columns of figures
 * there are depends on the width: what tells least goes first.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/text_parts.h"
#include "report/figures.h"

#define WHERE_MIN         44 /* columns that "where" keeps */
#define WHERE_MIN_PERCENT 45 /* the same, in percent of the width */
#define SHORTEST          12 /* columns that a name is shortened to at most */

enum column {
	COLUMN_RANK,
	COLUMN_KEY,
	COLUMN_ERROR,
	COLUMN_PERCENT,
	COLUMN_LIVE,
	COLUMN_BLOCKS,
	COLUMN_GROWTH,
	COLUMN_TOTAL,
	COLUMN_PEAK,
	COLUMN_CALLS,
	COLUMN_TEMPORARY,
	COLUMN_AGE,
	COLUMNS,
};

static const char *const column_names[] = {
	[COLUMN_RANK] = "#",        [COLUMN_PERCENT] = "share", [COLUMN_LIVE] = "live",
	[COLUMN_BLOCKS] = "blocks", [COLUMN_GROWTH] = "growth", [COLUMN_TOTAL] = "allocated",
	[COLUMN_PEAK] = "at peak",  [COLUMN_CALLS] = "calls",   [COLUMN_TEMPORARY] = "temp",
	[COLUMN_AGE] = "oldest",    [COLUMN_ERROR] = "+/-",
};

/* The column that shows the sort key, which comes first and is not repeated. */
static enum column key_column(enum text_sort sort)
{
	static const enum column columns[] = {
		[SORT_LIVE] = COLUMN_LIVE,           [SORT_BLOCKS] = COLUMN_BLOCKS,
		[SORT_TOTAL] = COLUMN_TOTAL,         [SORT_PEAK] = COLUMN_PEAK,
		[SORT_TEMPORARY] = COLUMN_TEMPORARY, [SORT_GROWTH] = COLUMN_GROWTH,
	};

	return columns[sort];
}

static const char *column_name(const struct text *text, enum column column)
{
	if (column == COLUMN_KEY)
		column = key_column(text->sort);
	return column_names[column];
}

/* Is the standard error of the sort key known? */
static bool has_error(const struct text *text)
{
	return text->snapshot->estimated &&
	       (text->sort == SORT_LIVE || text->sort == SORT_BLOCKS || text->sort == SORT_TOTAL);
}

static u64 error_of(const struct text *text, const struct capture_site *site)
{
	switch (text->sort) {
	case SORT_BLOCKS:
		return site->live_blocks_error;
	case SORT_TOTAL:
		return site->total_bytes_error;
	default:
		return site->live_bytes_error;
	}
}

static bool is_possible(const struct text *text, enum column column)
{
	if (column == key_column(text->sort))
		return false;
	if (column == COLUMN_ERROR)
		return has_error(text);
	if (column == COLUMN_TEMPORARY && text->snapshot->estimated)
		return text->snapshot->totals.temporary;
	if (column == COLUMN_PERCENT)
		return text->sort != SORT_GROWTH;
	if (column == COLUMN_GROWTH)
		return text->before;
	return true;
}

static const char *cell(const struct text *text, size_t row, enum column column,
			char out[UNITS_MAX])
{
	const struct text_row *r = &text->rows[row];
	const struct capture_site *site = r->site;

	switch (column) {
	case COLUMN_RANK:
		snprintf(out, UNITS_MAX, "%zu", row + 1);
		return out;
	case COLUMN_KEY:
		return text_key(text, r->key, out);
	case COLUMN_ERROR:
		return text_key(text, (s64)error_of(text, site), out);
	case COLUMN_PERCENT:
		return figures_percent(out, (u64)r->key, text->key_sum);
	case COLUMN_LIVE:
		return units_bytes(out, site->live_bytes);
	case COLUMN_BLOCKS:
		return units_count(out, site->live_blocks);
	case COLUMN_GROWTH:
		return figures_growth(out, r->growth);
	case COLUMN_TOTAL:
		return units_bytes(out, site->total_bytes);
	case COLUMN_PEAK:
		return units_bytes(out, site->peak_bytes);
	case COLUMN_CALLS:
		return units_count(out, site->total_allocations);
	case COLUMN_TEMPORARY:
		return figures_percent(out, site->temporary, site->total_allocations);
	default:
		return units_seconds(out, site->oldest_age);
	}
}

/* The width of every column that fits, 0 for those that do not. */
static void lay_out(const struct text *text, u32 widths[COLUMNS])
{
	u32 where = text->width * WHERE_MIN_PERCENT / 100, used = 0;

	if (where < WHERE_MIN)
		where = WHERE_MIN;
	for (enum column c = 0; c < COLUMNS; c++) {
		u32 width = (u32)strlen(column_name(text, c));
		char out[UNITS_MAX];

		widths[c] = 0;
		if (!is_possible(text, c))
			continue;
		for (size_t row = 0; row < text->shown; row++) {
			u32 n = (u32)strlen(cell(text, row, c, out));

			if (n > width)
				width = n;
		}
		if (c > COLUMN_PERCENT && used + width + 2 + where > text->width)
			continue;
		widths[c] = width;
		used += width + 2;
	}
}

/* Appends before and s, s shortened if need be; false if there is no room even for that. */
static bool add_if_fits(struct text *text, const char *before, const char *s)
{
	u32 used = text->line.columns + (u32)strlen(before);
	u32 columns = line_columns(s, strlen(s));

	if (used + (columns < SHORTEST ? columns : SHORTEST) > text->width)
		return false;
	line_add(&text->line, "%s", before);
	line_add_short(&text->line, s, strlen(s), text->width - used);
	return columns <= text->width - used;
}

static void write_callers(struct text *text, const struct text_row *row)
{
	const struct capture_stack *stack = row->stack;
	char name[512];

	line_style(&text->line, STYLE_DIM);
	if (row->blame.via != BLAME_NONE) {
		u32 via = stack->frames[row->blame.via];

		text_function_short(&text->capture->frames[via], name, sizeof(name));
		add_if_fits(text, " via ", name);
	}
	for (u32 i = row->blame.guilty + 1; i < stack->n; i++) {
		const struct capture_frame *frame = &text->capture->frames[stack->frames[i]];

		if (text->classes[stack->frames[i]] == BLAME_LIBRARY)
			break; /* the C library's start of main, of a thread */
		text_function_short(frame, name, sizeof(name));
		if (!add_if_fits(text, " < ", name))
			break;
	}
	line_style(&text->line, STYLE_NONE);
}

static void write_where(struct text *text, const struct text_row *row)
{
	const struct capture_frame *frame;
	char name[512], location[256];
	u32 reserved, room;

	if (row->blame.guilty == BLAME_NONE) {
		line_add(&text->line, "(no stack)");
		return;
	}
	frame = &text->capture->frames[row->stack->frames[row->blame.guilty]];
	text_function_short(frame, name, sizeof(name));
	text_location_short(text, frame, location, sizeof(location));
	reserved = location[0] ? line_columns(location, strlen(location)) + 1 : 0;
	room = text->width > text->line.columns + reserved
		       ? text->width - text->line.columns - reserved
		       : 0;
	line_style(&text->line, STYLE_GUILTY);
	line_add_short(&text->line, name, strlen(name), room < SHORTEST ? SHORTEST : room);
	line_style(&text->line, STYLE_HEADING);
	if (location[0]) {
		line_add(&text->line, " ");
		line_add_foreign(&text->line, location, strlen(location));
	}
	write_callers(text, row);
}

static double square(u64 x)
{
	return (double)x * (double)x;
}

/* The standard error of a sum from the sum of the squares; what a hostile capture says, too. */
static s64 error_sum(double variance)
{
	double error = sqrt(variance);

	return error < 0x1p62 ? (s64)error : (s64)1 << 62;
}

static void write_rest(struct text *text, const u32 widths[COLUMNS])
{
	u64 rest = 0;
	u64 growth = 0; /* unsigned: a hostile capture may overflow it */
	size_t n = text->rows_n - text->shown;
	double variance = 0;
	char key[UNITS_MAX], percent[UNITS_MAX], count[UNITS_MAX];

	if (!n)
		return;
	for (size_t i = text->shown; i < text->rows_n; i++) {
		rest += text->rows[i].key > 0 ? (u64)text->rows[i].key : 0;
		growth += (u64)text->rows[i].key;
		variance += square(error_of(text, text->rows[i].site));
	}
	line_add(&text->line, "%*s", (int)widths[COLUMN_RANK] + 2, "");
	line_add_right(&text->line,
		       text_key(text, (s64)(text->sort == SORT_GROWTH ? growth : rest), key),
		       widths[COLUMN_KEY]);
	if (widths[COLUMN_ERROR]) {
		line_add(&text->line, "  ");
		line_add_right(&text->line, text_key(text, error_sum(variance), key),
			       widths[COLUMN_ERROR]);
	}
	if (widths[COLUMN_PERCENT]) {
		line_add(&text->line, "  ");
		line_add_right(&text->line, figures_percent(percent, rest, text->key_sum),
			       widths[COLUMN_PERCENT]);
	}
	line_add(&text->line, "  in %s more stack%s", units_count(count, n), figures_plural(n));
	line_end(&text->line, text->f);
}

void text_write_table(struct text *text)
{
	u32 widths[COLUMNS];
	char out[UNITS_MAX];

	lay_out(text, widths);
	line_style(&text->line, STYLE_DIM);
	for (enum column c = 0; c < COLUMNS; c++) {
		if (!widths[c])
			continue;
		line_add_right(&text->line, column_name(text, c), widths[c]);
		line_add(&text->line, "  ");
	}
	line_add(&text->line, "where");
	line_end(&text->line, text->f);
	for (size_t row = 0; row < text->shown; row++) {
		for (enum column c = 0; c < COLUMNS; c++) {
			if (!widths[c])
				continue;
			line_style(&text->line, c == COLUMN_KEY ? STYLE_HEADING : STYLE_NONE);
			line_add_right(&text->line, cell(text, row, c, out), widths[c]);
			line_add(&text->line, "  ");
		}
		line_style(&text->line, STYLE_NONE);
		write_where(text, &text->rows[row]);
		line_end(&text->line, text->f);
	}
	write_rest(text, widths);
}
