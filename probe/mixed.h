/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_MIXED_H
#define MEMATTACH_PROBE_MIXED_H

#include "probe/probes_internal.h"

/*
 * Threads whose allocator calls go partly through the agent and partly through
 * breakpoints: a function of one kind may call one of the other, and only the
 * outermost call counts. Each side sees in the thread's entry in the channel what
 * the other has under way. All for a stopped thread.
 */

/* The thread's entry in the channel, made if make is set; NULL if there is none. */
struct channel_thread *mixed_entry(const struct probes *probes, struct thread *thread, bool make);

/* The thread's calls through breakpoints have changed: tells the agent and the ring's reader. With the books held. */
void mixed_share_calls(const struct probes *probes, struct thread *thread);

/* The same for all threads, when the agent has just come. */
void mixed_share_all(const struct probes *probes);

/* Whether the last call of the thread with this number was a free of the block at address, through a jump. */
bool mixed_was_freed(const struct probes *probes, u32 thread, u64 address);

/*
 * The thread stands on the first byte of the function at entry. Whether a function
 * that the agent has called calls it.
 */
bool mixed_is_nested(struct probes *probes, struct thread *thread, u64 entry);

#endif
