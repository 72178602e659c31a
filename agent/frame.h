/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_AGENT_FRAME_H
#define MEMATTACH_AGENT_FRAME_H

/*
 * What lies on the stack of a thread in a probed call, below the return address:
 * offsets from the bottom. The size is one that keeps the stack aligned for the
 * function that is called with this above its own return address.
 */
#define AGENT_FRAME        136
#define AGENT_FRAME_CODE   0
#define AGENT_FRAME_SIZE   8
#define AGENT_FRAME_OPEN   24
#define AGENT_FRAME_THREAD 32
#define AGENT_FRAME_MEMO   48
#define AGENT_FRAME_SLOT   56
#define AGENT_FRAME_R11    64
#define AGENT_FRAME_R10    72
#define AGENT_FRAME_R9     80
#define AGENT_FRAME_R8     88
#define AGENT_FRAME_RDI    96
#define AGENT_FRAME_RSI    104
#define AGENT_FRAME_RDX    112
#define AGENT_FRAME_RCX    120
#define AGENT_FRAME_RAX    128

/* enum agent_verdict */
#define AGENT_VERDICT_WRAP 1

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

#include "agent/abi.h"

/* With sampling, what of a call is recorded. */
enum agent_part {
	AGENT_NOTHING,
	AGENT_OLD, /* that a realloc has taken the old block away */
	AGENT_NEW, /* the new block, and the old one if there is one in frame.block */
};

struct agent_frame {
	uint64_t code;  /* what is called: the slot's code, or its nothrow form */
	uint64_t size;  /* what the call asks for */
	uint64_t block; /* realloc: the old block, if it is recorded */
	uint64_t open;  /* channel_thread.open as it was before */
	struct channel_thread *thread;
	uint64_t part; /* with sampling: enum agent_part */
	struct agent_memo *
		memo; /* of an allocation that took the short way (AGENT_SLOT_SIMPLE); NULL: none */
	const struct agent_slot *slot;
	uint64_t r11, r10, r9, r8, rdi, rsi, rdx, rcx, rax;
	uint64_t caller; /* the return address: no part of ours */
};

_Static_assert(offsetof(struct agent_frame, size) == AGENT_FRAME_SIZE, "as the code has it");
_Static_assert(offsetof(struct agent_frame, open) == AGENT_FRAME_OPEN, "as the code has it");
_Static_assert(offsetof(struct agent_frame, thread) == AGENT_FRAME_THREAD, "as the code has it");
_Static_assert(offsetof(struct agent_frame, memo) == AGENT_FRAME_MEMO, "as the code has it");
_Static_assert(offsetof(struct agent_frame, slot) == AGENT_FRAME_SLOT, "as the code has it");
_Static_assert(offsetof(struct agent_frame, r11) == AGENT_FRAME_R11, "as the code has it");
_Static_assert(offsetof(struct agent_frame, rax) == AGENT_FRAME_RAX, "as the code has it");
_Static_assert(offsetof(struct agent_frame, caller) == AGENT_FRAME, "as the code has it");

/* What agent_before decides. */
enum agent_verdict {
	AGENT_PASS, /* to the function itself, with no frame of ours */
	AGENT_WRAP, /* call it, then agent_after */
};

_Static_assert(AGENT_WRAP == AGENT_VERDICT_WRAP, "as the code has it");

/* At the beginning of a call, with rbp as it is then. */
enum agent_verdict agent_before(struct agent_frame *frame, const struct agent_slot *slot,
				uint64_t bp);

/* When it has returned result. Non-zero: it is to be done again, without us. */
int agent_after(struct agent_frame *frame, uint64_t result, uint64_t bp);

/* The same where the slot is AGENT_SLOT_SIMPLE. Always 0. */
int agent_after_simple(struct agent_frame *frame, uint64_t result, uint64_t bp);
#endif
#endif
