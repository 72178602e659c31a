/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_RELOCATE_X86_64_H
#define MEMATTACH_PROBE_RELOCATE_X86_64_H

#include "base/types.h"

/*
 * Out-of-line execution: the instruction under a breakpoint, or those that a jump
 * over a function's beginning displaces, rewritten so that they can run at another
 * address (a slot) with the same effect, followed by a jump back behind the
 * original.
 */
#define SLOT_SIZE       64 /* room for code in a slot: AGENT_SLOT_CODE */
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

#define JUMP_BYTES         5  /* of the jump over a function's beginning: AGENT_JUMP */
#define PROLOGUE_DISPLACED 16 /* original bytes at most: agent_slot.original */
#define PROLOGUE_STEPS     7  /* AGENT_SLOT_STEPS */

/* The beginning of a function, for a slot. */
struct prologue {
	u8 bytes[SLOT_SIZE];
	u32 length;
	u32 displaced; /* original bytes: whole instructions */
	/*
	 * A thread at to[i] of the slot is in the state of the program at from[i] of
	 * the function; the first are 0 and 0, the last, if the code leads back, are
	 * displaced and the jump back. They are all places of the slot at which a
	 * thread can stand, but one: where a call ends the prologue, its return address
	 * has been pushed and the jump to its target is next. From there one single
	 * step leads out of the slot.
	 */
	u32 steps;
	u8 from[PROLOGUE_STEPS], to[PROLOGUE_STEPS];
};

/*
 * Rewrites the whole instructions at code that cover its first min_bytes bytes
 * (JUMP_BYTES), as relocate_instruction does. Conditional jumps may stand
 * anywhere; a call, a jump or a return only at the end. Returns 0; -EOPNOTSUPP if an instruction
 * must run in its place, does not go on to the next one, or branches to one of
 * the others; -ERANGE if a branch or an operand is too far from this slot;
 * -ENOSPC if it is more than a slot has room for.
 */
int relocate_prologue(const u8 *code, size_t available, u64 address, u64 slot, u32 min_bytes,
		      struct prologue *out);

#endif
