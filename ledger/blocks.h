/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_LEDGER_BLOCKS_H
#define MEMATTACH_LEDGER_BLOCKS_H

#include "ledger/ledger.h"
#include "ledger/table.h"

/*
 * The live blocks, by address. A table entry has 32 bits for the size; the few
 * blocks of 4 GB and more have BLOCKS_LARGE there, and their whole size in a
 * second table.
 */
#define BLOCKS_LARGE UINT32_MAX

struct blocks {
	struct table all;
	struct table large; /* address -> size: size = low half, stack = high half */
};

/* seed: see table_init. Allocates nothing. */
void blocks_init(struct blocks *blocks, const u64 seed[2]);
void blocks_deinit(struct blocks *blocks);

static inline void blocks_prefetch(const struct blocks *blocks, u64 address)
{
	table_prefetch(&blocks->all, table_hash(&blocks->all, address));
}

/*
 * Adds *block. If one was live at its address, that one is replaced and copied
 * to *old. Returns 0: added, 1: replaced, or -ENOMEM with nothing changed.
 */
int blocks_put(struct blocks *blocks, const struct ledger_block *block, struct ledger_block *old);

/* Removes the block at address into *block; false if there is none. */
bool blocks_take(struct blocks *blocks, u64 address, struct ledger_block *block);

/* As ledger_visit. */
int blocks_visit(const struct blocks *blocks,
		 int (*visit)(void *ctx, const struct ledger_block *block), void *ctx);

/* Whether a block is live at address. */
bool blocks_has(const struct blocks *blocks, u64 address);

/* Bytes of memory occupied. */
size_t blocks_memory(const struct blocks *blocks);

#endif
