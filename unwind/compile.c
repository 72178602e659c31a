// SPDX-License-Identifier: MIT
/*
 * Puts a module's rows (unwind/eh_frame.h) in order. FDEs are sorted by address;
 * where two overlap, the one that starts first keeps its range (of two that
 * start together, the one read first: .eh_frame before .debug_frame); where one
 * ends and none follows, a row says that nothing is known. Neighbours with the
 * same rule become one row.
 */
#include "unwind/compile.h"

#include <errno.h>
#include <stdlib.h>

#include "unwind/eh_frame.h"

static int by_address(const void *a, const void *b)
{
	const struct eh_span *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

static void add_row(struct unwind_table *table, u32 start, u32 rule)
{
	if (table->n && table->rows[table->n - 1].rule == rule)
		return;
	table->rows[table->n++] = (struct unwind_row){.start = start, .rule = rule};
}

/* The rows of span from address from on. */
static void add_span(struct unwind_table *table, const struct eh_rows *in,
		     const struct eh_span *span, u32 from)
{
	const struct unwind_row *rows = in->rows + span->first;

	for (u32 i = 0; i < span->count; i++) {
		/* A row that ends before from is hidden by the span before this one. */
		if (i + 1 < span->count && rows[i + 1].start <= from)
			continue;
		add_row(table, rows[i].start > from ? rows[i].start : from, rows[i].rule);
	}
}

static int merge(struct unwind_table *table, struct eh_rows *in)
{
	const u32 none = unwind_rule(UNWIND_NONE, 0, 0);
	/* One more for each end of a span, and rows are never fewer than spans. */
	size_t max = in->n_rows + in->n_spans + 1;
	struct unwind_row *rows;
	u32 end = 0;

	table->rows = malloc(max * sizeof(*table->rows));
	if (!table->rows)
		return -ENOMEM;
	if (in->n_spans)
		qsort(in->spans, in->n_spans, sizeof(*in->spans), by_address);
	for (size_t i = 0; i < in->n_spans; i++) {
		const struct eh_span *span = &in->spans[i];

		if (span->end <= end)
			continue;
		if (span->start > end)
			add_row(table, end, none);
		add_span(table, in, span, span->start > end ? span->start : end);
		end = span->end;
	}
	add_row(table, end, none);
	rows = realloc(table->rows, table->n * sizeof(*rows));
	if (rows)
		table->rows = rows;
	return 0;
}

int unwind_table_compile_elf(struct unwind_table *table, const struct elf_cfi *elf)
{
	struct eh_rows rows = {.base = elf->base, .top = elf->top};
	int ret = 0;

	*table = (struct unwind_table){.base = elf->base};
	if (elf->eh_frame.data)
		ret = eh_frame_read(&rows, &elf->eh_frame, false, elf->hdr_address);
	if (!ret && elf->debug_frame.data)
		ret = eh_frame_read(&rows, &elf->debug_frame, true, 0);
	if (!ret)
		ret = merge(table, &rows);
	eh_rows_deinit(&rows);
	return ret;
}

int unwind_table_compile(struct unwind_table *table, int fd)
{
	struct elf_cfi elf;
	int ret;

	*table = (struct unwind_table){0};
	if (elf_cfi_open(&elf, fd))
		return 0;
	ret = elf_cfi_read_sections(&elf);
	if (!ret)
		ret = unwind_table_compile_elf(table, &elf);
	elf_cfi_close(&elf);
	return ret;
}

void unwind_table_deinit(struct unwind_table *table)
{
	free(table->rows);
	*table = (struct unwind_table){0};
}
