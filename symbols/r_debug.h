/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_SYMBOLS_R_DEBUG_H
#define MEMATTACH_SYMBOLS_R_DEBUG_H

#include "base/err.h"
#include "base/reader.h"
#include "base/types.h"
#include "symbols/modules.h"

/*
 * The dynamic linker's rendezvous with debuggers, struct r_debug of <link.h>: its
 * r_brk is a function that it calls before and after each change of the list of
 * loaded modules, with r_state telling which.
 */
struct r_debug_info {
	u64 address; /* of the struct, in the target; 0 if it has none yet, or is static */
	u64 brk;     /* r_brk: the address to put a breakpoint on; 0 if none */
};

/*
 * Finds it: _r_debug and _dl_debug_state (or their musl names) in the dynamic
 * linker, else DT_DEBUG of the program. Works before the dynamic linker has run
 * (then brk comes from the symbol). A static program has none: both 0 and no
 * error. Returns 0 or -errno.
 */
int r_debug_find(const struct modules *modules, const struct mem_reader *memory,
		 struct r_debug_info *info, struct err *err);

/* r_state now: 0 RT_CONSISTENT, 1 RT_ADD, 2 RT_DELETE; -errno if it cannot be read. */
int r_debug_state(const struct r_debug_info *info, const struct mem_reader *memory);

#endif
