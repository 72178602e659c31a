/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_AGENT_SAMPLE_FILTER_H
#define MEMATTACH_AGENT_SAMPLE_FILTER_H

/*
 * With sampling nearly all frees are of blocks that were not recorded. The filter
 * (channel.filter) tells which cannot be: each recorded block is counted in the byte that its address
 * hashes to, so that a block whose byte is 0 was not recorded. Any other may have been:
 * its free is put into the ring, and memattach knows.
 *
 * The agent counts up before the allocation's record is put into the ring, hence before
 * anybody can free the block. memattach counts down when the block is off the
 * books for good: at its free, and when a realloc of it has succeeded (one that
 * fails leaves it live). A counter that has reached 255 stays there: it has lost count.
 */
#include <stdbool.h>
#include <stdint.h>

#include "agent/channel.h"

#define SAMPLE_FILTER_FULL 255

_Static_assert(CHANNEL_FILTER == 1U << 16, "the index has 16 bits");

/*
 * Which byte of the filter counts the block at address: one for all in the same 1024 bytes, so
 * that a cache line has 64 KB of the heap and is nearly always at hand. Frees of blocks beside
 * a recorded one are recorded in vain; with a mean of 512 KB those are one of 500. agent/entry_x86_64.S
 * has this, too.
 */
#define SAMPLE_FILTER_SHIFT 10

static inline uint32_t sample_filter_index(uint64_t address)
{
	return (uint32_t)(address >> SAMPLE_FILTER_SHIFT ^ address >> (SAMPLE_FILTER_SHIFT + 16)) %
	       CHANNEL_FILTER;
}

/* May the block at address have been recorded? If not, its free need not be. */
static inline bool sample_filter_has(const uint8_t *filter, uint64_t address)
{
	return __atomic_load_n(&filter[sample_filter_index(address)], __ATOMIC_RELAXED) != 0;
}

/* The block at address is going to be recorded. For the agent; undone by drop if that fails. */
static inline void sample_filter_add(uint8_t *filter, uint64_t address)
{
	uint8_t *counter = &filter[sample_filter_index(address)];
	uint8_t n = __atomic_load_n(counter, __ATOMIC_RELAXED);

	/* No plain addition behind a check: two threads at 254 would make it 0. */
	while (n != SAMPLE_FILTER_FULL &&
	       !__atomic_compare_exchange_n(counter, &n, (uint8_t)(n + 1), true, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED))
		;
}

/* A recorded block at address is off the books. For memattach, once for each block that the ledger knew. */
static inline void sample_filter_drop(uint8_t *filter, uint64_t address)
{
	uint8_t *counter = &filter[sample_filter_index(address)];
	uint8_t n = __atomic_load_n(counter, __ATOMIC_RELAXED);

	while (n != 0 && n != SAMPLE_FILTER_FULL &&
	       !__atomic_compare_exchange_n(counter, &n, (uint8_t)(n - 1), true, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED))
		;
}

#endif
