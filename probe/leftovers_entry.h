/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_LEFTOVERS_ENTRY_H
#define MEMATTACH_PROBE_LEFTOVERS_ENTRY_H

#include "attach/tracee.h"
#include "proc/maps.h"

/*
 * The code of a system call that was being made when memattach was killed stands
 * where the program starts, instead of the program's own. It is in nobody's way,
 * but it is a trace. What belongs there is read from the program's file.
 */

/* Whether a thread (all are stopped) stands in that code, and has to run on first. */
bool leftovers_entry_busy(struct tracee *tracee, u64 entry);

/* Puts the program's own code back. 0; -errno if it cannot be had. */
int leftovers_entry_restore(const struct tracee *tracee, u64 entry, const struct maps *maps);

#endif
