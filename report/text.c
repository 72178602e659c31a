// SPDX-License-Identifier: MIT
/*
 * The report for people. From the top: who and when, the totals, what makes them
 * less than exact, what the figures mean; then the stacks, one line each, to find
 * the guilty one; then the functions; then each stack in full.
 */
#include "report/text.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "report/text_parts.h"
#include "report/figures.h"

#define WIDTH_DEFAULT 100
#define WIDTH_MIN     60
#define PROSE_MAX     100 /* longer lines of prose are hard to read */

void text_heading(struct text *text, const char *heading)
{
	putc('\n', text->f);
	line_style(&text->line, STYLE_HEADING);
	line_end_wrapped(&text->line, text->f, heading, 0, text->width);
}

static void write_nothing(struct text *text)
{
	char advice[256];

	if (text->snapshot->sites_n)
		snprintf(advice, sizeof(advice),
			 "No stack has any %s: what was allocated has been freed. "
			 "--sort total and --sort temporary show who allocated it.",
			 text_sort_name(text->sort));
	else if (text->snapshot->estimated)
		snprintf(
			advice, sizeof(advice),
			"No allocation was recorded. With --sample that may be chance where little "
			"is allocated: record longer (--duration), or with a smaller --sample.");
	else
		snprintf(advice, sizeof(advice),
			 "No allocation was seen. Either the process did not allocate: record "
			 "longer (--duration), or while it works. Or it has an allocator that "
			 "memattach does not know: name its functions (--alloc, --free).");
	putc('\n', text->f);
	line_end_wrapped(&text->line, text->f, advice, 0, text->prose);
}

static int write_body(struct text *text)
{
	char heading[160], shown[UNITS_MAX], all[UNITS_MAX];
	const char *estimated = text->snapshot->estimated ? ", estimated" : "";
	int ret;

	if (text->shown < text->rows_n)
		snprintf(heading, sizeof(heading), "Top %s of %s stacks by %s%s",
			 units_count(shown, text->shown), units_count(all, text->rows_n),
			 text_sort_name(text->sort), estimated);
	else
		snprintf(heading, sizeof(heading), "%s stack%s by %s%s",
			 units_count(all, text->rows_n), figures_plural(text->rows_n),
			 text_sort_name(text->sort), estimated);
	text_heading(text, heading);
	text_write_table(text);
	ret = text_write_functions(text);
	if (ret)
		return ret;
	text_heading(text, "The stacks in full, the allocator first");
	text_write_stacks(text);
	return 0;
}

static void init(struct text *text, FILE *f, const struct capture *capture, size_t index,
		 const struct text_options *options)
{
	memset(text, 0, sizeof(*text));
	text->f = f;
	text->capture = capture;
	text->snapshot = &capture->snapshots[index];
	text->before = index ? &capture->snapshots[index - 1] : NULL;
	text->sort = options->sort;
	text->width = options->width ? options->width : WIDTH_DEFAULT;
	if (text->width < WIDTH_MIN)
		text->width = WIDTH_MIN;
	text->prose = text->width < PROSE_MAX ? text->width : PROSE_MAX;
	line_init(&text->line, options->color);
}

int text_write(FILE *f, const struct capture *capture, size_t index,
	       const struct text_options *options, struct err *err)
{
	struct text text;
	int ret;

	if (index >= capture->snapshots_n)
		return err_set(err, EINVAL, "the capture has %zu snapshots, no number %zu",
			       capture->snapshots_n, index + 1);
	init(&text, f, capture, index, options);
	ret = text_rows_select(&text);
	if (!ret) {
		text.shown = text.rows_n;
		if (options->top && text.shown > options->top)
			text.shown = options->top;
		text_write_head(&text);
		if (text.rows_n)
			ret = write_body(&text);
		else
			write_nothing(&text);
	}
	if (text.line.failed)
		ret = -ENOMEM;
	line_deinit(&text.line);
	text_rows_deinit(&text);
	return ret ? err_sys(err, -ret, "cannot write the report") : 0;
}
