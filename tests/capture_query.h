/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_CAPTURE_QUERY_H
#define MEMATTACH_TESTS_CAPTURE_QUERY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "tests/target_process.h"

/*
 * Questions that tests ask of a capture file, read with jansson and not with
 * report/json.h, so that writer and reader cannot be wrong together. All of
 * these fail the test when the file is not as FORMATS.md says. They look at
 * the last snapshot.
 */
struct figures {
	long live_bytes, live_blocks, total_bytes, allocations, frees, temporary;
};

/* Reads a capture file; the caller decrefs. */
json_t *capture_load(const char *path);

/* The totals of the last snapshot must be the sums over its sites, its stacks and frames exist. */
void capture_assert_sums(json_t *capture);

/* The last snapshot. */
json_t *capture_last(json_t *capture);

/* An integer of the last snapshot, as "live_bytes". */
long capture_total(json_t *capture, const char *name);

/* The sum over all sites with this function among their first `depth` frames. False: there is none. */
bool capture_site(json_t *capture, const char *function, size_t depth, struct figures *sum);

/* The function of frame i of a stack (index); "?" when it has no name. NULL: the stack ends before. */
const char *capture_function(json_t *capture, size_t stack, size_t i);

/* Why a stack is cut: "depth", "lost"; NULL: it is whole. */
const char *capture_cut(json_t *capture, size_t stack);

/*
 * The index of the stack with this function among its first `depth` frames;
 * there must be exactly one.
 */
size_t capture_stack_of(json_t *capture, const char *function, size_t depth);

/* All functions of a stack as "leaf < caller < ...", malloc'ed; for messages and comparisons. */
char *capture_stack_text(json_t *capture, size_t stack);

/*
 * The functions of a stack, leaf first, must be these, NULL-terminated: "*"
 * stands for any number of frames, "main" for example ends most lists, and what
 * comes after the last one does not matter.
 */
void capture_assert_stack(json_t *capture, size_t stack, const char *const *functions);

/* How much of all live bytes has a stack that passes this function, 0 to 1; 1 if nothing is live. */
double capture_share_through(json_t *capture, const char *function);

/*
 * Asks an engine target for its truth; it must agree with the capture at each
 * site whose name ends in suffix ("" for all). With temporary false those
 * figures are not compared: handlers that allocate make them fuzzy.
 */
void capture_assert_truth(json_t *capture, struct target *target, const char *suffix,
			  bool temporary);

/* The same at every site, and for what belongs to none: unknown frees and failed allocations. */
void capture_assert_whole_truth(json_t *capture, struct target *target);

/* What the target said last in answer to that. */
struct truth_sums {
	long unknown_frees, failed;
	size_t sites; /* that were compared */
};
struct truth_sums truth_sums_last(void);

#endif
