// SPDX-License-Identifier: MIT
/*
 * The slow side of the ring: waiting for room. A thread spins: any system call might be one
 * that it has forbidden itself (seccomp). The heartbeat tells whether memattach is alive;
 * when that stands still for a second (it has been stopped, or killed) no thread waits any
 * more until it moves again: what finds no room is lost, and counted.
 */
#include "agent/ring.h"

#define SPINS 200

int agent_ring_put(struct channel *channel, uint64_t word0, uint64_t word1, uint64_t word2,
		   uint64_t word3) __attribute__((visibility("hidden")));

static inline uint64_t cycles(void)
{
	uint32_t low, high;

	__asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
	return (uint64_t)high << 32 | low;
}

/* Until there is room: 0; -1 if there will be none. */
static int wait_for_room(struct channel *channel)
{
	uint64_t heartbeat = __atomic_load_n(&channel->heartbeat, __ATOMIC_RELAXED), now;
	uint64_t start = cycles();

	while (agent_is_full(channel)) {
		if (agent_is_stalled(channel))
			return -1;
		for (int i = 0; i < SPINS; i++)
			__asm__ volatile("pause");
		now = __atomic_load_n(&channel->heartbeat, __ATOMIC_RELAXED);
		if (now != heartbeat) {
			heartbeat = now;
			start = cycles();
		} else if (cycles() - start > channel->second) {
			__atomic_store_n(&channel->stalled, heartbeat + 1, __ATOMIC_RELAXED);
			return -1;
		}
	}
	return 0;
}

int agent_try_put(struct channel *channel, uint64_t word0, uint64_t word1, uint64_t word2,
		  uint64_t word3)
{
	while (__builtin_expect(agent_ring_put(channel, word0, word1, word2, word3), 0))
		if (wait_for_room(channel))
			return -1;
	return 0;
}

int agent_put(struct channel *channel, uint64_t word0, uint64_t word1, uint64_t word2,
	      uint64_t word3)
{
	int ret = agent_try_put(channel, word0, word1, word2, word3);

	if (__builtin_expect(ret, 0))
		agent_lost(channel, CHANNEL_LOSS_FULL);
	return ret;
}
