/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_AGENT_SAMPLE_FILTER_H
#define MEMATTACH_AGENT_SAMPLE_FILTER_H

/*
 * With sampling nearly all frees are of blocks that were not recorded. The filter
 * (channel.filter) tells which are not; the free of any other block is put into the ring.
 *
 * Areas, a byte each: how many recorded blocks are live in the 1024 bytes that hash to it. A
 * cache line has 64 KB of the heap and is nearly always at hand. 255: it has lost count, and
 * stays.
 *
 * Cells, eight bytes each: the recorded blocks with one hash. One of them has its address there, in the
 * lower 48 bits; how many others there are is above it, 65535: count is lost. They are
 * read only for blocks beside a recorded one. Those may be where a program comes by all the time, since
 * allocators hand out again what was freed last: with areas alone redis recorded every sixth free in vain.
 *
 * Who puts a block on the books adds it before anybody can know of it. It is taken out again
 * once for each time that it was added: at a free by the agent, if it finds the block in the cell (the
 * record says so: CHANNEL_SETTLED), otherwise by memattach, when it reads of that and had the
 * block on its books. Which of two with the same address is taken out is all one: as long as
 * one is left, the cell has the address, or counts it. A realloc frees its block some time before
 * its end, and others may have it by then: so the block is not certain from its beginning
 * on (yield), and memattach takes it out when the realloc has succeeded.
 */
#include <stdbool.h>
#include <stdint.h>

#include "agent/channel.h"

#define SAMPLE_FILTER_FULL      255
#define SAMPLE_FILTER_CELL_FULL 0xffff

/* How much of the heap an area is, as a shift. agent/entry_x86_64.S has this, and both hashes, too. */
#define SAMPLE_FILTER_SHIFT 10

_Static_assert(CHANNEL_FILTER_AREAS == 1U << 16, "the index of an area has 16 bits");

static inline uint8_t *sample_filter_area(uint8_t *filter, uint64_t address)
{
	return filter + (address >> SAMPLE_FILTER_SHIFT ^ address >> (SAMPLE_FILTER_SHIFT + 16)) %
				CHANNEL_FILTER_AREAS;
}

static inline uint64_t *sample_filter_cell(uint8_t *filter, uint64_t address)
{
	uint64_t *cells = (uint64_t *)(filter + CHANNEL_FILTER_AREAS);

	return cells + (address * CHANNEL_FILTER_MULTIPLIER >> CHANNEL_FILTER_MULTIPLIER_SHIFT) %
			       CHANNEL_FILTER_CELLS;
}

enum sample_filter_answer {
	SAMPLE_FILTER_NO,      /* it was not recorded */
	SAMPLE_FILTER_MAYBE,   /* it, or another one with its hash */
	SAMPLE_FILTER_CERTAIN, /* it was, and stands in its cell: who frees it takes it out */
};

/* Was the block at address, which is live, recorded? */
static inline enum sample_filter_answer sample_filter_ask(uint8_t *filter, uint64_t address)
{
	uint64_t cell;

	if (!__atomic_load_n(sample_filter_area(filter, address), __ATOMIC_RELAXED))
		return SAMPLE_FILTER_NO;
	cell = __atomic_load_n(sample_filter_cell(filter, address), __ATOMIC_RELAXED);
	if (CHANNEL_ADDRESS(cell) == address)
		return SAMPLE_FILTER_CERTAIN;
	return cell >> 48 ? SAMPLE_FILTER_MAYBE : SAMPLE_FILTER_NO;
}

/* by is 1, or -1 in 8 bits. */
static inline void sample_filter_count(uint8_t *area, uint8_t by)
{
	uint8_t n = __atomic_load_n(area, __ATOMIC_RELAXED);

	/* No plain addition behind a check: two threads at 254 would make it 0. */
	while (n != SAMPLE_FILTER_FULL && (n || by == 1) &&
	       !__atomic_compare_exchange_n(area, &n, (uint8_t)(n + by), true, __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED))
		;
}

static inline uint64_t sample_filter_cell_with(uint64_t cell, uint64_t address)
{
	if (!CHANNEL_ADDRESS(cell))
		return cell | CHANNEL_ADDRESS(address);
	return cell >> 48 == SAMPLE_FILTER_CELL_FULL ? cell : cell + (1ULL << 48);
}

static inline uint64_t sample_filter_cell_without(uint64_t cell, uint64_t address)
{
	if (CHANNEL_ADDRESS(cell) == address)
		return cell & ~CHANNEL_ADDRESS(~0ULL);
	return cell >> 48 && cell >> 48 != SAMPLE_FILTER_CELL_FULL ? cell - (1ULL << 48) : cell;
}

/* The block at address is going to be recorded. Undone by drop if that fails. */
static inline void sample_filter_add(uint8_t *filter, uint64_t address)
{
	uint64_t *cell = sample_filter_cell(filter, address);
	uint64_t was = __atomic_load_n(cell, __ATOMIC_RELAXED);

	while (!__atomic_compare_exchange_n(cell, &was, sample_filter_cell_with(was, address), true,
					    __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
	sample_filter_count(sample_filter_area(filter, address), 1);
}

/* The block at address, which is live, will not be certain any more. */
static inline void sample_filter_yield(uint8_t *filter, uint64_t address)
{
	uint64_t *cell = sample_filter_cell(filter, address), with;
	uint64_t was = __atomic_load_n(cell, __ATOMIC_RELAXED);

	do {
		if (CHANNEL_ADDRESS(was) != address)
			return;
		with = was & ~CHANNEL_ADDRESS(~0ULL);
		if (was >> 48 != SAMPLE_FILTER_CELL_FULL)
			with += 1ULL << 48;
	} while (!__atomic_compare_exchange_n(cell, &was, with, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
}

/* A recorded block at address is gone. */
static inline void sample_filter_drop(uint8_t *filter, uint64_t address)
{
	uint64_t *cell = sample_filter_cell(filter, address);
	uint64_t was = __atomic_load_n(cell, __ATOMIC_RELAXED);

	sample_filter_count(sample_filter_area(filter, address), (uint8_t)-1);
	while (!__atomic_compare_exchange_n(cell, &was, sample_filter_cell_without(was, address),
					    true, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

#endif
