/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_BASE_FRAME_H
#define MEMATTACH_BASE_FRAME_H

#include "base/types.h"

/*
 * One frame of a call stack in 64 bits, as it is interned:
 *
 *	 63      48 47                                   0
 *	+----------+--------------------------------------+
 *	| module   | address in the target                |
 *	+----------+--------------------------------------+
 *
 * The address is the one to look up: a return address minus 1, or, in the
 * frame that a signal interrupted, the interrupted instruction itself. The
 * module id tells apart two modules that were mapped at the same address one
 * after the other (dlclose, dlopen); 0 means that no module is known there.
 */
#define FRAME_ADDRESS_BITS 48
#define FRAME_ADDRESS_MASK ((1ULL << FRAME_ADDRESS_BITS) - 1)
#define FRAME_MODULE_MAX   0xffffU

/*
 * A stack that does not reach the outermost frame ends in one of these (module
 * 0, an address that no code has), so that a cut stack is never taken for a
 * whole one.
 */
#define FRAME_CUT_DEPTH 1ULL /* deeper than --depth */
#define FRAME_CUT_LOST  2ULL /* no way to go on: no unwind information, memory unreadable */

static inline u64 frame_make(u32 module, u64 address)
{
	return (u64)module << FRAME_ADDRESS_BITS | (address & FRAME_ADDRESS_MASK);
}

static inline u32 frame_module(u64 frame)
{
	return (u32)(frame >> FRAME_ADDRESS_BITS);
}

static inline u64 frame_address(u64 frame)
{
	return frame & FRAME_ADDRESS_MASK;
}

static inline bool frame_is_cut(u64 frame)
{
	return frame == FRAME_CUT_DEPTH || frame == FRAME_CUT_LOST;
}

#endif
