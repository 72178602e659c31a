// SPDX-License-Identifier: MIT
/*
 * The table of live blocks
 *
 * A table that doubles is half empty after it has doubled, and stalls the
 * target while it does. This one grows by pages of 16 KB, in two steps that
 * happen in one small part of it at a time.
 *
 *	hash of the address
 *	 63              32 31    24 23         0
 *	+------------------+--------+------------+
 *	| bucket in shard  |  tag   |   shard    |
 *	+------------------+--------+------------+
 *
 *	shards (linear hashing)       shard: 1 to 28 pages of 64 buckets
 *	[0][1][2] ... [n-1]           +---------+---------+-- --+---------+
 *	       |                      | bucket 0| bucket 1| ... |bucket m |
 *	       +--------------------> +---------+---------+-- --+---------+
 *
 *	bucket, 256 bytes
 *	+----------+--------+-----+--------+--------+--------+-- --+---------+
 *	| 12 tags  | passed | pad | slot 0 | slot 1 | slot 2 | ... | slot 11 |
 *	+----------+--------+-----+--------+--------+--------+-- --+---------+
 *	 12 x u8     u16     u16   20 bytes: address, size, stack, time
 *
 * Growth within a shard: when its slots are 84 % full it gets one more page and
 * its entries are placed anew. With k pages that costs about k moves per entry
 * added, and wastes about 1/2k of the memory: hence k between 3 and 12.
 *
 * Growth of the table, linear hashing (W. Litwin, "Linear hashing: a new tool
 * for file and table addressing", VLDB 1980): with more than 6 full pages a
 * shard on average, shard n - 2^i (2^i <= n) is split: its entries whose hash
 * has bit i set move to the new shard n. So shards are split in order, one
 * after the other, and at no moment more than one of them moves. A shrinking
 * table takes the same steps backwards.
 *
 * An entry that finds its bucket full goes to the next one with a free slot,
 * and each full bucket it passes counts it in `passed`. A search compares the
 * tags of one bucket at once, and goes on to the next bucket only while
 * `passed` is not zero, so that removing needs no tombstones (the scheme of
 * F14, N. Bronson and X. Shi, "Open-sourcing F14", 2019).
 *
 * Addresses come from the target: the hash is keyed with random numbers, and a
 * shard never has more than 28 pages, so that even entries that all collide
 * cost a bounded search, and then -ENOMEM.
 */
#include "ledger/table_shard.h"

_Static_assert(sizeof(struct table_slot) == 20, "slot");
_Static_assert(sizeof(struct table_bucket) == 256, "bucket");
_Static_assert(sizeof(struct table_shard) == 128, "shard");

/* 16 shards, 2 KB, in a chunk. */
#define SHARD_SHIFT 4

void table_init(struct table *table, const u64 seed[2])
{
	*table = (struct table){.seed = {seed[0], seed[1] | 1}};
	pages_init(&table->pages);
	chunks_init(&table->shards, sizeof(struct table_shard), SHARD_SHIFT);
}

void table_deinit(struct table *table)
{
	pages_deinit(&table->pages);
	chunks_deinit(&table->shards);
}

static u32 shard_number(const struct table *table, u64 hash)
{
	u32 i = (u32)hash & (table->mask << 1 | 1);

	return i < table->nshards ? i : i & table->mask;
}

/* The shard of this hash; NULL while the table has none. */
static struct table_shard *shard_of(const struct table *table, u64 hash)
{
	return table->nshards ? chunks_at(&table->shards, shard_number(table, hash)) : NULL;
}

void table_prefetch(const struct table *table, u64 hash)
{
	struct table_shard *shard;

	shard = shard_of(table, hash);
	if (shard && shard->npages)
		bucket_prefetch(shard_bucket(table, shard, hash_home(hash, shard_buckets(shard))));
}

static bool locate(const struct table *table, u64 address, u64 hash, struct table_place *place)
{
	struct table_shard *shard = shard_of(table, hash);
	u32 n = shard ? shard_buckets(shard) : 0;
	u8 tag = hash_tag(hash);
	u32 i = hash_home(hash, n);

	for (u32 seen = 0; seen < n; seen++) {
		struct table_bucket *bucket = shard_bucket(table, shard, i);
		u32 match = bucket_match(bucket, tag);

		while (match) {
			u32 slot = mask_next(&match);

			if (table_slot_address(&bucket->slot[slot]) != address)
				continue;
			*place = (struct table_place){bucket, i, slot};
			return true;
		}
		if (!bucket->passed)
			return false;
		i = next_bucket(i, n);
	}
	return false;
}

struct table_slot *table_find(const struct table *table, u64 address, u64 hash)
{
	struct table_place place;

	return locate(table, address, hash, &place) ? &place.bucket->slot[place.slot] : NULL;
}

struct table_place shard_place(struct table *table, struct table_shard *shard, u32 nbuckets,
			       u64 hash)
{
	u32 i = hash_home(hash, nbuckets);

	for (;; i = next_bucket(i, nbuckets)) {
		struct table_bucket *bucket = shard_bucket(table, shard, i);
		u32 unused = bucket_match(bucket, 0);

		if (unused) {
			u32 slot = mask_next(&unused);

			bucket->tag[slot] = hash_tag(hash);
			return (struct table_place){bucket, i, slot};
		}
		bucket->passed++;
	}
}

struct table_slot *table_add(struct table *table, u64 address, u64 hash)
{
	struct table_shard *shard;
	struct table_place place;
	struct table_slot *slot;

	if (!table->nshards) {
		if (!chunks_reach(&table->shards, 0))
			return NULL;
		table->nshards = 1;
	}
	table_balance(table);
	shard = shard_of(table, hash);
	if (shard->count >= shard->npages * PAGE_FULL && shard->npages < TABLE_SHARD_PAGES &&
	    shard_resize(table, shard, shard->npages + 1) &&
	    shard->count == shard->npages * TABLE_PAGE_SLOTS)
		return NULL;
	if (shard->count == TABLE_SHARD_PAGES * TABLE_PAGE_SLOTS)
		return NULL;
	place = shard_place(table, shard, shard_buckets(shard), hash);
	slot = &place.bucket->slot[place.slot];
	slot->address_low = (u32)address;
	slot->address_high = (u32)(address >> 32);
	shard->count++;
	table->count++;
	return slot;
}

bool table_remove(struct table *table, u64 address, u64 hash, struct table_slot *slot)
{
	struct table_place place;
	struct table_shard *shard = shard_of(table, hash);
	u32 i;

	if (!locate(table, address, hash, &place))
		return false;
	*slot = place.bucket->slot[place.slot];
	place.bucket->tag[place.slot] = 0;
	i = hash_home(hash, shard_buckets(shard));
	for (; i != place.at; i = next_bucket(i, shard_buckets(shard)))
		shard_bucket(table, shard, i)->passed--;
	shard->count--;
	table->count--;
	if (table->count >= TABLE_KEPT && shard->npages > 1 &&
	    shard->count <= (shard->npages - 1) * PAGE_FULL_AFTER_SHRINK)
		shard_resize(table, shard, shard->npages - 1); /* cannot fail */
	table_balance(table);
	return true;
}

int table_visit(const struct table *table, int (*visit)(void *ctx, const struct table_slot *slot),
		void *ctx)
{
	for (u32 s = 0; s < table->nshards; s++) {
		const struct table_shard *shard = chunks_at(&table->shards, s);

		for (u32 i = 0; i < shard_buckets(shard); i++) {
			const struct table_bucket *bucket = shard_bucket(table, shard, i);
			u32 occupied = bucket_occupied(bucket);

			while (occupied) {
				int r = visit(ctx, &bucket->slot[mask_next(&occupied)]);

				if (r)
					return r;
			}
		}
	}
	return 0;
}

size_t table_memory(const struct table *table)
{
	return pages_memory(&table->pages) + chunks_memory(&table->shards);
}
