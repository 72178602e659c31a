/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_NESTING_H
#define MEMATTACH_PROBE_NESTING_H

#include "probe/probes_internal.h"

/*
 * Whether a call of an allocator function is the program's, or one that another
 * allocator function makes, which does not count. For probes.c.
 */

/*
 * Walks the stack of a thread on the first byte of the function at entry, at
 * most max frames, into probes->pcs; the first is the function itself. *n says how many.
 */
enum unwind_end nesting_walk(struct probes *probes, struct thread *thread, u64 entry, u32 max,
			     u32 *n);

/* What stands at the top of the stack sp on a function's first byte; 0 if it cannot be read. */
u64 nesting_return_address(const struct probes *probes, u64 sp);

/* Whether the innermost open call has come to entry by a jump. Costs a read only if that may be. */
bool nesting_is_tail_call(const struct probes *probes, const struct calls *calls, u64 entry,
			  u64 sp);

/* Whether the call of entry is made inside the open call at position alive - 1; alive > 0. */
bool nesting_is_nested(struct probes *probes, struct thread *thread, struct calls *calls, u64 entry,
		       u32 alive);

#endif
