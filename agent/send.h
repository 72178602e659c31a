/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_AGENT_SEND_H
#define MEMATTACH_AGENT_SEND_H

#include "agent/ring.h"
#include "agent/walk_state.h"

/* The stacks that memattach has (known), and how it gets new ones. */

/* Whether it has the one with this hash. */
bool agent_known_search(const struct channel *channel, uint64_t hash);

static inline bool agent_known_find(const struct channel *channel, uint64_t hash)
{
	const uint64_t *known = channel_part(channel, channel->known);

	if (__builtin_expect(
		    __atomic_load_n(&known[hash % CHANNEL_KNOWN], __ATOMIC_RELAXED) == hash, 1))
		return true;
	return agent_known_search(channel, hash);
}

/* Now it has: the frames are in the ring. (Another thread may be faster; then it is sent again some time.) */
void agent_known_add(struct channel *channel, uint64_t hash);

/* A stack in the ring: begin, each frame from the innermost on, end. */
void agent_send_begin(struct walker *w, uint64_t hash);

/* Of those who send a stack: what was sent is not what the hash says. The walk is to be made again. */
#define SEND_AGAIN (-2)

/* w->count frames, w->end, and w->s.sp. 0; -1 if any part of it was lost. */
int agent_send_end(struct walker *w, uint64_t hash);

#endif
