/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_LEFTOVERS_LIFT_H
#define MEMATTACH_PROBE_LEFTOVERS_LIFT_H

#include "probe/leftovers_find.h"

/*
 * Puts the target's own code back where the tables of areas say that there is a
 * breakpoint, and switches the recording of their jumps off. stopped: all threads
 * stand still, and the jumps are taken out as well. 0, or the first -errno; then some
 * may still be in.
 */
int traces_lift(const struct traces *traces, const struct maps *maps, const struct proc_mem *mem,
		bool stopped);

#endif
