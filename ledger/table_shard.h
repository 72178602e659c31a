/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_LEDGER_TABLE_SHARD_H
#define MEMATTACH_LEDGER_TABLE_SHARD_H

#include <string.h>

#include "ledger/table.h"

/* What table.c and table_resize.c share and nobody else needs; table.c explains it. */

/* A shard gets one more page when its pages hold more than this on average: 90 % of the slots. */
#define PAGE_FULL (TABLE_PAGE_SLOTS * 9 / 10)
/* It gives one back when one page less would hold no more than this on average. */
#define PAGE_FULL_AFTER_SHRINK (TABLE_PAGE_SLOTS * 8 / 10)

static inline u32 shard_buckets(const struct table_shard *shard)
{
	return shard->npages * TABLE_PAGE_BUCKETS;
}

static inline struct table_bucket *shard_bucket(const struct table *table,
						const struct table_shard *shard, u32 i)
{
	struct table_bucket *page = pages_at(&table->pages, shard->page[i / TABLE_PAGE_BUCKETS]);

	return &page[i % TABLE_PAGE_BUCKETS];
}

/* Hash bits 0-23 choose the shard, 24-31 are the tag, 32-63 choose the bucket. */
#define TABLE_MAX_SHARDS (1U << 24)

static inline u8 hash_tag(u64 hash)
{
	u8 tag = (u8)(hash >> 24);

	return tag ? tag : 1;
}

/* The bucket in which an entry belongs, of n. Grows with the upper half of the hash. */
static inline u32 hash_home(u64 hash, u32 n)
{
	return (u32)((hash >> 32) * n >> 32);
}

static inline u32 next_bucket(u32 i, u32 n)
{
	return i + 1 == n ? 0 : i + 1;
}

/* A bit 7 in each byte of the result whose byte in x is zero. */
static inline u64 zero_bytes(u64 x)
{
	const u64 low7 = 0x7f7f7f7f7f7f7f7fULL;

	return ~(((x & low7) + low7) | x | low7);
}

/* Bit i is set where bucket->tag[i] == tag. */
struct tag_match {
	u64 low;  /* slots 0-7: bit 8 * i + 7 */
	u64 high; /* slots 8-11: bit 8 * (i - 8) + 7 */
};

static inline struct tag_match bucket_match(const struct table_bucket *bucket, u8 tag)
{
	u64 all = 0x0101010101010101ULL * tag;
	u64 low;
	u32 high;

	memcpy(&low, bucket->tag, sizeof(low));
	memcpy(&high, bucket->tag + sizeof(low), sizeof(high));
	return (struct tag_match){
		.low = zero_bytes(low ^ all),
		.high = zero_bytes((u64)high ^ all) & 0xffffffffULL,
	};
}

/* Takes the next slot out of the match: its number, or -1 if there is none. */
static inline int match_next(struct tag_match *match)
{
	int i;

	if (match->low) {
		i = __builtin_ctzll(match->low) / 8;
		match->low &= match->low - 1;
		return i;
	}
	if (match->high) {
		i = __builtin_ctzll(match->high) / 8;
		match->high &= match->high - 1;
		return 8 + i;
	}
	return -1;
}

static inline u32 pages_for(u32 count)
{
	u32 n = (count + PAGE_FULL - 1) / PAGE_FULL;

	return n ? n : 1;
}

/* Where an entry is. */
struct table_place {
	struct table_bucket *bucket;
	u32 at; /* number of the bucket */
	int slot;
};

/*
 * A free slot for an entry with this hash in the first nbuckets buckets of the
 * shard, marked with its tag; there must be one. Full buckets on the way count
 * it in `passed`. The caller counts it in the shard.
 */
struct table_place shard_place(struct table *table, struct table_shard *shard, u32 nbuckets,
			       u64 hash);

/*
 * Makes a shard of npages pages, which must be able to hold its entries, and
 * puts every entry where it belongs then. Counts `passed` anew. Returns
 * 0, or -ENOMEM with nothing changed; cannot fail if npages is not more than the
 * shard has.
 */
int shard_resize(struct table *table, struct table_shard *shard, u32 npages);

/*
 * Keeps the number of shards in step with the number of entries: call it for
 * every entry that is added or removed. Without memory for that everything stays as
 * it is.
 */
void table_balance(struct table *table);

#endif
