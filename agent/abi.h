/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_AGENT_ABI_H
#define MEMATTACH_AGENT_ABI_H

#include "agent/channel.h"

/*
 * The memory that memattach maps into a target (an area), as both sides see it:
 *
 *	+0x00000 struct agent_header
 *	+0x00100 the agent's code
 *	+0x08000 table: for each slot the address that it belongs to
 *	+0x0c000 slots: displaced instructions, struct agent_slot each
 *	+0x7f000 struct agent_control: a page of its own, writable, zero in a forked child
 *	+0x80000 end
 *
 * An area is aligned to its size, so that code in it finds its header from its
 * own address. But for the last page the target cannot write to it. Everything
 * that is needed to take memattach's traces out of the target again stands in it,
 * so that a later memattach can do that if this one is killed.
 */
#define AGENT_AREA_SIZE  0x80000UL
#define AGENT_CODE       0x100UL
#define AGENT_CODE_MAX   0x7f00UL
#define AGENT_TABLE      0x8000UL
#define AGENT_SLOTS      0xc000UL
#define AGENT_SLOT_SIZE  256UL
#define AGENT_SLOT_COUNT 1840UL
#define AGENT_CONTROL    0x7f000UL

/* The agent's code, to be copied to AGENT_CODE: entry points at these offsets in it. */
#define AGENT_ENTRY_HANDLER  0  /* the SIGTRAP handler */
#define AGENT_ENTRY_RESTORER 16 /* its way back */
#define AGENT_ENTRY_CALL     32 /* where stubs jump to */
#define AGENT_ENTRY_ASK      48 /* a question to memattach, see agent/channel.h */
#define AGENT_ENTRY_ASKED    51 /* behind the int3 of that */
#define AGENT_ENTRY_PUT      64 /* writes a record: agent_ring_put */
/* From the first to the second, but in the first only with the zero flag set, it owns a place. */
#define AGENT_PUT_TAKEN 103
#define AGENT_PUT_DONE  159
/*
 * Short stubs, by shape; with sampling, those of functions that call no other probed one. AGENT_STUB_MAX bytes each,
 * the last of which tell where displacements of 4 bytes lead out of it, from the end on, until a 0.
 */
#define AGENT_STUB_SIZE    192 /* ALLOC, NEW: the first argument is the size */
#define AGENT_STUB_PRODUCT 336 /* ALLOC: the product of the first two arguments is */
#define AGENT_STUB_FREE    480 /* FREE: the first argument is the block */
#define AGENT_STUB_CALL    624 /* FREE without sampling */
#define AGENT_STUB_WRAP    768 /* ALLOC, NESTS, REALLOC without sampling */
#define AGENT_STUB_MAX     144
#define AGENT_SLOT_BYTES   256 /* AGENT_SLOT_SIZE, for the assembler, and */
#define AGENT_SLOT_STUB_AT 64  /* AGENT_SLOT_STUB */
#define AGENT_SLOT_FLAGS   209 /* agent_slot.flags */
/*
 * In a slot with a copy of AGENT_STUB_WRAP: where the probed function returns to. In all other
 * stubs the byte in front of it is in the middle of an instruction.
 */
#define AGENT_SLOT_RETURN 86
/* Where, in a copy of AGENT_STUB_WRAP, the frame is on the stack: from the first to the last, and at the third. */
#define AGENT_WRAP_FIRST 8
#define AGENT_WRAP_LAST  27
#define AGENT_WRAP_PASS  36

/* Flags of a slot. */
#define AGENT_SLOT_JUMP     1 /* the function begins with a jump to stub (otherwise: with an int3) */
#define AGENT_SLOT_FREES    2  /* a realloc that frees the block if it fails */
#define AGENT_SLOT_LEAF     4  /* it calls no other probed function */
#define AGENT_SLOT_PROLOGUE 8  /* several instructions, not one: room for a jump */
#define AGENT_SLOT_ALIGNED  16 /* SHAPE_NEW: its second argument is an alignment */
#define AGENT_SLOT_WRAPS    32 /* stub is a copy of AGENT_STUB_WRAP */
/*
 * The short way, without sampling: FREE of its first argument; ALLOC of as many bytes as its first argument says, or
 * the product of the first two. Its threads have the address of their thread pointer in %fs:0.
 */
#define AGENT_SLOT_SIMPLE  64
#define AGENT_SLOT_PRODUCT 128

/* struct agent_control, for agent/entry_x86_64.S */
#define AGENT_CONTROL_THREADS 8
#define AGENT_CONTROL_FILTER  16

#ifndef __ASSEMBLER__
#define AGENT_MAGIC_0 0x636174746174656dULL
#define AGENT_MAGIC_1 0x0006000061657261ULL /* its last two bytes are the version of this layout */

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
	uint64_t channel; /* where the channel (agent/channel.h) is mapped, 0: nowhere */
	uint64_t channel_size;
};

/*
 * The switch of the jump probes of an area, on a page that the kernel wipes in a
 * forked child (MADV_WIPEONFORK): there the channel is gone (MADV_DONTFORK), and
 * the probes pass everything on.
 */
struct agent_control {
	uint64_t channel; /* its address: calls are recorded. 0: they are passed on */
	uint64_t threads; /* where in it threads are; 0 if channel is */
	uint64_t filter;  /* with sampling: where that is; else 0 */
};

_Static_assert(offsetof(struct agent_control, threads) == AGENT_CONTROL_THREADS,
	       "as the code has it");
_Static_assert(offsetof(struct agent_control, filter) == AGENT_CONTROL_FILTER,
	       "as the code has it");

/*
 * An entry of the table: the address of the breakpoint or patched function, in
 * its top byte the target's own byte there. 0: the slot is free.
 */
#define AGENT_ENTRY_ADDRESS(entry) ((entry)&0x00ffffffffffffffULL)
#define AGENT_ENTRY_BYTE(entry)    ((uint8_t)((entry) >> 56))
#define AGENT_ENTRY(address, byte) ((address) | (uint64_t)(byte) << 56)

/* What a probed function does: which way its calls go through the agent. */
enum agent_shape {
	AGENT_SHAPE_NONE,    /* a breakpoint: memattach knows */
	AGENT_SHAPE_ALLOC,   /* returns a block */
	AGENT_SHAPE_FREE,    /* frees a block; calls that it makes count */
	AGENT_SHAPE_NESTS,   /* frees a block; calls that it makes do not count */
	AGENT_SHAPE_REALLOC, /* resizes a block */
	AGENT_SHAPE_NEW,     /* as ALLOC, but fails by an exception: see agent_slot.nothrow */
};

#define AGENT_SLOT_CODE  64
#define AGENT_SLOT_STUB  AGENT_SLOT_STUB_AT
#define AGENT_STUB_PUSH  0x50 /* the first byte of a stub that is none of AGENT_STUB_* */
#define AGENT_SLOT_STEPS 7    /* five instructions at most, and the end of each */
#define AGENT_JUMP       5    /* bytes of the jump that is patched over a function's beginning */

struct agent_slot {
	uint8_t code[AGENT_SLOT_CODE]; /* the displaced instructions, and a jump back behind them */
	/* Of a jump probe: push %rax; lea slot, %rax; jmp agent_enter. Or a copy of AGENT_STUB_*. */
	uint8_t stub[AGENT_STUB_MAX];
	uint8_t displaced; /* bytes that were displaced. 0: no code, it can only run in its own place */
	uint8_t flags;
	uint8_t shape;                 /* enum agent_shape */
	uint8_t ptr, size, count, out; /* arguments as in probe/allocators.h, from 1; 0: none */
	uint8_t steps;                 /* how many of from and to are valid; 0 or more */
	/*
	 * A thread at code + to[i] is in the state of the program at original + from[i].
	 * A breakpoint's or function's first step is 0, 0.
	 */
	uint8_t from[AGENT_SLOT_STEPS], to[AGENT_SLOT_STEPS];
	uint8_t original[16]; /* the target's own bytes: displaced of them */
	uint8_t unused[2];
	uint64_t nothrow; /* SHAPE_NEW: code that does the same and returns NULL on failure */
};

_Static_assert(sizeof(struct agent_slot) == AGENT_SLOT_SIZE, "a slot has its size");
_Static_assert(offsetof(struct agent_slot, flags) == AGENT_SLOT_FLAGS, "as the code has it");
_Static_assert(AGENT_SLOTS + AGENT_SLOT_COUNT * AGENT_SLOT_SIZE == AGENT_CONTROL,
	       "slots fill an area");
_Static_assert(AGENT_TABLE + AGENT_SLOT_COUNT * 8 <= AGENT_SLOTS, "the table has room");

/* In memattach: the code (agent/blob.S), and the ELF file that it is from, with unwind information. */
extern const uint8_t agent_code[];
extern const uint8_t agent_code_end[];
extern const uint8_t agent_elf[];
extern const uint8_t agent_elf_end[];

#endif
#endif
