/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_AVAILABLE_H
#define MEMATTACH_PROC_AVAILABLE_H

#include "base/types.h"
#include "proc/cgroup.h"

/*
 * How many bytes of memory this process could get before something is killed for it: what the
 * machine has available, or what is left to its cgroups, or its own limit of address space.
 */
u64 available_memory(void);

/*
 * The same from what it depends on: what the machine has, the cgroups' limit and what is used of it
 * (cgroup_read), and the limit of address space, all in bytes. 0: nothing is left.
 */
u64 available_within(u64 machine, const struct cgroup_memory *cgroup, u64 address_space);

/* "MemAvailable" of the text of /proc/meminfo, in bytes; 0 if it is not there or malformed. */
u64 available_parse(const char *text);

#endif
