/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_CALLS_H
#define MEMATTACH_PROBE_CALLS_H

#include "base/types.h"
#include "probe/allocators.h"
#include "probe/probes.h"

/*
 * The allocator calls that one thread has under way: at most one, plus one for
 * each signal handler that interrupted another. Pure bookkeeping.
 *
 * A call is known by the stack pointer at its entry. When the thread enters an
 * allocator with a stack pointer at or above that of the open call, that call
 * was left without returning (longjmp, exception) and is dropped.
 */
enum call_part {
	CALL_WHOLE, /* recorded with its stack */
	CALL_OLD_BLOCK, /* with sampling: a realloc that takes a recorded block away, and gives one that is not */
	CALL_UNRECORDED, /* with sampling: nothing; its return is not watched */
};

struct call {
	u64 sp;    /* at the entry, pointing to the return address */
	u64 ret;   /* the return address */
	u64 entry; /* the function */
	u64 size;
	u64 ptr;   /* realloc: the old block */
	u64 out;   /* posix_memalign: where the result goes */
	u32 stack; /* id */
	u8 kind;   /* enum call_kind */
	u8 part;   /* enum call_part */
	bool has_out;
	bool hardware; /* the return is watched by a debug register, not a breakpoint */
	bool frees;    /* realloc: a failure frees the block */
	bool taken;    /* realloc: REALLOC_BEGIN was said */
	bool filtered; /* and the old block is in the agent's filter, with sampling */
	u64 scratch[REALLOC_SCRATCH / 8];
};

#define CALLS_MAX 4 /* as many as there are debug registers */

struct calls {
	struct call items[CALLS_MAX];
	u32 n;
	u64 agent_open; /* channel_thread.open as it was when there were none */
	/*
	 * A signal was delivered while items[barrier - 1] was the open call, at
	 * pc interrupted: calls below the barrier are not parents of calls that
	 * the handler makes. 0: none.
	 */
	u32 barrier;
	u64 interrupted;
	/* The free of said_block at breakpoint said_pc, with this sp, was said; a signal came before it ran. */
	u64 said_pc, said_sp, said_block;
	/* The last free, unless another call came after it; and its stack pointer. */
	u64 last_free, last_free_sp;
	/* With sampling, see agent/sample.h; and countdown as it was after the last sample. */
	s64 countdown, fresh;
	u64 random;
};

/* Drops the calls at and above position n; dropped is called for each. */
void calls_cut(struct calls *calls, u32 n, void (*dropped)(void *ctx, struct call *call),
	       void *ctx);

/* The position of the call that returns to ret with this stack pointer; -1 if there is none. */
int calls_match_return(const struct calls *calls, u64 ret, u64 sp);

/* How many calls are left open when an allocator is entered with this stack pointer. */
u32 calls_alive(const struct calls *calls, u64 sp);

#endif
