/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_LEDGER_TABLE_SHARD_H
#define MEMATTACH_LEDGER_TABLE_SHARD_H

#include <string.h>

#include "ledger/table.h"

/* What table.c and table_resize.c share and nobody else needs; table.c explains it. */

/* A shard gets one more page when its pages hold more than this on average: 84 % of the slots. */
#define PAGE_FULL (TABLE_PAGE_SLOTS * 84 / 100)
/* It gives one back when one page less would hold no more than this on average. */
#define PAGE_FULL_AFTER_SHRINK (TABLE_PAGE_SLOTS * 80 / 100)

/*
 * Room for so many entries is kept once it was needed, 1 MB or so: a program that
 * builds something and drops it, again and again, would have us move entries all the time.
 */
#define TABLE_KEPT 32768

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

static inline void bucket_prefetch(const struct table_bucket *bucket)
{
	for (size_t at = 0; at < sizeof(*bucket); at += 64)
		__builtin_prefetch((const char *)bucket + at);
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

/* Bit i of the result is set if byte i of x is zero. */
static inline u32 zero_bytes(u64 x)
{
	const u64 low7 = 0x7f7f7f7f7f7f7f7fULL;
	u64 top = ~(((x & low7) + low7) | x | low7); /* bit 7 of each zero byte */

	/* The multiplication adds up copies of those bits so that they meet in the top byte. */
	return (u32)((top >> 7) * 0x0102040810204080ULL >> 56);
}

#define BUCKET_ALL ((1U << TABLE_BUCKET_SLOTS) - 1)

/* Bit i of the result is set if slot i has this tag; tag 0: if it is free. */
static inline u32 bucket_match(const struct table_bucket *bucket, u8 tag)
{
	u64 all = 0x0101010101010101ULL * tag;
	u64 low;
	u32 high;

	memcpy(&low, bucket->tag, sizeof(low));
	memcpy(&high, bucket->tag + sizeof(low), sizeof(high));
	return (zero_bytes(low ^ all) | zero_bytes(high ^ all) << 8) & BUCKET_ALL;
}

static inline u32 bucket_occupied(const struct table_bucket *bucket)
{
	return bucket_match(bucket, 0) ^ BUCKET_ALL;
}

/* Takes the lowest bit out of a mask that isn't 0: the number of a slot. */
static inline u32 mask_next(u32 *mask)
{
	u32 i = (u32)__builtin_ctz(*mask);

	*mask &= *mask - 1;
	return i;
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
	u32 slot;
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
