// SPDX-License-Identifier: MIT
#include "tests/capture_query.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

json_t *capture_load(const char *path)
{
	json_error_t error;
	json_t *capture = json_load_file(path, JSON_REJECT_DUPLICATES, &error);

	ck_assert_msg(capture != NULL, "%s, line %d: %s", path, error.line, error.text);
	ck_assert_str_eq(json_string_value(json_object_get(capture, "format")),
			 "memattach-capture");
	ck_assert_int_eq(json_integer_value(json_object_get(capture, "version")), 1);
	return capture;
}

static json_t *member(json_t *object, const char *name)
{
	json_t *value = json_object_get(object, name);

	ck_assert_msg(value != NULL, "the capture lacks %s", name);
	return value;
}

static long number(json_t *object, const char *name)
{
	json_t *value = member(object, name);

	ck_assert_msg(json_is_integer(value), "%s is no integer", name);
	return (long)json_integer_value(value);
}

json_t *capture_last(json_t *capture)
{
	json_t *snapshots = member(capture, "snapshots");

	ck_assert_uint_gt(json_array_size(snapshots), 0);
	return json_array_get(snapshots, json_array_size(snapshots) - 1);
}

long capture_total(json_t *capture, const char *name)
{
	return number(capture_last(capture), name);
}

static void add_site(struct figures *sum, json_t *site)
{
	sum->live_bytes += number(site, "live_bytes");
	sum->live_blocks += number(site, "live_blocks");
	sum->total_bytes += number(site, "total_bytes");
	sum->allocations += number(site, "total_allocations");
	sum->frees += number(site, "total_frees");
	sum->temporary += number(site, "temporary");
}

/* Estimates are rounded, each for itself. */
static void assert_sum(json_t *capture, const char *name, long sum)
{
	json_t *snapshot = capture_last(capture);
	bool estimated = json_is_true(member(snapshot, "estimated"));
	long slack = estimated ? (long)json_array_size(member(snapshot, "sites")) : 0;

	ck_assert_msg(labs(sum - capture_total(capture, name)) <= slack,
		      "%s: %ld, but its sites have %ld", name, capture_total(capture, name), sum);
}

void capture_assert_sums(json_t *capture)
{
	json_t *stacks = member(capture, "stacks"), *frames = member(capture, "frames");
	struct figures sum = {0};
	size_t i, j;
	json_t *site, *frame, *stack;
	bool estimated = json_is_true(member(capture_last(capture), "estimated"));

	json_array_foreach(member(capture_last(capture), "sites"), i, site)
	{
		ck_assert_uint_lt((size_t)number(site, "stack"), json_array_size(stacks));
		/* A block in the middle of a realloc is neither live nor freed. */
		ck_assert_int_le(number(site, "live_blocks"), number(site, "total_allocations") -
								      number(site, "total_frees") +
								      estimated);
		add_site(&sum, site);
	}
	assert_sum(capture, "live_bytes", sum.live_bytes);
	assert_sum(capture, "live_blocks", sum.live_blocks);
	assert_sum(capture, "total_bytes", sum.total_bytes);
	assert_sum(capture, "total_allocations", sum.allocations);
	assert_sum(capture, "total_frees", sum.frees);
	assert_sum(capture, "temporary", sum.temporary);
	ck_assert_int_eq(capture_total(capture, "lost_events"), 0);
	ck_assert_int_ge(capture_total(capture, "peak_bytes"),
			 capture_total(capture, "live_bytes"));
	json_array_foreach(stacks, i, stack)
	{
		json_array_foreach(stack, j, frame)
		{
			ck_assert_uint_lt((size_t)json_integer_value(frame),
					  json_array_size(frames));
		}
	}
}

const char *capture_function(json_t *capture, size_t stack, size_t i)
{
	json_t *frames = json_array_get(member(capture, "stacks"), stack);
	json_t *frame, *function;

	ck_assert_ptr_nonnull(frames);
	if (i >= json_array_size(frames))
		return NULL;
	frame = json_array_get(member(capture, "frames"),
			       (size_t)json_integer_value(json_array_get(frames, i)));
	function = member(frame, "function");
	return json_is_null(function) ? "?" : json_string_value(function);
}

/* C++ names carry their parameters, "f(int)": f names it, too. */
static bool same_function(const char *full, const char *wanted)
{
	size_t n = strlen(wanted);

	return strncmp(full, wanted, n) == 0 && (full[n] == '\0' || full[n] == '(');
}

static bool stack_has(json_t *capture, size_t stack, const char *function, size_t depth)
{
	const char *name;

	for (size_t i = 0; i < depth && (name = capture_function(capture, stack, i)); i++)
		if (same_function(name, function))
			return true;
	return false;
}

bool capture_site(json_t *capture, const char *function, size_t depth, struct figures *sum)
{
	bool found = false;
	json_t *site;
	size_t i;

	memset(sum, 0, sizeof(*sum));
	json_array_foreach(member(capture_last(capture), "sites"), i, site)
	{
		if (!stack_has(capture, (size_t)number(site, "stack"), function, depth))
			continue;
		found = true;
		add_site(sum, site);
	}
	return found;
}

const char *capture_cut(json_t *capture, size_t stack)
{
	json_t *cut;
	size_t i;

	json_array_foreach(member(capture, "cut_stacks"), i, cut)
	{
		if ((size_t)number(cut, "stack") == stack)
			return json_string_value(member(cut, "reason"));
	}
	return NULL;
}

size_t capture_stack_of(json_t *capture, const char *function, size_t depth)
{
	size_t n = json_array_size(member(capture, "stacks")), found = n;

	for (size_t i = 0; i < n; i++) {
		if (!stack_has(capture, i, function, depth))
			continue;
		if (found != n)
			ck_abort_msg("two stacks begin with %s: %s; and %s", function,
				     capture_stack_text(capture, found),
				     capture_stack_text(capture, i));
		found = i;
	}
	ck_assert_msg(found != n, "no stack begins with %s", function);
	return found;
}

char *capture_stack_text(json_t *capture, size_t stack)
{
	const char *name, *cut = capture_cut(capture, stack);
	char *text = NULL;
	size_t size;
	FILE *f = open_memstream(&text, &size);

	ck_assert_ptr_nonnull(f);
	for (size_t i = 0; (name = capture_function(capture, stack, i)); i++)
		fprintf(f, "%s%s", i ? " < " : "", name);
	if (cut)
		fprintf(f, " (cut: %s)", cut);
	fclose(f);
	return text;
}

void capture_assert_stack(json_t *capture, size_t stack, const char *const *functions)
{
	bool skip = false;
	size_t i = 0;

	for (; *functions; functions++) {
		const char *name;

		if (strcmp(*functions, "*") == 0) {
			skip = true;
			continue;
		}
		while ((name = capture_function(capture, stack, i++)) && skip &&
		       !same_function(name, *functions))
			;
		if (!name || !same_function(name, *functions))
			ck_abort_msg("expected %s at frame %zu of: %s", *functions, i - 1,
				     capture_stack_text(capture, stack));
		skip = false;
	}
}

double capture_share_through(json_t *capture, const char *function)
{
	double live = 0, through = 0;
	json_t *site;
	size_t i;

	json_array_foreach(member(capture_last(capture), "sites"), i, site)
	{
		double bytes = (double)number(site, "live_bytes");

		live += bytes;
		if (stack_has(capture, (size_t)number(site, "stack"), function, 1000))
			through += bytes;
	}
	return live > 0 ? through / live : 1;
}
