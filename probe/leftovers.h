/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_LEFTOVERS_H
#define MEMATTACH_PROBE_LEFTOVERS_H

#include "base/err.h"
#include "base/types.h"
#include "proc/mem.h"

/*
 * What a memattach that was killed has left in a process: breakpoints, areas,
 * the agent as the handler of SIGTRAP. The areas' own tables say all that is
 * needed to take it out.
 */

/* Whose traces are meant. */
struct leftovers_of {
	pid_t owner; /* process id of the memattach that was killed; 0: anybody's, right when there is no tracer */
	u64 unfinished; /* where it was about to map an area, which has no header yet; 0: nowhere */
};

/*
 * Only puts the bytes under the breakpoints back, through mem, without stopping
 * anything: quick, and possible with a descriptor that was opened earlier.
 * Returns how many areas there are, or -errno.
 */
int leftovers_lift(pid_t pid, const struct leftovers_of *of, const struct proc_mem *mem);

/*
 * Takes everything out: breakpoints, threads in displaced code, the handler,
 * the areas. patience_ms is how long to wait for another tracer to go. Returns
 * how many areas were removed, 0 if there was nothing, or -errno with err filled;
 * the breakpoints are gone in that case, too.
 */
int leftovers_remove(pid_t pid, const struct leftovers_of *of, u32 patience_ms, struct err *err);

#endif
