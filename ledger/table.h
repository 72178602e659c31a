/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_LEDGER_TABLE_H
#define MEMATTACH_LEDGER_TABLE_H

#include "base/hash.h"
#include "base/types.h"
#include "ledger/chunks.h"
#include "ledger/pages.h"

/*
 * A hash table from 64-bit addresses to 12 bytes, made for tens of millions of
 * entries: about 28 bytes an entry at every size, one or two cache misses an
 * operation, and no operation that takes long (the longest moves some 15,000
 * entries, a fraction of a millisecond). How it does that: table.c.
 */
#define TABLE_BUCKET_SLOTS 12
#define TABLE_PAGE_BUCKETS (PAGES_SIZE / 256)
#define TABLE_PAGE_SLOTS   (TABLE_PAGE_BUCKETS * TABLE_BUCKET_SLOTS)
#define TABLE_SHARD_PAGES  28

/* One entry; 20 bytes, hence the address in two halves. */
struct table_slot {
	u32 address_low, address_high;
	u32 size, stack, time; /* the table doesn't look at these */
};

struct table_bucket {
	u8 tag[TABLE_BUCKET_SLOTS]; /* 8 bits of the entry's hash, never 0; 0: free slot */
	u16 passed;                 /* entries that found this bucket full and live further on */
	u16 pad;
	struct table_slot slot[TABLE_BUCKET_SLOTS];
};

struct table_shard {
	u32 count;
	u32 npages;
	u32 page[TABLE_SHARD_PAGES];
	u32 pad[2];
};

struct table {
	struct pages pages;
	struct chunks shards; /* struct table_shard */
	u32 nshards;
	u32 mask; /* the largest power of two <= nshards, minus 1 */
	u64 count;
	u64 seed[2];
};

/* Allocates nothing. seed: random numbers that nobody else knows (seed[1] is made odd). */
void table_init(struct table *table, const u64 seed[2]);
void table_deinit(struct table *table);

/* The hash of an address, to be passed to the functions below. */
static inline u64 table_hash(const struct table *table, u64 address)
{
	return hash_u64((address + table->seed[0]) * table->seed[1]);
}

/* Starts to fetch what the next call for this hash reads. */
void table_prefetch(const struct table *table, u64 hash);

/* The entry of address, valid until the next add or remove; NULL if there is none. */
struct table_slot *table_find(const struct table *table, u64 address, u64 hash);

/*
 * Adds an entry for address, which must not be in the table. Returns it, with
 * size, stack and time to be filled in, or NULL when out of memory; then the
 * table is as before.
 */
struct table_slot *table_add(struct table *table, u64 address, u64 hash);

/* Removes the entry of address into *slot; false if there is none. */
bool table_remove(struct table *table, u64 address, u64 hash, struct table_slot *slot);

/* Calls visit for every entry, in no order, until it returns non-zero; returns that. */
int table_visit(const struct table *table, int (*visit)(void *ctx, const struct table_slot *slot),
		void *ctx);

/* Bytes of memory occupied. */
size_t table_memory(const struct table *table);

static inline u64 table_slot_address(const struct table_slot *slot)
{
	return (u64)slot->address_high << 32 | slot->address_low;
}

#endif
