/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_AGENT_ROWS_H
#define MEMATTACH_PROBE_AGENT_ROWS_H

#include "base/err.h"
#include "unwind/compile.h"

/*
 * The rows of an area (agent/abi.h), from its first byte on: the agent's code,
 * marked as no part of the program, and the slots. They serve all areas. Release
 * with unwind_table_deinit. 0 or -errno.
 */
int agent_rows_compile(struct unwind_table *table, struct err *err);

#endif
