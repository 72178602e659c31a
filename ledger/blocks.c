// SPDX-License-Identifier: MIT
#include "ledger/blocks.h"

#include <errno.h>

void blocks_init(struct blocks *blocks, const u64 seed[2])
{
	table_init(&blocks->all, seed);
	table_init(&blocks->large, seed);
}

void blocks_deinit(struct blocks *blocks)
{
	table_deinit(&blocks->all);
	table_deinit(&blocks->large);
}

static u64 large_size(const struct table_slot *slot)
{
	return (u64)slot->stack << 32 | slot->size;
}

/* The block that a slot of the table of all blocks stands for. */
static struct ledger_block block_of(const struct blocks *blocks, const struct table_slot *slot)
{
	struct ledger_block block = {
		.address = table_slot_address(slot),
		.size = slot->size,
		.stack = slot->stack,
		.time = slot->time,
	};
	const struct table_slot *large;

	if (slot->size == BLOCKS_LARGE) {
		large = table_find(&blocks->large, block.address,
				   table_hash(&blocks->large, block.address));
		if (large)
			block.size = large_size(large);
	}
	return block;
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

int blocks_put(struct blocks *blocks, const struct ledger_block *block, struct ledger_block *old)
{
	u64 hash = table_hash(&blocks->all, block->address);
	struct table_slot *slot = table_find(&blocks->all, block->address, hash);
	bool is_large = block->size >= BLOCKS_LARGE;
	bool was_large = slot && slot->size == BLOCKS_LARGE;
	int replaced = slot != NULL;

	if (slot)
		*old = block_of(blocks, slot);
	if (is_large && large_put(blocks, block->address, block->size))
		return -ENOMEM;
	if (was_large && !is_large)
		large_drop(blocks, block->address);
	if (!slot)
		slot = table_add(&blocks->all, block->address, hash);
	if (!slot) {
		if (is_large)
			large_drop(blocks, block->address);
		return -ENOMEM;
	}
	slot->size = is_large ? BLOCKS_LARGE : (u32)block->size;
	slot->stack = block->stack;
	slot->time = block->time;
	return replaced;
}

bool blocks_take(struct blocks *blocks, u64 address, struct ledger_block *block)
{
	struct table_slot slot;

	if (!table_remove(&blocks->all, address, table_hash(&blocks->all, address), &slot))
		return false;
	*block = block_of(blocks, &slot);
	if (slot.size == BLOCKS_LARGE)
		large_drop(blocks, address);
	return true;
}

struct visit {
	const struct blocks *blocks;
	int (*visit)(void *ctx, const struct ledger_block *block);
	void *ctx;
};

static int visit_slot(void *ctx, const struct table_slot *slot)
{
	const struct visit *v = ctx;
	struct ledger_block block = block_of(v->blocks, slot);

	return v->visit(v->ctx, &block);
}

int blocks_visit(const struct blocks *blocks,
		 int (*visit)(void *ctx, const struct ledger_block *block), void *ctx)
{
	struct visit v = {blocks, visit, ctx};

	return table_visit(&blocks->all, visit_slot, &v);
}

size_t blocks_memory(const struct blocks *blocks)
{
	return table_memory(&blocks->all) + table_memory(&blocks->large);
}

bool blocks_has(const struct blocks *blocks, u64 address)
{
	return table_find(&blocks->all, address, table_hash(&blocks->all, address)) != NULL;
}
