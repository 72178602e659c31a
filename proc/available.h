/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROC_AVAILABLE_H
#define MEMATTACH_PROC_AVAILABLE_H

#include "base/types.h"

/*
 * How many bytes of memory this process could get before something is killed for it: what the
 * machine has available, or what is left to its cgroups, or its own limit of address space.
 */
u64 available_memory(void);

/* "MemAvailable" of the text of /proc/meminfo, in bytes; 0 if it is not there or malformed. */
u64 available_parse(const char *text);

#endif
