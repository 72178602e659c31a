// SPDX-License-Identifier: MIT
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/frame.h"
#include "base/hash.h"
#include "ledger/stacks.h"
#include "tests/suites.h"

static struct stacks *stacks;

static void setup(void)
{
	struct err err = ERR_INIT;

	stacks = stacks_create(&err);
	ck_assert_ptr_nonnull(stacks);
}

static void teardown(void)
{
	stacks_destroy(stacks);
}

static u32 intern(const u64 *frames, u32 n)
{
	u32 id = UINT32_MAX;

	if (stacks_intern(stacks, frames, n, &id))
		ck_abort_msg("out of memory");
	return id;
}

/* As ck_assert_uint_eq, which costs a system call, for loops of many turns. */
static void check_id(u32 id, u32 expected)
{
	if (id != expected)
		ck_abort_msg("id %u instead of %u", id, expected);
}

static void check_frames(u32 id, const u64 *frames, u32 n)
{
	u32 got = UINT32_MAX;
	const u64 *found = stacks_frames(stacks, id, &got);

	if (got != n || (n && memcmp(found, frames, n * sizeof(*frames)) != 0))
		ck_abort_msg("stack %u has other frames", id);
}

START_TEST(equal_stacks_have_one_id)
{
	u64 a[] = {frame_make(1, 0x1000), frame_make(2, 0x2000), frame_make(2, 0x3000)};
	u64 b[] = {frame_make(1, 0x1000), frame_make(2, 0x2000), frame_make(3, 0x3000)};
	u64 copy[3];

	memcpy(copy, a, sizeof(a));
	ck_assert_uint_eq(stacks_count(stacks), 0);
	ck_assert_uint_eq(intern(a, 3), 0);
	ck_assert_uint_eq(intern(b, 3), 1);
	ck_assert_uint_eq(intern(copy, 3), 0);
	ck_assert_uint_eq(stacks_count(stacks), 2);
	check_frames(0, a, 3);
	check_frames(1, b, 3);
}
END_TEST

/* Neither a part of a stack nor its frames in another order are that stack. */
START_TEST(parts_and_orders_differ)
{
	u64 a[] = {1, 2, 3, 4};
	u64 reversed[] = {4, 3, 2, 1};
	u64 zeros[] = {0, 0, 0};

	ck_assert_uint_eq(intern(a, 4), 0);
	ck_assert_uint_eq(intern(a, 3), 1);
	ck_assert_uint_eq(intern(a + 1, 3), 2);
	ck_assert_uint_eq(intern(reversed, 4), 3);
	ck_assert_uint_eq(intern(zeros, 1), 4);
	ck_assert_uint_eq(intern(zeros, 2), 5);
	ck_assert_uint_eq(intern(zeros, 3), 6);
	ck_assert_uint_eq(intern(zeros, 2), 5);
}
END_TEST

START_TEST(an_empty_stack_is_a_stack)
{
	u64 one = 1;

	ck_assert_uint_eq(intern(NULL, 0), 0);
	ck_assert_uint_eq(intern(&one, 1), 1);
	ck_assert_uint_eq(intern(&one, 0), 0);
	check_frames(0, NULL, 0);
}
END_TEST

#define MANY      100000
#define MAX_DEPTH 256

/* Stack number i: a depth and frames that depend on i only, many with long common parts. */
static u32 make_stack(u32 i, u64 *frames)
{
	u32 n = 1 + (u32)(hash_u64(i) % 40);

	if (i % 1000 == 7)
		n = MAX_DEPTH;
	for (u32 k = 0; k < n; k++)
		frames[k] = 0x555500001000ULL + k * 16;
	frames[hash_u64(i + 1) % n] = i;
	return n;
}

START_TEST(many_stacks_keep_their_frames)
{
	u64 frames[MAX_DEPTH];
	size_t words = 0;

	for (u32 i = 0; i < MANY; i++) {
		u32 n = make_stack(i, frames);

		words += n;
		check_id(intern(frames, n), i);
		/* An old one while the table is growing. */
		n = make_stack(i / 2, frames);
		check_id(intern(frames, n), i / 2);
	}
	ck_assert_uint_eq(stacks_count(stacks), MANY);
	for (u32 i = 0; i < MANY; i++) {
		u32 n = make_stack(i, frames);

		check_frames(i, frames, n);
		check_id(intern(frames, n), i);
	}
	/* Not much more than the frames themselves, and 28 bytes a stack. */
	ck_assert_uint_le(stacks_memory(stacks), words * 8 + MANY * 32 + (1 << 20));
}
END_TEST

/* Stacks from the bottom of recursion: deeper than any block of the pool. */
START_TEST(very_deep_stacks)
{
	const u32 deep = 1000000;
	u64 *frames = calloc(deep, sizeof(*frames));

	ck_assert_ptr_nonnull(frames);
	for (u32 i = 0; i < deep; i++)
		frames[i] = i;
	ck_assert_uint_eq(intern(frames, deep), 0);
	ck_assert_uint_eq(intern(frames, 3), 1);
	ck_assert_uint_eq(intern(frames, deep - 1), 2);
	ck_assert_uint_eq(intern(frames, deep), 0);
	check_frames(0, frames, deep);
	check_frames(1, frames, 3);
	check_frames(2, frames, deep - 1);
	free(frames);
}
END_TEST

/*
 * Stacks that differ in high bits, in two neighbours at once, in one frame of
 * many: what collides under a hash that only adds and shifts would take
 * minutes here.
 */
START_TEST(stacks_that_a_weak_hash_confuses)
{
	u64 frames[16] = {0};
	u32 id = 0;

	for (u64 i = 0; i < 1 << 16; i++) {
		for (u32 k = 0; k < 16; k++) {
			u64 bit = i >> k & 1;

			frames[k] = (bit << 63) | (bit << 31) | (k ? (i >> (k - 1) & 1) << 31 : 0);
		}
		check_id(intern(frames, 16), id++);
	}
	for (u64 i = 1; i <= 1 << 16; i++) {
		memset(frames, 0, sizeof(frames));
		frames[3] = i << 47;
		frames[4] = -(i << 20);
		check_id(intern(frames, 16), id++);
	}
}
END_TEST

Suite *stacks_suite(void)
{
	Suite *suite = suite_create("stacks");
	TCase *tcase = tcase_create("stacks");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, equal_stacks_have_one_id);
	tcase_add_test(tcase, parts_and_orders_differ);
	tcase_add_test(tcase, an_empty_stack_is_a_stack);
	tcase_add_test(tcase, many_stacks_keep_their_frames);
	tcase_add_test(tcase, very_deep_stacks);
	tcase_add_test(tcase, stacks_that_a_weak_hash_confuses);
	suite_add_tcase(suite, tcase);
	return suite;
}
