// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/guard.h"
#include "report/text_parts.h"
#include "report/figures.h"

static const struct {
	const char *word, *name;
} sorts[] = {
	[SORT_LIVE] = {"live", "live bytes"},
	[SORT_BLOCKS] = {"blocks", "live blocks"},
	[SORT_TOTAL] = {"total", "bytes allocated in all"},
	[SORT_PEAK] = {"peak", "bytes live at the peak"},
	[SORT_TEMPORARY] = {"temporary", "temporary allocations"},
	[SORT_GROWTH] = {"growth", "growth of live bytes"},
};

int text_sort_parse(const char *word)
{
	for (size_t i = 0; i < ARRAY_SIZE(sorts); i++)
		if (strcmp(word, sorts[i].word) == 0)
			return (int)i;
	return -1;
}

const char *text_sort_name(enum text_sort sort)
{
	return sorts[sort].name;
}

const char *text_key(const struct text *text, s64 key, char *out)
{
	switch (text->sort) {
	case SORT_GROWTH:
		return figures_growth(out, key);
	case SORT_BLOCKS:
	case SORT_TEMPORARY:
		return units_count(out, (u64)key);
	default:
		return units_bytes(out, (u64)key);
	}
}

static s64 key_of(enum text_sort sort, const struct text_row *row)
{
	switch (sort) {
	case SORT_BLOCKS:
		return (s64)row->site->live_blocks;
	case SORT_TOTAL:
		return (s64)row->site->total_bytes;
	case SORT_PEAK:
		return (s64)row->site->peak_bytes;
	case SORT_TEMPORARY:
		return (s64)row->site->temporary;
	case SORT_GROWTH:
		return row->growth;
	default:
		return (s64)row->site->live_bytes;
	}
}

/* Largest key first; then by live and total bytes; then by stack, so that equal captures look equal. */
static int by_key(const void *a, const void *b)
{
	const struct text_row *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? 1 : -1;
	if (x->site->live_bytes != y->site->live_bytes)
		return x->site->live_bytes < y->site->live_bytes ? 1 : -1;
	if (x->site->total_bytes != y->site->total_bytes)
		return x->site->total_bytes < y->site->total_bytes ? 1 : -1;
	return x->site->stack < y->site->stack ? -1 : x->site->stack > y->site->stack;
}

/* The live bytes that each stack had in the snapshot before, malloc'ed. */
static u64 *live_before(const struct text *text)
{
	u64 *live = calloc(text->capture->stacks_n + 1, sizeof(*live));

	for (size_t i = 0; live && text->before && i < text->before->sites_n; i++)
		live[text->before->sites[i].stack] = text->before->sites[i].live_bytes;
	return live;
}

int text_rows_select(struct text *text)
{
	const struct capture_snapshot *snapshot = text->snapshot;
	_cleanup_free_ u64 *before = live_before(text);

	text->rows = malloc((snapshot->sites_n + 1) * sizeof(*text->rows));
	text->classes = blame_classify_all(text->capture);
	if (!before || !text->rows || !text->classes)
		return -ENOMEM;
	for (size_t i = 0; i < snapshot->sites_n; i++) {
		const struct capture_site *site = &snapshot->sites[i];
		struct text_row row = {.site = site, .stack = &text->capture->stacks[site->stack]};

		row.growth = (s64)(site->live_bytes - before[site->stack]);
		row.key = key_of(text->sort, &row);
		if (!row.key)
			continue;
		if (row.key > 0)
			text->key_sum += (u64)row.key;
		row.blame = blame_stack(text->classes, row.stack);
		text->rows[text->rows_n++] = row;
	}
	qsort(text->rows, text->rows_n, sizeof(*text->rows), by_key);
	return 0;
}

void text_rows_deinit(struct text *text)
{
	free(text->rows);
	free(text->classes);
}
