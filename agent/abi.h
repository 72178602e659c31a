/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_AGENT_ABI_H
#define MEMATTACH_AGENT_ABI_H

#include <stdint.h>

/*
 * The memory that memattach maps into a target (an area), as both sides see it:
 *
 *	+0x0000	 struct agent_header
 *	+0x0100	 the agent's code: the SIGTRAP handler
 *	+0x1000	 table: for each slot the breakpoint that it belongs to
 *	+0x8000	 slots: displaced instructions, AGENT_SLOT_SIZE bytes each
 *	+0x40000 end
 *
 * An area is aligned to its size, so that code in it finds its header from its
 * own address. The target cannot write to it. Everything that is needed to take
 * memattach's traces out of the target again stands in it, so that a later
 * memattach can do that if this one is killed.
 */
#define AGENT_AREA_SIZE  0x40000UL
#define AGENT_CODE       0x100UL
#define AGENT_CODE_MAX   0xf00UL
#define AGENT_TABLE      0x1000UL
#define AGENT_SLOTS      0x8000UL
#define AGENT_SLOT_SIZE  64UL
#define AGENT_SLOT_COUNT 3584UL

#define AGENT_MAGIC_0 0x636174746174656dULL
#define AGENT_MAGIC_1 0x0001000061657261ULL /* its last two bytes are the version of this layout */

/* struct sigaction of the kernel, x86-64. */
struct agent_sigaction {
	uint64_t handler;
	uint64_t flags;
	uint64_t restorer;
	uint64_t mask;
};

struct agent_header {
	uint64_t magic[2];
	uint64_t owner; /* process id of the memattach that has mapped it */
	uint64_t next;  /* the next area, 0: none */
	uint64_t
		installed; /* the SIGTRAP handler is this area's, and previous is what it replaced */
	struct agent_sigaction previous;
};

/*
 * An entry of the table: the address of the breakpoint, in its top byte the
 * target's own byte there. 0: the slot is free.
 */
#define AGENT_ENTRY_ADDRESS(entry) ((entry)&0x00ffffffffffffffULL)
#define AGENT_ENTRY_BYTE(entry)    ((uint8_t)((entry) >> 56))
#define AGENT_ENTRY(address, byte) ((address) | (uint64_t)(byte) << 56)

/*
 * A slot's last two bytes: how long the displaced instruction is, and the offset
 * in the slot behind its copy (0: there is no such place). 0, 0: the slot holds
 * no code, the instruction can only run in its own place.
 */
#define AGENT_SLOT_LENGTH 62
#define AGENT_SLOT_AFTER  63
#define AGENT_SLOT_CODE   62 /* bytes of a slot that may hold code */

/* The agent's code, to be copied to AGENT_CODE: entry points at these offsets in it. */
#define AGENT_ENTRY_HANDLER  0
#define AGENT_ENTRY_RESTORER 16

/* In memattach: the code (agent/blob.S). */
extern const uint8_t agent_code[];
extern const uint8_t agent_code_end[];

#endif
