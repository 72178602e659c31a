// SPDX-License-Identifier: MIT
/*
 * How the table of table.c grows and shrinks: pages of one shard, and the
 * number of shards.
 *
 * A shard is resized in place: entry after entry is taken out and placed where
 * it belongs in the new size. That may be in a bucket whose turn has not come;
 * a bit for each slot says which entries are placed already. `passed` starts
 * again at zero and is counted as the entries are placed.
 */
#include <errno.h>

#include "ledger/table_shard.h"

/* Entries in an average shard above which the table gets one shard more. */
#define SHARD_FULL (8 * PAGE_FULL)
/* The table loses a shard when the others would have no more than this. */
#define SHARD_FULL_AFTER_MERGE (SHARD_FULL / 10 * 9)

static void page_clear(struct table_bucket *bucket)
{
	for (u32 i = 0; i < TABLE_PAGE_BUCKETS; i++) {
		memset(bucket[i].tag, 0, sizeof(bucket[i].tag));
		bucket[i].passed = 0;
	}
}

/* Appends empty pages until the shard has npages. */
static int shard_add_pages(struct table *table, struct table_shard *shard, u32 npages)
{
	u32 had = shard->npages;

	while (shard->npages < npages) {
		u32 number;
		int r = pages_get(&table->pages, &number);

		if (r) {
			while (shard->npages > had)
				pages_put(&table->pages, shard->page[--shard->npages]);
			return r;
		}
		page_clear(pages_at(&table->pages, number));
		shard->page[shard->npages++] = number;
	}
	return 0;
}

static u64 slot_hash(const struct table *table, const struct table_slot *slot)
{
	return table_hash(table, table_slot_address(slot));
}

/* Which slots of a shard hold an entry that is where it belongs already. */
struct placed {
	u64 bit[(TABLE_SHARD_PAGES * TABLE_PAGE_SLOTS + 63) / 64];
};

static u32 slot_number(u32 bucket, u32 k)
{
	return bucket * TABLE_BUCKET_SLOTS + k;
}

/* Places the entries of bucket i anew among nbuckets buckets, but for those that are placed. */
static void bucket_replace(struct table *table, struct table_shard *shard, u32 i, u32 nbuckets,
			   struct placed *placed)
{
	struct table_bucket *bucket = shard_bucket(table, shard, i);

	for (u32 k = 0; k < TABLE_BUCKET_SLOTS; k++) {
		u32 number = slot_number(i, k);
		struct table_slot slot;
		struct table_place to;

		if (!bucket->tag[k] || placed->bit[number / 64] >> number % 64 & 1)
			continue;
		slot = bucket->slot[k];
		bucket->tag[k] = 0;
		to = shard_place(table, shard, nbuckets, slot_hash(table, &slot));
		to.bucket->slot[to.slot] = slot;
		number = slot_number(to.at, (u32)to.slot);
		placed->bit[number / 64] |= 1ULL << number % 64;
	}
}

int shard_resize(struct table *table, struct table_shard *shard, u32 npages)
{
	u32 had = shard_buckets(shard);
	u32 nbuckets = npages * TABLE_PAGE_BUCKETS;
	struct placed placed = {0};
	int r = shard_add_pages(table, shard, npages);

	if (r)
		return r;
	for (u32 i = 0; i < had; i++)
		shard_bucket(table, shard, i)->passed = 0;
	/* Homes move up when it grows and down when it shrinks; so begin at that end. */
	if (nbuckets > had) {
		for (u32 i = had; i-- > 0;)
			bucket_replace(table, shard, i, nbuckets, &placed);
	} else {
		for (u32 i = 0; i < had; i++)
			bucket_replace(table, shard, i, nbuckets, &placed);
	}
	while (shard->npages > npages)
		pages_put(&table->pages, shard->page[--shard->npages]);
	return 0;
}

/* Moves the entries of `from` whose hash has this bit set (or, with bit 0, all) to `to`, which has room. */
static void shard_move(struct table *table, struct table_shard *from, struct table_shard *to,
		       u64 bit)
{
	for (u32 i = 0; i < shard_buckets(from); i++) {
		struct table_bucket *bucket = shard_bucket(table, from, i);

		for (u32 k = 0; k < TABLE_BUCKET_SLOTS; k++) {
			struct table_place place;
			u64 hash;

			if (!bucket->tag[k])
				continue;
			hash = slot_hash(table, &bucket->slot[k]);
			if ((hash & bit) != bit)
				continue;
			place = shard_place(table, to, shard_buckets(to), hash);
			place.bucket->slot[place.slot] = bucket->slot[k];
			bucket->tag[k] = 0;
			to->count++;
			from->count--;
		}
	}
}

static u32 shard_count_bit(const struct table *table, const struct table_shard *shard, u64 bit)
{
	u32 count = 0;

	for (u32 i = 0; i < shard_buckets(shard); i++) {
		const struct table_bucket *bucket = shard_bucket(table, shard, i);

		for (u32 k = 0; k < TABLE_BUCKET_SLOTS; k++)
			count += bucket->tag[k] && slot_hash(table, &bucket->slot[k]) & bit;
	}
	return count;
}

/* The largest power of two <= x, which isn't 0. */
static u32 power_below(u32 x)
{
	return 1U << (31 - __builtin_clz(x));
}

static void table_split(struct table *table)
{
	u32 n = table->nshards;
	u32 bit = power_below(n);
	struct table_shard *to = chunks_reach(&table->shards, n);
	struct table_shard *from;

	if (!to)
		return;
	from = chunks_at(&table->shards, n - bit);
	*to = (struct table_shard){0};
	if (shard_add_pages(table, to, pages_for(shard_count_bit(table, from, bit))))
		return;
	shard_move(table, from, to, bit);
	/* Its entries have gone without a word to `passed`; and it may be able to do with less. */
	shard_resize(table, from, pages_for(from->count));
	table->nshards++;
	table->mask = power_below(table->nshards) - 1;
}

/* The reverse: the last shard goes into the one that it was split from. */
static void table_merge(struct table *table)
{
	u32 last = table->nshards - 1;
	u32 bit = power_below(last);
	struct table_shard *from = chunks_at(&table->shards, last);
	struct table_shard *to = chunks_at(&table->shards, last - bit);
	u32 npages = pages_for(from->count + to->count);

	if (npages > TABLE_SHARD_PAGES)
		return;
	if (npages > to->npages && shard_resize(table, to, npages))
		return;
	shard_move(table, from, to, 0);
	while (from->npages)
		pages_put(&table->pages, from->page[--from->npages]);
	table->nshards = last;
	table->mask = bit - 1;
}

void table_balance(struct table *table)
{
	u32 n = table->nshards;

	if (table->count > (u64)n * SHARD_FULL && n < TABLE_MAX_SHARDS)
		table_split(table);
	else if (n > 1 && table->count <= (u64)(n - 1) * SHARD_FULL_AFTER_MERGE)
		table_merge(table);
}
