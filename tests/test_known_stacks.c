// SPDX-License-Identifier: MIT
/* The ids of stacks by their hashes. */
#include "probe/known_stacks.h"
#include "tests/in_loops.h"
#include "tests/suites.h"

/* More than it takes until those from before are forgotten. */
#define MANY 70000U

static struct known_stacks known;

static void set_up(void)
{
	ck_assert_int_eq(known_stacks_init(&known), 0);
}

static void tear_down(void)
{
	known_stacks_deinit(&known);
}

static u64 nth_hash(u32 i)
{
	return i * 0x100000001ULL;
}

static void learn(u32 from, u32 to)
{
	for (u32 i = from; i < to; i++)
		assert_in_loop(known_stacks_learn(&known, nth_hash(i), i + 1) == 0);
}

static bool has(u32 i)
{
	const struct known_stack *k = known_stacks_find(&known, nth_hash(i));

	assert_in_loop(!k || k->id == i + 1);
	return k != NULL;
}

/* 0 is a hash like others, and what a place has that nobody is in. */
START_TEST(those_that_were_learned)
{
	ck_assert(!has(0));
	ck_assert(!has(1));
	learn(0, MANY);
	for (u32 i = 0; i < MANY; i++)
		assert_in_loop(has(i));
	ck_assert(!has(MANY));
}
END_TEST

START_TEST(the_last_id_counts)
{
	learn(3, 4);
	ck_assert_int_eq(known_stacks_learn(&known, nth_hash(3), 77), 0);
	ck_assert_uint_eq(known_stacks_find(&known, nth_hash(3))->id, 77);
	ck_assert_uint_eq(known.now.n, 1);
}
END_TEST

/* A target cannot choose hashes that are all in one place. */
START_TEST(places_depend_on_a_secret)
{
	struct known_stacks other;
	u32 same = 0;

	ck_assert_int_eq(known_stacks_init(&other), 0);
	for (u32 i = 1; i <= 1000; i++)
		same += known_table_first(&known.now, nth_hash(i)) ==
			known_table_first(&other.now, nth_hash(i));
	known_stacks_deinit(&other);
	ck_assert_uint_lt(same, 500);
}
END_TEST

START_TEST(few_are_not_forgotten)
{
	learn(0, 1000);
	known_stacks_forget(&known);
	known_stacks_forget(&known);
	for (u32 i = 0; i < 1000; i++)
		assert_in_loop(has(i));
}
END_TEST

/* Not at once: a thread may still have one. */
START_TEST(many_are_forgotten_the_second_time)
{
	learn(0, MANY);
	known_stacks_forget(&known);
	for (u32 i = 0; i < MANY; i++)
		assert_in_loop(has(i));
	learn(MANY, 2 * MANY);
	known_stacks_forget(&known);
	ck_assert(!has(0));
	ck_assert(!has(MANY - 1));
	for (u32 i = MANY; i < 2 * MANY; i++)
		assert_in_loop(has(i));
	learn(0, 1);
	ck_assert(has(0));
}
END_TEST

Suite *known_stacks_suite(void)
{
	Suite *suite = suite_create("known_stacks");
	TCase *tcase = tcase_create("known_stacks");

	tcase_add_checked_fixture(tcase, set_up, tear_down);
	tcase_add_test(tcase, those_that_were_learned);
	tcase_add_test(tcase, the_last_id_counts);
	tcase_add_test(tcase, places_depend_on_a_secret);
	tcase_add_test(tcase, few_are_not_forgotten);
	tcase_add_test(tcase, many_are_forgotten_the_second_time);
	suite_add_tcase(suite, tcase);
	return suite;
}
