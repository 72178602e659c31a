/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_LEDGER_STACKS_H
#define MEMATTACH_LEDGER_STACKS_H

#include "base/err.h"
#include "base/types.h"

/*
 * Interned call stacks. A stack is an array of frames (base/frame.h), leaf
 * first; equal arrays get the same id. Ids are dense and start at 0.
 */
struct stacks;

struct stacks *stacks_create(struct err *err);
void stacks_destroy(struct stacks *stacks);

/* The id of these n frames (n may be 0) into *id. Returns 0 or -ENOMEM. */
int stacks_intern(struct stacks *stacks, const u64 *frames, u32 n, u32 *id);

/* The frames of stack id, *n of them; owned by stacks, valid until the next intern. */
const u64 *stacks_frames(const struct stacks *stacks, u32 id, u32 *n);

u32 stacks_count(const struct stacks *stacks);

/* Bytes of memory that the stacks occupy. */
size_t stacks_memory(const struct stacks *stacks);

#endif
