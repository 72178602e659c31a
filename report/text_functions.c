// SPDX-License-Identifier: MIT
/*
 * The same bytes by function instead of by stack. Own: the function is the guilty one
 * of a stack; total: it is anywhere in the stack, that is, what it and everything that it calls
 * has allocated. Own finds the allocating code when it is called from everywhere, total the
 * subsystem behind many small allocations.
 *
 * A table by total alone would begin with main and the ten functions below it
 * that all hold 100 %. So of the functions that are in exactly the same set
 * of stacks only the one nearest to the leaf is listed. Sets are compared by
 * the sum of a hash of each stack in them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/guard.h"
#include "base/hash.h"
#include "report/names.h"
#include "report/text_parts.h"
#include "report/figures.h"

#define FUNCTIONS_MAX 10

struct function {
	const struct capture_frame *frame; /* one of its frames, for its name */
	u64 own, total;
	u64 set;      /* the stacks that it is in, hashed */
	u64 distance; /* from the leaf, summed over these stacks */
	size_t seen;  /* the last row that counted it, + 1 */
	bool is_library;
};

struct functions {
	struct function *items;
	size_t n;
	u32 *of_frame; /* index into items + 1, 0: the frame has no name */
	u32 *slots;    /* hash of name and module -> index into items + 1 */
	size_t slots_n;
};

/* FNV-1a, 64 bits (Fowler, Noll, Vo; public domain). */
static u64 hash_string(u64 hash, const char *s)
{
	for (; s && *s; s++)
		hash = (hash ^ (u8)*s) * 0x100000001b3ULL;
	return hash;
}

static bool is_same(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static u32 intern(struct functions *functions, const struct capture_frame *frame, bool is_library)
{
	u64 i = hash_u64(
		hash_string(hash_string(0xcbf29ce484222325ULL, frame->function), frame->module));
	struct function *function;
	u32 slot;

	for (; (slot = functions->slots[i & (functions->slots_n - 1)]); i++) {
		function = &functions->items[slot - 1];
		if (is_same(function->frame->function, frame->function) &&
		    is_same(function->frame->module, frame->module))
			return slot;
	}
	function = &functions->items[functions->n++];
	function->frame = frame;
	function->is_library = is_library;
	functions->slots[i & (functions->slots_n - 1)] = (u32)functions->n;
	return (u32)functions->n;
}

static int collect(struct functions *functions, const struct text *text)
{
	const struct capture *capture = text->capture;

	functions->slots_n = 64;
	while (functions->slots_n < 2 * capture->frames_n)
		functions->slots_n *= 2;
	functions->items = calloc(capture->frames_n + 1, sizeof(*functions->items));
	functions->of_frame = calloc(capture->frames_n + 1, sizeof(*functions->of_frame));
	functions->slots = calloc(functions->slots_n, sizeof(*functions->slots));
	if (!functions->items || !functions->of_frame || !functions->slots)
		return -ENOMEM;
	for (size_t i = 0; i < capture->frames_n; i++)
		if (capture->frames[i].function)
			functions->of_frame[i] = intern(functions, &capture->frames[i],
							text->classes[i] != BLAME_USER);
	return 0;
}

static void count_row(struct functions *functions, const struct text_row *row, size_t number)
{
	u64 key = row->key > 0 ? (u64)row->key : 0;

	for (u32 i = 0; i < row->stack->n; i++) {
		u32 slot = functions->of_frame[row->stack->frames[i]];
		struct function *function = slot ? &functions->items[slot - 1] : NULL;

		if (!function)
			continue;
		if (i == row->blame.guilty)
			function->own += key;
		if (function->seen == number + 1)
			continue; /* recursion counts once */
		function->seen = number + 1;
		function->total += key;
		function->set += hash_u64(number + 1);
		function->distance += i;
	}
}

/* The same set of stacks side by side, the one to keep first: not a library's, then nearest to the leaf. */
static int by_set(const void *a, const void *b)
{
	const struct function *x = a, *y = b;

	if (x->set != y->set)
		return x->set < y->set ? -1 : 1;
	if (x->is_library != y->is_library)
		return x->is_library - y->is_library;
	if (x->own != y->own)
		return x->own < y->own ? 1 : -1;
	return x->distance < y->distance ? -1 : x->distance > y->distance;
}

static int by_total(const void *a, const void *b)
{
	const struct function *x = a, *y = b;

	if (x->total != y->total)
		return x->total < y->total ? 1 : -1;
	if (x->own != y->own)
		return x->own < y->own ? 1 : -1;
	return strcmp(x->frame->function, y->frame->function);
}

/* Keeps what the table is to list, in its order. */
static void choose(struct functions *functions)
{
	size_t n = 0;

	qsort(functions->items, functions->n, sizeof(*functions->items), by_set);
	for (size_t i = 0; i < functions->n; i++) {
		const struct function *function = &functions->items[i];

		if (!function->total || (function->is_library && !function->own))
			continue;
		if (n && functions->items[n - 1].set == function->set)
			continue;
		functions->items[n++] = *function;
	}
	functions->n = n;
	qsort(functions->items, n, sizeof(*functions->items), by_total);
}

static void write_function(struct text *text, const struct function *function, u32 width)
{
	struct line *line = &text->line;
	char name[512], figure[UNITS_MAX];
	const char *module = function->frame->module;

	line_style(line, STYLE_HEADING);
	line_add_right(line, text_key(text, (s64)function->total, figure), width);
	line_style(line, STYLE_NONE);
	line_add_right(line, figures_percent(figure, function->total, text->key_sum), 9);
	line_add(line, "  ");
	line_add_right(line, text_key(text, (s64)function->own, figure), width);
	line_add_right(line, figures_percent(figure, function->own, text->key_sum), 9);
	line_add(line, "  ");
	text_function_short(function->frame, name, sizeof(name));
	line_style(line, STYLE_HEADING);
	line_add_short(line, name, strlen(name),
		       text->width > line->columns + 20 ? text->width - line->columns : 20);
	line_style(line, STYLE_DIM);
	if (function->frame->file)
		module = names_tail(function->frame->file);
	else if (module)
		module = names_base(module);
	if (module && line->columns + 3 + line_columns(module, strlen(module)) <= text->width) {
		line_add(line, "  ");
		line_add_foreign(line, module, strlen(module));
	}
	line_end(line, text->f);
}

static void write_table(struct text *text, const struct functions *functions)
{
	size_t shown = functions->n < FUNCTIONS_MAX ? functions->n : FUNCTIONS_MAX;
	char figure[UNITS_MAX];
	u32 width = 6;

	text_heading(text,
		     text->snapshot->estimated
			     ? "By function, estimated: own is allocated there, total there and in "
			       "all it calls"
			     : "By function: own is allocated there, total there and in all it "
			       "calls");
	for (size_t i = 0; i < shown; i++) {
		u32 n = (u32)strlen(text_key(text, (s64)functions->items[i].total, figure));

		if (n > width)
			width = n;
	}
	line_style(&text->line, STYLE_DIM);
	line_add(&text->line, "%*s%9s  %*s%9s  function", (int)width, "total", "share", (int)width,
		 "own", "share");
	line_end(&text->line, text->f);
	for (size_t i = 0; i < shown; i++)
		write_function(text, &functions->items[i], width);
}

int text_write_functions(struct text *text)
{
	struct functions functions = {0};
	int ret = collect(&functions, text);

	if (!ret) {
		for (size_t i = 0; i < text->rows_n; i++)
			count_row(&functions, &text->rows[i], i);
		choose(&functions);
		if (functions.n > 1)
			write_table(text, &functions);
	}
	free(functions.items);
	free(functions.of_frame);
	free(functions.slots);
	return ret;
}
