/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_UNWIND_TABLE_H
#define MEMATTACH_UNWIND_TABLE_H

/*
 * Compact unwind tables of x86-64: how to get from a frame to its caller, for
 * every address of a module, in sorted rows of 8 bytes. Compiled once from
 * .eh_frame (unwind/compile.h), read by the walker (unwind/walk.h), which also
 * runs inside targets: hence freestanding types only.
 *
 * A row holds from its start to the start of the next one. Its rule:
 *
 *	 31                    12 11        4 3    0
 *	+------------------------+-----------+------+
 *	| offset, signed, 8-byte | where rbp | kind |
 *	| units                  | was saved |      |
 *	+------------------------+-----------+------+
 *
 * The return address is always at CFA - 8, and the caller's rsp is the CFA;
 * whatever is not so becomes UNWIND_ASK.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum unwind_row_kind {
	UNWIND_NONE,      /* no information: between functions, or code without CFI */
	UNWIND_RSP,       /* CFA = rsp + offset */
	UNWIND_RBP,       /* CFA = rbp + offset */
	UNWIND_RBP_DEREF, /* CFA = *(rbp + offset): gcc's realigned stacks */
	UNWIND_PLT,       /* CFA = rsp + 8 + (rip % 16 >= offset / 8 ? 8 : 0): ld's lazy PLT */
	UNWIND_SIGNAL,    /* the kernel's rt_sigframe: rsp points to the ucontext */
	UNWIND_FIRST,     /* undefined return address: the outermost frame */
	UNWIND_ASK,       /* a rule that rows cannot hold: ask libdw */
	UNWIND_OURS,      /* as UNWIND_RSP, in the agent's code: no frame of the program */
	UNWIND_SLOT,      /* displaced instructions of the program (agent/abi.h) */
};

/* Values of the field that tells where rbp was saved; others: at CFA - 8 * field. */
#define UNWIND_RBP_SAME   0   /* still in rbp */
#define UNWIND_RBP_AT_RBP 255 /* at *rbp (realigned stacks) */

/* The offset fits if it is a multiple of 8 in [-UNWIND_OFFSET_MAX - 8, UNWIND_OFFSET_MAX]. */
#define UNWIND_OFFSET_MAX (((1 << 19) - 1) * 8)

struct unwind_row {
	uint32_t start; /* offset from the module's lowest p_vaddr */
	uint32_t rule;
};

static inline uint32_t unwind_rule(enum unwind_row_kind kind, uint32_t rbp, int32_t offset)
{
	return (uint32_t)(offset / 8) << 12 | rbp << 4 | (uint32_t)kind;
}

static inline enum unwind_row_kind unwind_rule_kind(uint32_t rule)
{
	return (enum unwind_row_kind)(rule & 15);
}

static inline uint32_t unwind_rule_rbp(uint32_t rule)
{
	return rule >> 4 & 255;
}

/* Bytes. */
static inline int64_t unwind_rule_offset(uint32_t rule)
{
	return (int64_t)((int32_t)rule >> 12) * 8;
}

/* The rule at an offset from the module's lowest p_vaddr. O(log n). */
static inline uint32_t unwind_rows_find(const struct unwind_row *rows, size_t n, uint32_t offset)
{
	size_t low = 0;

	/* Invariant: rows below low start at or before offset; those from low + n on after it. */
	while (n > 0) {
		size_t half = n / 2;

		if (rows[low + half].start <= offset) {
			low += half + 1;
			n -= half + 1;
		} else {
			n = half;
		}
	}
	return low ? rows[low - 1].rule : unwind_rule(UNWIND_NONE, 0, 0);
}

#endif
