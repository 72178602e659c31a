/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_LEFTOVERS_H
#define MEMATTACH_PROBE_LEFTOVERS_H

#include "base/err.h"
#include "base/types.h"
#include "proc/mem.h"
#include "unwind/unwind.h"

/*
 * What a memattach that was killed has left in a process: breakpoints and jumps,
 * areas, the agent as the handler of SIGTRAP, a channel. The areas' own tables say
 * all that is needed to take it out.
 */

/* Whose traces are meant, and what helps to take them out. */
struct leftovers_of {
	pid_t owner; /* process id of the memattach that was killed; 0: anybody's, right when there is no tracer */
	u64 unfinished; /* where it was about to map an area, which has no header yet; 0: nowhere */
	/*
	 * Makes an unwinder for the process, which the maker frees in the end; NULL: there is
	 * none. It is slow, and called without a thread being stopped, at most once, if stacks
	 * have to be walked. May be NULL.
	 */
	struct unwinder *(*unwinder)(void *ctx);
	void *ctx;
};

/*
 * Without stopping anything, through mem: puts the bytes under the breakpoints back,
 * and has jumps pass on what they see. Quick, and possible with a descriptor that
 * was opened earlier. 0 or -errno.
 */
int leftovers_lift(pid_t pid, const struct leftovers_of *of, const struct proc_mem *mem);

/*
 * Takes everything out: breakpoints and jumps, threads in displaced code, the handler,
 * areas, channels. patience_ms is how long to wait for another tracer to go. Returns
 * 1 if there was something, 0 if there was nothing, or -errno with err filled; -EBUSY
 * if a thread stays in a call that the agent has made: breakpoints and jumps are out
 * then, and the rest has no effect.
 */
int leftovers_remove(pid_t pid, const struct leftovers_of *of, u32 patience_ms, struct err *err);

#endif
