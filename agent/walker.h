/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_AGENT_WALKER_H
#define MEMATTACH_AGENT_WALKER_H

#include "agent/channel.h"

/*
 * Call stacks of the calling thread, from a probed call: sp is the stack pointer
 * at the entry of the function, where the return address is, bp is rbp there.
 * thread is the calling thread's. Nothing is read but the stack from sp upward, as
 * far as it is mapped, and the channel. What a call stack's hash is made with is agent_walk
 * of agent/recall.h.
 */

enum agent_nesting {
	AGENT_NESTED,     /* by a function that the agent has called */
	AGENT_NOT_NESTED, /* from a signal handler */
	AGENT_OUTERMOST,  /* the open call is not on this stack */
	AGENT_UNKNOWN,    /* the walk was lost, or too deep */
};

/* Who has made this call, while thread->open says that one is under way. */
enum agent_nesting agent_nesting(struct channel *channel, struct channel_thread *thread,
				 uint64_t sp, uint64_t bp);

/* Reads 8 bytes of a stack. 1; 0 if there is no memory. */
int agent_read(struct channel *channel, struct channel_thread *thread, uint64_t address,
	       uint64_t *value);

#endif
