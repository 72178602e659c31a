/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_AGENT_RING_H
#define MEMATTACH_AGENT_RING_H

#include <stdbool.h>

#include "agent/channel.h"

/*
 * Puts a record into the ring, its words as channel.h says, word0 without a lap.
 * Waits while the ring is full, until nobody has read from it for a second: then,
 * and from then on until somebody does, the record is lost and counted. 0; -1: it
 * is lost.
 */
int agent_put(struct channel *channel, uint64_t word0, uint64_t word1, uint64_t word2,
	      uint64_t word3);

/* The same for records that are no events: if one is lost, it is not counted. */
int agent_try_put(struct channel *channel, uint64_t word0, uint64_t word1, uint64_t word2,
		  uint64_t word3);

/* Whether nobody reads: somebody has waited for a second since the last heartbeat. */
static inline bool agent_is_stalled(const struct channel *channel)
{
	uint64_t stalled = __atomic_load_n(&channel->stalled, __ATOMIC_RELAXED);

	return __builtin_expect(stalled != 0, 0) &&
	       stalled == __atomic_load_n(&channel->heartbeat, __ATOMIC_RELAXED) + 1;
}

static inline bool agent_is_full(const struct channel *channel)
{
	return __atomic_load_n(&channel->head, __ATOMIC_RELAXED) -
		       __atomic_load_n(&channel->tail, __ATOMIC_RELAXED) >=
	       1ULL << CHANNEL_RING_BITS;
}

static inline void agent_lost(struct channel *channel, enum channel_loss why)
{
	__atomic_fetch_add(&channel->lost[why], 1, __ATOMIC_RELAXED);
}

#endif
