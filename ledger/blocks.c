// SPDX-License-Identifier: MIT
/*
 * Live blocks are in one of two tables: in the front (front.h), which is fast, as
 * long as it has room in the bucket that the address belongs to; else in the
 * rest (table.c), which is compact. A bucket of the front counts those of its
 * blocks that are in the rest. The front stays within the processor's cache
 * and a few megabytes; a program with fewer than some 200,000 live blocks has nearly all there.
 *
 * When a bucket is full, the new block goes to the rest, and so most calls for blocks of a
 * program that has millions cost what the rest costs, and one line of the front.
 */
#include "ledger/blocks.h"

#include <errno.h>

/* The front grows no more when there are so many in the rest: it takes a pass over them. */
#define REST_COUNTED 65536

int blocks_init(struct blocks *blocks, const u64 seed[2])
{
	blocks->seed[0] = seed[0];
	blocks->seed[1] = seed[1] | 1;
	table_init(&blocks->rest, seed);
	table_init(&blocks->large, seed);
	return front_init(&blocks->front);
}

void blocks_deinit(struct blocks *blocks)
{
	front_deinit(&blocks->front);
	table_deinit(&blocks->rest);
	table_deinit(&blocks->large);
}

static u64 large_size(const struct blocks *blocks, u64 address)
{
	const struct table_slot *slot =
		table_find(&blocks->large, address, table_hash(&blocks->large, address));

	return slot ? (u64)slot->stack << 32 | slot->size : BLOCKS_LARGE;
}

/* Notes the size of a large block. Returns 0 or -ENOMEM; cannot fail if one is noted already. */
static int large_put(struct blocks *blocks, u64 address, u64 size)
{
	u64 hash = table_hash(&blocks->large, address);
	struct table_slot *slot = table_find(&blocks->large, address, hash);

	if (!slot)
		slot = table_add(&blocks->large, address, hash);
	if (!slot)
		return -ENOMEM;
	slot->size = (u32)size;
	slot->stack = (u32)(size >> 32);
	slot->time = 0;
	return 0;
}

static void large_drop(struct blocks *blocks, u64 address)
{
	struct table_slot gone;

	table_remove(&blocks->large, address, table_hash(&blocks->large, address), &gone);
}

/* The block that an entry of either table stands for. */
static struct ledger_block block_of(const struct blocks *blocks, u64 address, u32 size, u32 stack,
				    u32 time)
{
	u64 whole = size == BLOCKS_LARGE ? large_size(blocks, address) : size;

	return (struct ledger_block){address, whole, stack, time};
}

static u64 hash_of(const void *ctx, u64 address)
{
	return blocks_hash(ctx, address);
}

static int count_beyond(void *ctx, const struct table_slot *slot)
{
	struct blocks *blocks = ctx;
	u64 address = table_slot_address(slot);

	front_bucket(&blocks->front, blocks_hash(blocks, address))->beyond++;
	return 0;
}

/* Whether the front is greater now. */
static bool grow(struct blocks *blocks)
{
	if (!front_is_crowded(&blocks->front) || blocks->rest.count > REST_COUNTED ||
	    front_grow(&blocks->front, hash_of, blocks))
		return false;
	table_visit(&blocks->rest, count_beyond, blocks);
	return true;
}

/* Where an entry is: in one of the two tables. */
struct place {
	struct front_entry *front;
	u64 *key; /* in the front */
	struct table_slot *rest;
};

static bool find(const struct blocks *blocks, u64 address, u64 hash, struct place *place)
{
	struct front_bucket *bucket = front_bucket(&blocks->front, hash);
	u32 match = address == UINT64_MAX ? 0 : front_match(bucket, ~address);

	*place = (struct place){0};
	if (match) {
		place->front = &bucket->entry[front_slot(match)];
		place->key = &bucket->key[front_slot(match)];
	} else if (bucket->beyond) {
		place->rest =
			table_find(&blocks->rest, address, table_hash(&blocks->rest, address));
	}
	return place->front || place->rest;
}

static struct ledger_block block_at(const struct blocks *blocks, u64 address,
				    const struct place *place)
{
	const struct front_entry *f = place->front;
	const struct table_slot *r = place->rest;

	return f ? block_of(blocks, address, f->size, f->stack, f->time)
		 : block_of(blocks, address, r->size, r->stack, r->time);
}

/* A place for an address that is in neither table. 0 or -ENOMEM. */
static int add(struct blocks *blocks, u64 address, u64 hash, struct place *place)
{
	struct front_bucket *bucket = front_bucket(&blocks->front, hash);
	u32 unused = address == UINT64_MAX ? 0 : front_match(bucket, 0);

	if (!unused && grow(blocks)) {
		bucket = front_bucket(&blocks->front, hash);
		unused = address == UINT64_MAX ? 0 : front_match(bucket, 0);
	}
	*place = (struct place){0};
	if (unused) {
		place->front = &bucket->entry[front_slot(unused)];
		bucket->key[front_slot(unused)] = ~address;
		blocks->front.count++;
		return 0;
	}
	place->rest = table_add(&blocks->rest, address, table_hash(&blocks->rest, address));
	if (!place->rest)
		return -ENOMEM;
	bucket->beyond++;
	return 0;
}

int blocks_put_slowly(struct blocks *blocks, const struct ledger_block *block, u64 hash,
		      struct ledger_block *old)
{
	bool is_large = block->size >= BLOCKS_LARGE;
	struct front_entry entry = {is_large ? BLOCKS_LARGE : (u32)block->size, block->stack,
				    block->time};
	struct place place;
	bool replaced = find(blocks, block->address, hash, &place);

	if (replaced)
		*old = block_at(blocks, block->address, &place);
	if (is_large && large_put(blocks, block->address, block->size))
		return -ENOMEM;
	if (replaced && old->size >= BLOCKS_LARGE && !is_large)
		large_drop(blocks, block->address);
	if (!replaced && add(blocks, block->address, hash, &place)) {
		if (is_large)
			large_drop(blocks, block->address);
		return -ENOMEM;
	}
	if (place.front) {
		*place.front = entry;
		return replaced;
	}
	place.rest->size = entry.size;
	place.rest->stack = entry.stack;
	place.rest->time = entry.time;
	return replaced;
}

bool blocks_take_slowly(struct blocks *blocks, u64 address, u64 hash, struct ledger_block *block)
{
	struct front_bucket *bucket = front_bucket(&blocks->front, hash);
	struct table_slot gone;
	struct place place;

	if (bucket->beyond &&
	    table_remove(&blocks->rest, address, table_hash(&blocks->rest, address), &gone)) {
		*block = block_of(blocks, address, gone.size, gone.stack, gone.time);
		bucket->beyond--;
	} else if (find(blocks, address, hash, &place)) {
		*block = block_at(blocks, address, &place);
		*place.key = 0;
		blocks->front.count--;
	} else {
		return false;
	}
	if (block->size >= BLOCKS_LARGE)
		large_drop(blocks, address);
	return true;
}

struct visit {
	const struct blocks *blocks;
	int (*visit)(void *ctx, const struct ledger_block *block);
	void *ctx;
};

static int visit_front(void *ctx, u64 address, const struct front_entry *entry)
{
	const struct visit *v = ctx;
	struct ledger_block block =
		block_of(v->blocks, address, entry->size, entry->stack, entry->time);

	return v->visit(v->ctx, &block);
}

static int visit_rest(void *ctx, const struct table_slot *slot)
{
	const struct visit *v = ctx;
	struct ledger_block block =
		block_of(v->blocks, table_slot_address(slot), slot->size, slot->stack, slot->time);

	return v->visit(v->ctx, &block);
}

int blocks_visit(const struct blocks *blocks,
		 int (*visit)(void *ctx, const struct ledger_block *block), void *ctx)
{
	struct visit v = {blocks, visit, ctx};
	int r = front_visit(&blocks->front, visit_front, &v);

	return r ? r : table_visit(&blocks->rest, visit_rest, &v);
}

size_t blocks_memory(const struct blocks *blocks)
{
	return front_memory(&blocks->front) + table_memory(&blocks->rest) +
	       table_memory(&blocks->large);
}

bool blocks_has(const struct blocks *blocks, u64 address)
{
	struct place place;

	return find(blocks, address, blocks_hash(blocks, address), &place);
}
