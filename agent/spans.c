// SPDX-License-Identifier: MIT
/*
 * Which memory may be read: spans that memattach has named, by a piece of the
 * address space of 1 << CHANNEL_RANGE_SHIFT bytes. A span is one word, so that
 * threads that write and read an entry at the same time need not agree on more.
 */
#include "agent/ring.h"
#include "agent/walk_state.h"

uint64_t agent_ask(uint64_t question, uint64_t argument) __attribute__((visibility("hidden")));

static inline uint64_t *range_entry(struct channel *channel, uint64_t address)
{
	uint64_t *ranges = channel_part(channel, channel->ranges);

	return &ranges[(address >> CHANNEL_RANGE_SHIFT) % CHANNEL_RANGES];
}

/* What memattach says, as far as one span can hold it. */
static uint64_t ask(uint64_t address)
{
	struct channel_range range = {.low = address};
	uint64_t size;

	if (!agent_ask(CHANNEL_ASK_RANGE, (uint64_t)&range) || range.low > address ||
	    range.high <= address || range.high > WALK_HIGHEST + 1)
		return CHANNEL_SPAN(address, 0);
	size = range.high - range.low;
	if (size > CHANNEL_SPAN_MAX) {
		range.low = address;
		size = range.high - address;
	}
	if (size > CHANNEL_SPAN_MAX)
		size = CHANNEL_SPAN_MAX;
	return CHANNEL_SPAN(range.low, size);
}

__attribute__((noinline, cold)) uint64_t agent_span_search(struct channel *channel,
							   uint64_t address)
{
	uint64_t *entry = range_entry(channel, address);
	uint64_t span = __atomic_load_n(entry, __ATOMIC_RELAXED);

	if (span_has(span, address))
		return span;
	/* Asked before, in vain: that is remembered for a page. */
	if (span && CHANNEL_SPAN_SIZE(span) == 0 &&
	    CHANNEL_SPAN_LOW(span) == CHANNEL_SPAN_LOW(CHANNEL_SPAN(address, 0)))
		return 0;
	/* Nobody would answer, and who stops for an answer may wait for ever, or die. */
	if (agent_is_stalled(channel))
		return 0;
	span = ask(address);
	__atomic_store_n(entry, span, __ATOMIC_RELAXED);
	return span_has(span, address) ? span : 0;
}

void agent_span_forget(struct channel *channel, struct channel_thread *thread, uint64_t address)
{
	__atomic_store_n(range_entry(channel, address), 0, __ATOMIC_RELAXED);
	__atomic_store_n(&thread->stack, 0, __ATOMIC_RELAXED);
}

int agent_read(struct channel *channel, struct channel_thread *thread, uint64_t address,
	       uint64_t *value)
{
	uint8_t faulted = 0;

	if (address & 7 || !agent_span(channel, thread, address))
		return 0;
	*value = agent_load(address, &faulted);
	if (faulted)
		agent_span_forget(channel, thread, address);
	return !faulted;
}
