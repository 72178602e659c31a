/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_SMAPS_H
#define MEMATTACH_PROC_SMAPS_H

#include "base/err.h"
#include "base/types.h"

/* Sums over the mappings of a process, in bytes. */
struct smaps_totals {
	u64 rss, pss, swap;
	/* rss by kind, see struct proc_usage */
	u64 heap, anonymous, stack, file, shared;
	u64 mappings;
};

#define SMAPS_LINE_MAX 512

/*
 * Reads smaps as it comes, in pieces of any size, and keeps nothing but the line
 * that is not whole yet: a process can have 65,530 mappings and more. Of a line
 * longer than SMAPS_LINE_MAX only the beginning counts, where the figures are.
 */
struct smaps_parser {
	struct smaps_totals totals;
	const u64 *stack_pointers; /* sorted, borrowed; mappings that hold one are stacks */
	size_t n_stack_pointers;
	u64 *kind; /* the total that the present mapping's rss belongs to; NULL before the first */
	size_t len;
	char line[SMAPS_LINE_MAX];
};

/* stack_pointers may be NULL when n is 0. Nothing to release. */
void smaps_init(struct smaps_parser *parser, const u64 *stack_pointers, size_t n);
void smaps_feed(struct smaps_parser *parser, const char *text, size_t len);

/* Takes the last line, if it has no newline. totals are complete then. */
void smaps_finish(struct smaps_parser *parser);

/*
 * Reads /proc/PID/NAME, name being "smaps" or "smaps_rollup" (which has no kinds).
 * 0 or -errno with err filled; -ESRCH when the process is gone, or a zombie.
 */
int smaps_read(struct smaps_totals *totals, pid_t pid, const char *name, const u64 *stack_pointers,
	       size_t n, struct err *err);

#endif
