/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_AGENT_ON_STACK_H
#define MEMATTACH_PROBE_AGENT_ON_STACK_H

#include "attach/thread.h"
#include "probe/stack_scan.h"
#include "proc/maps.h"
#include "proc/mem.h"
#include "unwind/unwind.h"

/*
 * Will a stopped thread come back to an area: does it stand in one, or is there, on
 * its stack, a return address of the agent's or a signal frame that leads to an area?
 */
enum agent_on_stack {
	AGENT_NOT_THERE,
	AGENT_IS_THERE,
	AGENT_MAY_BE_THERE, /* a scan says so, but that may have found remnants of calls that are over */
};

/* Whether an address in an area is where the function that was called from there returns to. */
bool agent_is_return(const struct proc_mem *mem, u64 address);

/*
 * A scan of the stack, by what return addresses and signal frames look like; it
 * goes on to the stack that a signal has interrupted. areas: sorted. 0 or -errno.
 */
int agent_scan_stack(const struct maps *maps, const struct proc_mem *mem,
		     const struct thread_regs *regs, const struct address_range *areas, size_t n,
		     enum agent_on_stack *found);

/*
 * A walk of the stack of thread tid by an unwinder that has the rows of the areas.
 * AGENT_MAY_BE_THERE: it has not got to the end, or has guessed its way there.
 */
enum agent_on_stack agent_walk_stack(struct unwinder *unwinder, pid_t tid,
				     const struct thread_regs *regs);

#endif
