// SPDX-License-Identifier: MIT
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "tests/capture_query.h"

static struct truth_sums last;

struct truth_sums truth_sums_last(void)
{
	return last;
}

/* How many frames deep the site may be, for each kind of truth. */
static size_t depth_of(const char *kind)
{
	if (strcmp(kind, "direct") == 0)
		return 1;
	return strcmp(kind, "through") == 0 ? 4 : 8;
}

static bool ends_in(const char *name, const char *suffix)
{
	size_t n = strlen(name), m = strlen(suffix);

	return n >= m && strcmp(name + n - m, suffix) == 0;
}

static void compare(json_t *capture, const char *line, const char *suffix, bool temporary)
{
	char name[64], kind[16];
	struct figures truth, seen;
	bool live_only, agrees;

	ck_assert_int_eq(sscanf(line, "site %63s %15s %ld %ld %ld %ld %ld %ld", name, kind,
				&truth.live_bytes, &truth.live_blocks, &truth.total_bytes,
				&truth.allocations, &truth.frees, &truth.temporary),
			 8);
	if (!ends_in(name, suffix))
		return;
	last.sites++;
	capture_site(capture, name, depth_of(kind), &seen);
	live_only = strcmp(kind, "live") == 0;
	agrees = seen.live_bytes == truth.live_bytes && seen.live_blocks == truth.live_blocks;
	if (!live_only)
		agrees = agrees && seen.total_bytes == truth.total_bytes &&
			 seen.allocations == truth.allocations && seen.frees == truth.frees;
	if (!live_only && temporary)
		agrees = agrees && seen.temporary == truth.temporary;
	ck_assert_msg(agrees,
		      "at %s (%s) the truth is live %ld in %ld, total %ld in %ld, freed %ld, "
		      "temporary %ld; the capture says live %ld in %ld, total %ld in %ld, freed "
		      "%ld, temporary %ld",
		      name, kind, truth.live_bytes, truth.live_blocks, truth.total_bytes,
		      truth.allocations, truth.frees, truth.temporary, seen.live_bytes,
		      seen.live_blocks, seen.total_bytes, seen.allocations, seen.frees,
		      seen.temporary);
}

void capture_assert_truth(json_t *capture, struct target *target, const char *suffix,
			  bool temporary)
{
	const char *line;

	memset(&last, 0, sizeof(last));
	target_say(target, "truth");
	for (;;) {
		line = target_hear(target);
		if (strncmp(line, "site ", 5) == 0)
			compare(capture, line, suffix, temporary);
		else if (strcmp(line, "end") == 0)
			break;
		else
			ck_assert_msg(sscanf(line, "unknown %ld", &last.unknown_frees) == 1 ||
					      sscanf(line, "failed %ld", &last.failed) == 1,
				      "unexpected: %s", line);
	}
	ck_assert_uint_gt(last.sites, 0);
}

void capture_assert_whole_truth(json_t *capture, struct target *target)
{
	capture_assert_truth(capture, target, "", true);
	ck_assert_int_eq(capture_total(capture, "unknown_frees"), last.unknown_frees);
	ck_assert_int_eq(capture_total(capture, "failed_allocations"), last.failed);
}
