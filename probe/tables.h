/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_TABLES_H
#define MEMATTACH_PROBE_TABLES_H

#include "agent/channel.h"
#include "base/err.h"
#include "base/types.h"
#include "unwind/unwind.h"

/*
 * The unwind tables that the agent walks by: modules and their rows, in the
 * channel. Rows are written as modules are added, which may be done while the
 * target runs; the list of modules changes by tables_publish alone.
 */
struct tables;

/*
 * For a channel of size bytes as it was laid out (its offsets are checked, and copied:
 * the target may write there). It is borrowed. NULL with err filled: no memory, or a
 * broken layout.
 */
struct tables *tables_create(struct channel *channel, size_t size, struct err *err);
void tables_destroy(struct tables *tables);

/*
 * Code at [start, end), and its rows, which are copied. Where two overlap, as a
 * library that is mapped into a hole of another one, the later start wins. 0;
 * -ENOMEM; -ENOSPC, the first time that there is no room for a module or its rows:
 * then, and from then on with 0, it is added without them (its frames are followed by
 * their frame pointers).
 */
int tables_add(struct tables *tables, u32 id, u64 start, u64 end, const struct unwind_rows *rows,
	       struct err *err);

/* No longer mapped. An id that is not known is no error. */
void tables_remove(struct tables *tables, u32 id);

/*
 * Makes it so for the agent. Only with all threads of the target stopped. If a
 * module was removed the agent forgets which stacks are known, and hashes differently
 * from now on: an address may mean something else.
 */
void tables_publish(struct tables *tables);

#endif
