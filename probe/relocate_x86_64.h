/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_RELOCATE_X86_64_H
#define MEMATTACH_PROBE_RELOCATE_X86_64_H

#include "base/types.h"

/*
 * Out-of-line execution: the instruction under a breakpoint, rewritten so that
 * it can run at another address (a slot) with the same effect, followed by a
 * jump back behind the original.
 */
#define SLOT_SIZE       64
#define INSTRUCTION_MAX 15

struct slot_code {
	u8 bytes[SLOT_SIZE];
	u32 length;
	u32 instruction_length; /* of the original */
	/*
	 * Offset in the slot at which the thread's state is that of the original
	 * program just behind the instruction; 0 if there is no such place.
	 */
	u32 after;
};

/*
 * Rewrites the instruction at code (available bytes of it readable), which is at
 * address in the target, for a slot at slot. Returns 0; -EOPNOTSUPP if this
 * instruction must run in its place (system calls, loop, jrcxz, int3, anything
 * that cannot be decoded); -ERANGE if an operand is too far from this slot.
 */
int relocate_instruction(const u8 *code, size_t available, u64 address, u64 slot,
			 struct slot_code *out);

#endif
