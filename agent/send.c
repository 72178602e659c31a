// SPDX-License-Identifier: MIT
/*
 * Stacks that memattach does not have yet. A hash may be in any of the places of
 * one cache line, and of that next to it; when all are taken, one is given away.
 */
#include "agent/send.h"

#define LINE 8U /* hashes in a cache line */

static inline uint32_t first_line(uint64_t hash)
{
	return (uint32_t)hash % CHANNEL_KNOWN & ~(LINE - 1);
}

#define NO_PLACE UINT32_MAX

/* The place, in the 16 of two lines, that has value; first the one that its low bits tell. */
static inline uint32_t find(const struct channel *channel, uint64_t hash, uint64_t value)
{
	const uint64_t *known = channel_part(channel, channel->known);
	uint32_t line = first_line(hash);

	for (uint32_t i = 0; i < 2 * LINE; i++) {
		uint32_t place = (line ^ (i & LINE)) + ((uint32_t)hash + i) % LINE;

		if (__atomic_load_n(&known[place], __ATOMIC_RELAXED) == value)
			return place;
	}
	return NO_PLACE;
}

bool agent_known_search(const struct channel *channel, uint64_t hash)
{
	return find(channel, hash, hash) != NO_PLACE;
}

__attribute__((cold)) void agent_known_add(struct channel *channel, uint64_t hash)
{
	uint64_t *known = channel_part(channel, channel->known);
	uint32_t place = find(channel, hash, 0);
	uint64_t was = 0;

	if (place == NO_PLACE) {
		place = first_line(hash) + (uint32_t)(hash >> 60) % LINE;
		was = __atomic_load_n(&known[place], __ATOMIC_RELAXED);
	}
	/* Released: whoever finds it there has its own record behind the frames. */
	__atomic_compare_exchange_n(&known[place], &was, hash, 0, __ATOMIC_RELEASE,
				    __ATOMIC_RELAXED);
}

__attribute__((cold)) void agent_send_begin(struct walker *w, uint64_t hash)
{
	w->sending = 1;
	w->emitted = 0;
	w->dropped =
		agent_try_put(w->channel, CHANNEL_WORD0(CHANNEL_STACK, w->sp), hash, 0, 0) != 0;
}

static void put_frames(struct walker *w)
{
	if (!w->dropped)
		w->dropped = agent_try_put(w->channel, CHANNEL_WORD0(CHANNEL_FRAMES, w->sp),
					   w->sent[0], w->sent[1], w->sent[2]) != 0;
}

__attribute__((cold)) void agent_send_frame(struct walker *w, uint64_t at)
{
	w->sent[w->emitted % 3] = at - 1;
	if (++w->emitted % 3 == 0)
		put_frames(w);
}

__attribute__((cold)) int agent_send_end(struct walker *w, uint64_t hash)
{
	/* The last ones may not count. */
	if (w->count > w->emitted - w->emitted % 3)
		put_frames(w);
	if (!w->dropped)
		w->dropped = agent_try_put(w->channel, CHANNEL_WORD0(CHANNEL_STACK_END, w->sp),
					   hash, w->count | (uint64_t)w->end << 32, w->s.sp) != 0;
	if (w->dropped)
		agent_lost(w->channel, CHANNEL_LOSS_STACK);
	w->sending = 0;
	return w->dropped ? -1 : 0;
}
