// SPDX-License-Identifier: MIT
#include <stdlib.h>
#include <string.h>

#include "ledger/blocks.h"
#include "ledger/table_shard.h"
#include "tests/ledger_model.h"
#include "tests/must.h"
#include "tests/suites.h"

static struct blocks blocks;

static void setup(void)
{
	const u64 seed[2] = {0x123456789abcdefULL, 0xfedcba987654321ULL};

	ck_assert_int_eq(blocks_init(&blocks, seed), 0);
}

static void teardown(void)
{
	blocks_deinit(&blocks);
}

static int put(u64 address, u64 size, struct ledger_block *old)
{
	struct ledger_block block = {address, size, (u32)size + 1, (u32)size + 2};

	return blocks_put(&blocks, &block, blocks_hash(&blocks, address), old);
}

static bool take(u64 address, struct ledger_block *block)
{
	return blocks_take(&blocks, address, blocks_hash(&blocks, address), block);
}

static bool is(const struct ledger_block *block, u64 address, u64 size)
{
	return block->address == address && block->size == size && block->stack == (u32)size + 1 &&
	       block->time == (u32)size + 2;
}

static int count_home(void *ctx, const struct table_slot *slot)
{
	u32 *beyond = ctx;
	u64 hash = blocks_hash(&blocks, table_slot_address(slot));

	beyond[front_bucket(&blocks.front, hash) - blocks.front.buckets]++;
	return 0;
}

/* Every bucket knows exactly how many of its blocks are in the rest, and the front how many it has. */
static void check_counts(void)
{
	u32 *beyond = calloc(front_buckets(&blocks.front), sizeof(*beyond));
	u32 count = 0;

	ck_assert_ptr_nonnull(beyond);
	table_visit(&blocks.rest, count_home, beyond);
	for (u32 i = 0; i < front_buckets(&blocks.front); i++) {
		const struct front_bucket *bucket = &blocks.front.buckets[i];

		MUST(bucket->beyond == beyond[i]);
		for (u32 s = 0; s < FRONT_SLOTS; s++)
			count += bucket->key[s] != 0;
	}
	ck_assert_uint_eq(blocks.front.count, count);
	free(beyond);
}

/* A plain model: the size of each block + 1, 0 if it is not live; blocks by number of their address. */
#define MODEL_MAX 20000
static u64 naive[MODEL_MAX];

static u64 random_size(void)
{
	return m_random() % 50 ? m_random() % 5000 : UINT32_MAX - 2 + m_random() % 5;
}

static u64 address_of(u32 i)
{
	return i ? m_address(i) : UINT64_MAX;
}

static void random_step(u32 i)
{
	u64 address = address_of(i), size = random_size();
	struct ledger_block block;

	MUST(blocks_has(&blocks, address) == (naive[i] != 0));
	if (m_random() % 2) {
		MUST(put(address, size, &block) == (naive[i] != 0));
		MUST(!naive[i] || is(&block, address, naive[i] - 1));
		naive[i] = size + 1;
	} else {
		MUST(take(address, &block) == (naive[i] != 0));
		MUST(!naive[i] || is(&block, address, naive[i] - 1));
		naive[i] = 0;
	}
}

static int visit_one(void *ctx, const struct ledger_block *block)
{
	u64 *sum = ctx;

	sum[0]++;
	sum[1] += block->address * 31 + block->size;
	return 0;
}

static void check_visit(u32 n)
{
	u64 expected[2] = {0}, seen[2] = {0}, large = 0;

	for (u32 i = 0; i < n; i++) {
		if (!naive[i])
			continue;
		expected[0]++;
		expected[1] += address_of(i) * 31 + naive[i] - 1;
		large += naive[i] - 1 >= BLOCKS_LARGE;
	}
	ck_assert_int_eq(blocks_visit(&blocks, visit_one, seen), 0);
	ck_assert_mem_eq(seen, expected, sizeof(seen));
	ck_assert_uint_eq(blocks_count(&blocks), expected[0]);
	ck_assert_uint_eq(blocks.large.count, large);
}

/* From one seed that spreads addresses well to one with which all are in one bucket. */
START_TEST(agree_with_a_plain_model)
{
	static const u64 multiplier[] = {0x9e3779b97f4a7c15ULL, 1ULL << 56, 1ULL << 60, 0};
	static const u32 addresses[] = {MODEL_MAX, 3000, 1000, 300};
	u32 n = addresses[_i];

	blocks.seed[1] = multiplier[_i];
	for (u32 step = 0; step < 300000; step++) {
		random_step((u32)(m_random() % n));
		if (step % 30000 == 0) {
			check_counts();
			check_visit(n);
		}
	}
	if (_i)
		ck_assert_uint_gt(blocks.rest.count, 50);
	else
		ck_assert_uint_gt(front_buckets(&blocks.front), MODEL_MAX / 8);
	for (u32 i = 0; i < n; i++) {
		struct ledger_block block;

		MUST(take(address_of(i), &block) == (naive[i] != 0));
	}
	memset(naive, 0, sizeof(naive));
	check_visit(n);
	check_counts();
}
END_TEST

/* The front doubles until it is as great as it may be, and then the rest has what comes. */
START_TEST(front_grows_and_then_the_rest)
{
	const u64 n = 1000000;
	struct ledger_block block;

	for (u64 i = 0; i < n; i++) {
		MUST(put(0x7f0000000000ULL + i * 48, i, &block) == 0);
		/* While it may grow few do not fit. */
		if (front_buckets(&blocks.front) < FRONT_MAX)
			MUST(blocks.rest.count <= 100 + i / 10);
		if ((i & (i - 1)) == 0)
			check_counts();
	}
	check_counts();
	ck_assert_uint_eq(front_buckets(&blocks.front), FRONT_MAX);
	ck_assert_uint_gt(blocks.front.count, FRONT_MAX * 2);
	ck_assert_uint_gt(blocks.rest.count, n / 2);
	ck_assert_uint_eq(front_memory(&blocks.front), 8 << 20);
	for (u64 i = 0; i < n; i++)
		MUST(take(0x7f0000000000ULL + i * 48, &block) &&
		     is(&block, 0x7f0000000000ULL + i * 48, i));
	ck_assert_uint_eq(blocks_count(&blocks), 0);
	check_counts();
}
END_TEST

/* A block that came to live when its bucket was full stays where it is, and is found there. */
START_TEST(room_that_comes_later)
{
	struct ledger_block block;

	blocks.seed[1] = 0; /* one bucket for all */
	for (u64 i = 0; i < 5; i++)
		ck_assert_int_eq(put(i, i, &block), 0);
	ck_assert_uint_eq(blocks.rest.count, 2);
	ck_assert(take(0, &block));
	ck_assert_int_eq(put(4, 40, &block), 1);
	ck_assert(is(&block, 4, 4));
	ck_assert_uint_eq(blocks.rest.count, 2);
	ck_assert_int_eq(put(0, 7, &block), 0);
	ck_assert_uint_eq(blocks.rest.count, 2);
	ck_assert_int_eq(put(UINT64_MAX, 8, &block), 0); /* which the front cannot hold */
	ck_assert_uint_eq(blocks.rest.count, 3);
	ck_assert(take(1, &block));
	ck_assert_int_eq(put(UINT64_MAX, 9, &block), 1);
	ck_assert(take(UINT64_MAX, &block) && is(&block, UINT64_MAX, 9));
	ck_assert(!take(UINT64_MAX, &block));
	ck_assert(!blocks_has(&blocks, UINT64_MAX));
	ck_assert(take(4, &block) && is(&block, 4, 40));
	check_counts();
}
END_TEST

/* The table below the ledger, when all its entries collide: slow, but bounded, and then full. */
START_TEST(table_whose_entries_all_collide)
{
	const u32 full = TABLE_SHARD_PAGES * TABLE_PAGE_SLOTS;
	u64 seed[2] = {0, 0};
	struct table_slot slot;
	struct table table;
	u64 n = 0;

	table_init(&table, seed);
	table.seed[1] = 0;
	while (n <= full && table_add(&table, n, table_hash(&table, n)))
		n++;
	ck_assert_uint_eq(table.count, full);
	MUST(((struct table_shard *)chunks_at(&table.shards, 0))->npages == TABLE_SHARD_PAGES);
	for (u64 i = 0; i < n; i += 1000)
		ck_assert_ptr_nonnull(table_find(&table, i, table_hash(&table, i)));
	for (u64 i = 0; i < n; i++)
		MUST(table_remove(&table, i, table_hash(&table, i), &slot));
	ck_assert_uint_eq(table.count, 0);
	for (u64 i = 0; i < n; i += 1000)
		ck_assert_ptr_null(table_find(&table, i, table_hash(&table, i)));
	table_deinit(&table);
}
END_TEST

static void assert_none_passed(const struct table *table, const struct table_shard *shard)
{
	for (u32 i = 0; i < shard->npages * TABLE_PAGE_BUCKETS; i++)
		ck_assert_uint_eq(shard_bucket(table, shard, i)->passed, 0);
}

/* After much coming and going no bucket counts an entry that isn't there any more. */
START_TEST(table_counts_what_passes_exactly)
{
	u64 seed[2] = {1, 2}, base = 0, n = 5000;
	struct table_slot slot;
	struct table table;

	table_init(&table, seed);
	for (u64 i = 0; i < n; i++)
		MUST(table_add(&table, i, table_hash(&table, i)));
	for (; base < 20 * n; base++) {
		MUST(table_remove(&table, base, table_hash(&table, base), &slot));
		MUST(table_add(&table, base + n, table_hash(&table, base + n)));
	}
	for (u64 i = base; i < base + n; i++)
		MUST(table_remove(&table, i, table_hash(&table, i), &slot));
	for (u32 s = 0; s < table.nshards; s++)
		assert_none_passed(&table, chunks_at(&table.shards, s));
	table_deinit(&table);
}
END_TEST

Suite *blocks_suite(void)
{
	Suite *suite = suite_create("blocks");
	TCase *tcase = tcase_create("blocks");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, agree_with_a_plain_model, 0, 4);
	tcase_add_test(tcase, front_grows_and_then_the_rest);
	tcase_add_test(tcase, room_that_comes_later);
	tcase_add_test(tcase, table_whose_entries_all_collide);
	tcase_add_test(tcase, table_counts_what_passes_exactly);
	suite_add_tcase(suite, tcase);
	return suite;
}
