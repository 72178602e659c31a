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
static inline void jump_encode_stub(u8 stub[16], u64 slot, u64 enter)
{
	u64 at = slot + AGENT_SLOT_STUB;
	s32 back = (s32)(slot - (at + 8));

	memset(stub, 0xcc, 16);
	memcpy(stub, "\x50\x48\x8d\x05", 4);
	memcpy(stub + 4, &back, sizeof(back));
	jump_encode(stub + 8, at + 8, enter);
}

/* With sampling: call enter; jmp code. */
static inline void jump_encode_short_stub(u8 stub[16], u64 slot, u64 enter)
{
	memset(stub, 0xcc, 16);
	jump_encode(stub, slot + AGENT_SLOT_STUB, enter);
	stub[0] = AGENT_STUB_CALL;
	stub[5] = 0xeb;
	stub[6] = (u8) - (AGENT_SLOT_STUB + 7);
}

#endif
