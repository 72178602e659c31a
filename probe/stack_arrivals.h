/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_STACK_ARRIVALS_H
#define MEMATTACH_PROBE_STACK_ARRIVALS_H

#include "agent/channel.h"
#include "base/types.h"
#include "unwind/unwind.h"

/*
 * Stacks that come through the ring in pieces. The pieces of one stack belong together by the
 * stack pointer of the call, which no two calls have at the same time; pieces of
 * several stacks may be mixed.
 */
struct stack_arrivals;

struct arrived_stack {
	u64 sp, hash;
	u32 n;
	enum unwind_end end;
	bool open;
	u64 pcs[CHANNEL_DEPTH_MAX + 2];
};

struct stack_arrivals *stack_arrivals_create(void); /* NULL: out of memory */
void stack_arrivals_destroy(struct stack_arrivals *arrivals);

/* CHANNEL_STACK, CHANNEL_FRAMES (three lookup addresses) */
void stack_arrivals_begin(struct stack_arrivals *arrivals, u64 sp, u64 hash);
void stack_arrivals_add(struct stack_arrivals *arrivals, u64 sp, const u64 pcs[3]);

/*
 * CHANNEL_STACK_END: the whole stack, valid until the next call, or NULL if a
 * piece of it is missing. count is its word[2].
 */
const struct arrived_stack *stack_arrivals_end(struct stack_arrivals *arrivals, u64 sp, u64 hash,
					       u64 count);

#endif
