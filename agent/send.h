/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_AGENT_SEND_H
#define MEMATTACH_AGENT_SEND_H

#include "agent/ring.h"
#include "agent/walk_state.h"

/* The stacks that memattach has (known), and how it gets new ones. */

/* The place of a hash; CHANNEL_NO_PLACE if it has none. */
uint32_t agent_known_search(const struct channel *channel, uint64_t hash);

static inline uint32_t agent_known_find(const struct channel *channel, uint64_t hash)
{
	const uint64_t *known = channel_part(channel, channel->known);
	uint32_t place = (uint32_t)hash % CHANNEL_KNOWN;

	if (__builtin_expect(__atomic_load_n(&known[place], __ATOMIC_RELAXED) == hash, 1))
		return place;
	return agent_known_search(channel, hash);
}

/* Gives it one, once its frames are in the ring; CHANNEL_NO_PLACE if another thread was faster. */
uint32_t agent_known_add(struct channel *channel, uint64_t hash);

/* A stack in the ring: begin, each frame from the innermost on, end. */
void agent_send_begin(struct walker *w, uint64_t hash);

/* Of those who send a stack: what was sent is not what the hash says. The walk is to be made again. */
#define SEND_AGAIN (-2)

/* w->count frames, w->end, and w->s.sp. 0; -1 if any part of it was lost. */
int agent_send_end(struct walker *w, uint64_t hash);

#endif
