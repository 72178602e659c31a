// SPDX-License-Identifier: MIT
/*
 * How the table of table.c grows and shrinks: pages of one shard, and the
 * number of shards.
 *
 * A shard is resized in place: bucket after bucket is emptied and its entries are
 * placed where they belong in the new size. That may be in a bucket whose turn
 * has not come; a bit for each slot says which entries are placed already. `passed` starts
 * again at zero and is counted as the entries are placed.
 */
#include <errno.h>

#include "ledger/table_shard.h"

/* Entries in an average shard above which the table gets one shard more. */
#define SHARD_FULL (6 * PAGE_FULL)
/* The table loses a shard when the others would have no more than this. */
#define SHARD_FULL_AFTER_MERGE (SHARD_FULL / 10 * 9)

/* Work on many buckets begins to fetch each of them this many buckets ahead. */
#define AHEAD 4

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

/* By bucket: a bit for each slot whose entry is where it belongs already. */
struct placed {
	u16 slots[TABLE_SHARD_PAGES * TABLE_PAGE_BUCKETS];
};

/* Places the entries of bucket i anew among nbuckets buckets, but for those that are placed. */
static void bucket_replace(struct table *table, struct table_shard *shard, u32 i, u32 nbuckets,
			   struct placed *placed)
{
	struct table_bucket *bucket = shard_bucket(table, shard, i);
	struct table_bucket old = *bucket;
	u32 todo = bucket_occupied(bucket) & ~(u32)placed->slots[i];

	for (u32 rest = todo; rest;)
		bucket->tag[mask_next(&rest)] = 0;
	while (todo) {
		const struct table_slot *slot = &old.slot[mask_next(&todo)];
		struct table_place to = shard_place(table, shard, nbuckets, slot_hash(table, slot));

		to.bucket->slot[to.slot] = *slot;
		placed->slots[to.at] |= (u16)(1U << to.slot);
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
	for (u32 done = 0; done < had; done++) {
		u32 i = nbuckets > had ? had - 1 - done : done;
		u32 soon = nbuckets > had ? i - AHEAD : i + AHEAD;

		if (soon < had)
			bucket_prefetch(shard_bucket(table, shard, soon));
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
		u32 occupied = bucket_occupied(bucket);

		if (i + AHEAD < shard_buckets(from))
			bucket_prefetch(shard_bucket(table, from, i + AHEAD));
		while (occupied) {
			u32 k = mask_next(&occupied);
			u64 hash = slot_hash(table, &bucket->slot[k]);
			struct table_place place;

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
		u32 occupied = bucket_occupied(bucket);

		if (i + AHEAD < shard_buckets(shard))
			bucket_prefetch(shard_bucket(table, shard, i + AHEAD));
		while (occupied) {
			const struct table_slot *slot = &bucket->slot[mask_next(&occupied)];

			count += (slot_hash(table, slot) & bit) != 0;
		}
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
	u32 npages;
	struct table_shard *to = chunks_reach(&table->shards, n);
	struct table_shard *from;

	if (!to)
		return;
	from = chunks_at(&table->shards, n - bit);
	*to = (struct table_shard){0};
	/* It will be about half of them. Without memory this ends before the entries are counted. */
	if (shard_add_pages(table, to, pages_for(from->count / 2)))
		return;
	npages = pages_for(shard_count_bit(table, from, bit));
	if (npages > TABLE_SHARD_PAGES || shard_add_pages(table, to, npages)) {
		while (to->npages)
			pages_put(&table->pages, to->page[--to->npages]);
		return;
	}
	shard_move(table, from, to, bit);
	/* Its entries have gone without a word to `passed`; and it may be able to do with less. */
	npages = pages_for(from->count);
	shard_resize(table, from, npages < from->npages ? npages : from->npages);
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
	chunks_trim(&table->shards, last);
}

void table_balance(struct table *table)
{
	u32 n = table->nshards;

	if (table->count > (u64)n * SHARD_FULL && n < TABLE_MAX_SHARDS)
		table_split(table);
	else if (n > 1 && table->count >= TABLE_KEPT &&
		 table->count <= (u64)(n - 1) * SHARD_FULL_AFTER_MERGE)
		table_merge(table);
}
