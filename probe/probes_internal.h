/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_PROBES_INTERNAL_H
#define MEMATTACH_PROBE_PROBES_INTERNAL_H

/* Shared by probes.c and remove.c and by nothing else. */
#include "probe/area.h"
#include "probe/breakpoints.h"
#include "probe/calls.h"
#include "probe/probes.h"

struct probes {
	struct tracee *tracee;
	struct unwinder *unwinder;
	struct areas *areas;
	struct breakpoints *breakpoints;
	struct probe_host host;
	u32 depth;
	u64 pcs[UNWIND_MAX_DEPTH + 1];
};

/*
 * Whether thread, which has a SIGTRAP and stands right behind bp, did not get it
 * from bp but from somebody who sent it.
 */
bool probes_was_sent(const struct thread *thread, const struct breakpoint *bp);

/* Whether thread stands at a return that a debug register watches for us. */
bool probes_watches(const struct thread *thread);

#endif
