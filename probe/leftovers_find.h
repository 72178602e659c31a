/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_LEFTOVERS_FIND_H
#define MEMATTACH_PROBE_LEFTOVERS_FIND_H

#include "base/types.h"
#include "probe/stack_scan.h"
#include "proc/maps.h"
#include "proc/mem.h"

/* What there is of a memattach that was killed, by its places in the target. */
struct traces {
	u64 *areas; /* where they begin, ascending */
	size_t areas_n, areas_cap;
	struct address_range *channels; /* where one is mapped */
	size_t channels_n, channels_cap;
	int *fds; /* the target's descriptors of one */
	size_t fds_n, fds_cap;
};

/*
 * Looks for areas, of this owner only (0: of anybody) or where one was about to be
 * finished (0: nowhere), for channels and for descriptors. An area is found by its
 * permissions, its alignment and its header. 0 or -errno; release with traces_deinit.
 */
int traces_find(struct traces *traces, const struct maps *maps, const struct proc_mem *mem,
		pid_t owner, u64 unfinished);
void traces_deinit(struct traces *traces);

/* Whether there are any. */
bool traces_any(const struct traces *traces);

#endif
