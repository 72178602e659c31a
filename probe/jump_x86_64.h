/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_JUMP_X86_64_H
#define MEMATTACH_PROBE_JUMP_X86_64_H

#include <string.h>

#include "agent/abi.h"
#include "base/types.h"

/* jmp rel32 at address to target, AGENT_JUMP bytes. False if that is too far. */
static inline bool jump_encode(u8 bytes[AGENT_JUMP], u64 address, u64 target)
{
	s64 distance = (s64)(target - (address + AGENT_JUMP));
	s32 rel = (s32)distance;

	bytes[0] = 0xe9;
	memcpy(bytes + 1, &rel, sizeof(rel));
	return rel == distance;
}

/*
 * The stub of a jump probe: push %rax; lea slot(%rip), %rax; jmp enter. All are in
 * one area, so it always reaches.
 */
static inline void jump_encode_stub(u8 stub[AGENT_STUB_MAX], u64 slot, u64 enter)
{
	u64 at = slot + AGENT_SLOT_STUB;
	s32 back = (s32)(slot - (at + 8));

	memset(stub, 0xcc, AGENT_STUB_MAX);
	memcpy(stub, "\x50\x48\x8d\x05", 4);
	memcpy(stub + 4, &back, sizeof(back));
	jump_encode(stub + 8, at + 8, enter);
}

/* A copy of the agent's own stub, AGENT_STUB_*, for a slot in the area at area. */
static inline void jump_copy_stub(u8 stub[AGENT_STUB_MAX], u64 slot, u64 area, u32 which)
{
	u32 moved = (u32)(area + AGENT_CODE + which - (slot + AGENT_SLOT_STUB)), displacement;

	memcpy(stub, agent_code + which, AGENT_STUB_MAX);
	for (u32 i = AGENT_STUB_MAX - 1; stub[i]; i--) {
		memcpy(&displacement, stub + stub[i], sizeof(displacement));
		displacement += moved;
		memcpy(stub + stub[i], &displacement, sizeof(displacement));
	}
}

#endif
