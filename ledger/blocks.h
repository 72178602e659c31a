/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_LEDGER_BLOCKS_H
#define MEMATTACH_LEDGER_BLOCKS_H

#include "ledger/front.h"
#include "ledger/ledger.h"
#include "ledger/table.h"

/*
 * The live blocks, by address, in two tables (blocks.c). An entry has 32 bits for
 * the size; the few blocks of 4 GB and more have BLOCKS_LARGE there, and their
 * whole size in a third table.
 */
#define BLOCKS_LARGE UINT32_MAX

struct blocks {
	struct front front;
	u64 seed[2];
	struct table rest;
	struct table large; /* address -> size: size = low half, stack = high half */
};

/* seed: see table_init. 0 or -ENOMEM. */
int blocks_init(struct blocks *blocks, const u64 seed[2]);
void blocks_deinit(struct blocks *blocks);

/*
 * The hash of an address, to be passed to the functions below. Its upper half is
 * good. Two multiplications, the first of them by the key, are what the front needs; the rest of
 * the blocks has a hash of its own.
 */
static inline u64 blocks_hash(const struct blocks *blocks, u64 address)
{
	u64 x = (address + blocks->seed[0]) * blocks->seed[1];

	return (x ^ x >> 32) * 0x9e3779b97f4a7c15ULL;
}

/* So many blocks of the rest are in the processor's cache anyway: 512 KB. */
#define BLOCKS_CACHED 16384

/* Starts to fetch what the next call for this address reads. */
static inline void blocks_prefetch(const struct blocks *blocks, u64 address, u64 hash)
{
	__builtin_prefetch(front_bucket(&blocks->front, hash), 1);
	if (blocks->rest.count > BLOCKS_CACHED)
		table_prefetch(&blocks->rest, table_hash(&blocks->rest, address));
}

/* blocks_put and blocks_take where they are not as simple as can be. */
int blocks_put_slowly(struct blocks *blocks, const struct ledger_block *block, u64 hash,
		      struct ledger_block *old);
bool blocks_take_slowly(struct blocks *blocks, u64 address, u64 hash, struct ledger_block *block);

/*
 * Adds *block. If one was live at its address, that one is replaced and copied
 * to *old. Returns 0: added, 1: replaced, or -ENOMEM with nothing changed.
 */
static inline int blocks_put(struct blocks *blocks, const struct ledger_block *block, u64 hash,
			     struct ledger_block *old)
{
	struct front_bucket *bucket = front_bucket(&blocks->front, hash);
	u32 unused = front_match(bucket, 0);
	u32 slot;

	if (__builtin_expect(!unused || bucket->beyond || block->size >= BLOCKS_LARGE ||
				     front_match(bucket, ~block->address),
			     false))
		return blocks_put_slowly(blocks, block, hash, old);
	slot = front_slot(unused);
	bucket->key[slot] = ~block->address;
	bucket->entry[slot] = (struct front_entry){(u32)block->size, block->stack, block->time};
	blocks->front.count++;
	return 0;
}

/* Removes the block at address into *block; false if there is none. */
static inline bool blocks_take(struct blocks *blocks, u64 address, u64 hash,
			       struct ledger_block *block)
{
	struct front_bucket *bucket = front_bucket(&blocks->front, hash);
	u32 match = front_match(bucket, ~address);
	const struct front_entry *entry;
	u32 slot;

	if (__builtin_expect(!match || address == UINT64_MAX, false))
		return blocks_take_slowly(blocks, address, hash, block);
	slot = front_slot(match);
	entry = &bucket->entry[slot];
	if (__builtin_expect(entry->size == BLOCKS_LARGE, false))
		return blocks_take_slowly(blocks, address, hash, block);
	*block = (struct ledger_block){address, entry->size, entry->stack, entry->time};
	bucket->key[slot] = 0;
	blocks->front.count--;
	return true;
}

/* As ledger_visit. */
int blocks_visit(const struct blocks *blocks,
		 int (*visit)(void *ctx, const struct ledger_block *block), void *ctx);

/* Whether a block is live at address. */
bool blocks_has(const struct blocks *blocks, u64 address);

static inline u64 blocks_count(const struct blocks *blocks)
{
	return blocks->front.count + blocks->rest.count;
}

/* Bytes of memory occupied. */
size_t blocks_memory(const struct blocks *blocks);

#endif
