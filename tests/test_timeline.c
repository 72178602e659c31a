// SPDX-License-Identifier: MIT
#include "ledger/timeline.h"
#include "tests/in_loops.h"
#include "tests/suites.h"

static struct timeline *timeline;

static void setup(void)
{
	struct err err = ERR_INIT;

	timeline = timeline_create(&err);
	ck_assert_ptr_nonnull(timeline);
}

static void teardown(void)
{
	timeline_destroy(timeline);
}

static void add(u32 time)
{
	struct timeline_point point = {
		.time = time,
		.live_bytes = time * 10ULL,
		.live_blocks = time * 11ULL,
		.rss = time * 12ULL,
		.vsz = time * 13ULL,
		.swap = time * 14ULL,
		.minor_faults = time * 15ULL,
		.major_faults = time * 16ULL,
	};

	timeline_add(timeline, &point);
}

/* Every field is what add(time) made. */
static void check_point(const struct timeline_point *point)
{
	u64 time = point->time;

	assert_in_loop(point->live_bytes == time * 10);
	assert_in_loop(point->live_blocks == time * 11);
	assert_in_loop(point->rss == time * 12);
	assert_in_loop(point->vsz == time * 13);
	assert_in_loop(point->swap == time * 14);
	assert_in_loop(point->minor_faults == time * 15);
	assert_in_loop(point->major_faults == time * 16);
}

START_TEST(empty_has_no_points)
{
	size_t count = 1;

	timeline_points(timeline, &count);
	ck_assert_uint_eq(count, 0);
	timeline_destroy(NULL);
}
END_TEST

START_TEST(until_it_is_full_all_are_kept)
{
	for (u32 i = 0; i < TIMELINE_MAX_POINTS; i++) {
		const struct timeline_point *points;
		size_t count;

		add(i * 100);
		points = timeline_points(timeline, &count);
		ck_assert_uint_eq(count, i + 1);
		ck_assert_uint_eq(points[i].time, i * 100);
	}
	for (u32 i = 0; i < TIMELINE_MAX_POINTS; i++) {
		size_t count;

		ck_assert_uint_eq(timeline_points(timeline, &count)[i].time, i * 100);
		check_point(&timeline_points(timeline, &count)[i]);
	}
}
END_TEST

/* After every single sample: the first, the newest, never too many, evenly spaced but for the newest. */
START_TEST(a_long_run_keeps_its_shape)
{
	const u32 samples = 5 * TIMELINE_MAX_POINTS + 3;

	for (u32 i = 0; i < samples; i++) {
		const struct timeline_point *points;
		size_t count;

		add(i);
		points = timeline_points(timeline, &count);
		assert_in_loop(count <= TIMELINE_MAX_POINTS);
		if (i >= TIMELINE_MAX_POINTS)
			assert_in_loop(count >= TIMELINE_MAX_POINTS / 2);
		assert_in_loop(points[0].time == 0);
		assert_in_loop(points[count - 1].time == i);
		if (i % 1997 && i + 1 != samples)
			continue;
		for (size_t k = 1; k < count; k++) {
			u32 step = points[k].time - points[k - 1].time;

			check_point(&points[k]);
			if (k + 1 < count)
				assert_in_loop(step == points[1].time - points[0].time);
			else
				assert_in_loop(step >= 1);
		}
	}
}
END_TEST

START_TEST(a_very_long_run_has_all_parts)
{
	const struct timeline_point *points;
	u32 samples = 3000000, half = 0;
	size_t count;

	for (u32 i = 0; i < samples; i++)
		add(i);
	points = timeline_points(timeline, &count);
	for (size_t k = 0; k < count; k++)
		half += points[k].time < samples / 2;
	ck_assert_uint_ge(half, count / 2 - 1);
	ck_assert_uint_le(half, count / 2 + 1);
}
END_TEST

Suite *timeline_suite(void)
{
	Suite *suite = suite_create("timeline");
	TCase *tcase = tcase_create("timeline");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, empty_has_no_points);
	tcase_add_test(tcase, until_it_is_full_all_are_kept);
	tcase_add_test(tcase, a_long_run_keeps_its_shape);
	tcase_add_test(tcase, a_very_long_run_has_all_parts);
	suite_add_tcase(suite, tcase);
	return suite;
}
