// SPDX-License-Identifier: MIT
/* Each rule of the diagnosis: figures that make it speak, and figures just short of that. */
#include <stdio.h>
#include <string.h>

#include "proc/diagnosis.h"
#include "tests/suites.h"

#define KIB 1024UL
#define MIB (1UL << 20)
#define GIB (1UL << 30)

/* 10 s in the life of a service of 64 MiB in which nothing happens. */
static struct diagnosis_input quiet(void)
{
	struct diagnosis_input in = {.seconds = 10};

	in.now.rss = 64 * MIB;
	in.now.vsz = 200 * MIB;
	in.now.heap_rss = 10 * MIB;
	in.now.anonymous_rss = 34 * MIB;
	in.now.file_rss = 20 * MIB;
	in.at_attach = in.now;
	in.live_bytes = in.peak_bytes = 30 * MIB;
	in.total_allocations = 1000;
	in.total_frees = 900;
	return in;
}

/* All sentences, one a line. */
static const char *text_of(const struct diagnosis_input *in)
{
	static char text[8192];
	struct diagnosis d;

	text[0] = '\0';
	ck_assert_int_eq(diagnose(&d, in), 0);
	for (u32 i = 0; i < d.n; i++) {
		const char *end = d.text[i] + strlen(d.text[i]) - 1;

		ck_assert_int_eq(*end, '.');
		strcat(strcat(text, d.text[i]), "\n");
	}
	diagnosis_deinit(&d);
	ck_assert_uint_eq(d.n, 0);
	return text;
}

#define says(in, words)                                                                            \
	ck_assert_msg(strstr(text_of(in), words) != NULL, "\"%s\" is not in: %s", words,           \
		      text_of(in))
#define silent(in, words)                                                                          \
	ck_assert_msg(strstr(text_of(in), words) == NULL, "\"%s\" is in: %s", words, text_of(in))

START_TEST(nothing_remarkable)
{
	struct diagnosis_input in = quiet();
	struct diagnosis d;

	ck_assert_int_eq(diagnose(&d, &in), 0);
	ck_assert_uint_eq(d.n, 1);
	ck_assert_str_eq(d.text[0], "Nothing remarkable: 64.0 MiB resident, 30.0 MiB of live heap "
				    "blocks from since attach, no sign of a leak, of paging or of "
				    "churn.");
	diagnosis_deinit(&d);
	in.whole_life = true;
	says(&in, "live heap blocks, no sign");
	in.lost_events = 1;
	silent(&in, "Nothing remarkable");
}
END_TEST

/* Estimates say that they are, and conclusions hold within two standard errors. */
START_TEST(sampled_figures)
{
	struct diagnosis_input in = quiet();

	in.sampled = true;
	says(&in, "64.0 MiB resident, about 30.0 MiB of live heap blocks");
	in.lost_events = 7;
	says(&in, "7 records of sampled allocations or frees were lost: the estimates are off by");
	in.lost_events = 0;
	in.at_attach.rss = 24 * MIB;
	says(&in,
	     "RSS grew by 40.0 MiB in 10.0 s, and about 30.0 MiB of heap blocks allocated since "
	     "are live (about 1,000 allocations, 90 % of them freed)");
	in.live_bytes_error = 5 * MIB; /* 20 of 40 MiB */
	says(&in, "leak;");
	in.live_bytes_error += 512 * KIB;
	silent(&in, "leak;");
	in.live_bytes = 6 * MIB;
	in.live_bytes_error = 1 * MIB;
	says(&in, "RSS grew by 40.0 MiB in 10.0 s, but only about 6.0 MiB of");
	in.live_bytes_error = 2 * MIB + KIB;
	silent(&in, "RSS grew");
	in.live_bytes_error = 0;
	says(&in,
	     "Of 44.0 MiB resident heap and anonymous memory about 6.0 MiB are blocks allocated "
	     "since attach");
	in.live_bytes_error = 8 * MIB;
	silent(&in, "Of 44.0 MiB");
	in.live_bytes_error = 0;
	in.whole_life = true;
	says(&in, "only about 6.0 MiB are live: 38.0 MiB are lost");
	in.peak_bytes = 43 * MIB;
	says(&in, "only about 6.0 MiB are live, after a peak of about 43.0 MiB:");
	in.total_allocations = 1000000;
	in.temporary = 500000;
	says(&in, "About 50,000 allocations a second are temporary");
}
END_TEST

START_TEST(no_figures_at_all)
{
	struct diagnosis_input in;

	memset(&in, 0, sizeof(in));
	says(&in, "Nothing remarkable");
	memset(&in, 0xff, sizeof(in));
	in.seconds = 1;
	in.now.estimated = in.whole_life = in.sampled = true;
	text_of(&in);
	in.seconds = 0.0 / 0.0;
	text_of(&in);
}
END_TEST

START_TEST(limit_is_near)
{
	struct diagnosis_input in = quiet();

	in.now.cgroup_limit = in.at_attach.cgroup_limit = 70 * MIB;
	in.now.cgroup_usage = in.at_attach.cgroup_usage = 64 * MIB;
	says(&in, "64.0 MiB of the 70.0 MiB that its cgroup allows are used (91 %): the kernel is "
		  "about to kill it for want of memory (OOM).\n");
	in.now.cgroup_limit = in.at_attach.cgroup_limit = 72 * MIB;
	silent(&in, "cgroup");
	/* The others in the cgroup count, cache that can be dropped does not. */
	in.now.cgroup_usage = 71 * MIB;
	in.now.cgroup_cache = 6 * MIB;
	says(&in, "65.0 MiB of the 72.0 MiB");
	in.now.cgroup_cache = 8 * MIB;
	silent(&in, "OOM");
	in.now.cgroup_limit = 0;
	silent(&in, "cgroup");
}
END_TEST

START_TEST(limit_comes_nearer)
{
	struct diagnosis_input in = quiet();

	in.now.cgroup_limit = 100 * MIB;
	in.at_attach.rss = 44 * MIB;
	says(&in, "(64 %). It grows by 2.0 MiB a second: the limit is reached in 18 s.");
	silent(&in, "OOM");
	in.now.cgroup_limit = 68 * MIB;
	says(&in, "(OOM). It grows by 2.0 MiB a second: the limit is reached in 2.0 s.");
	/* An hour and more is no matter of now: 2 MiB a second, 7200 MiB an hour. */
	in.now.cgroup_limit = 64 * MIB + 7190 * MIB;
	in.now.rss = 64 * MIB;
	in.at_attach.rss = 0;
	in.seconds = 32;
	silent(&in, "limit"); /* 64 MiB are less than 1 % of it */
	in.now.rss = 640 * MIB;
	in.seconds = 320;
	in.now.cgroup_limit = in.now.rss + 7100 * MIB;
	says(&in, "is reached in 59 min");
	in.now.cgroup_limit = in.now.rss + 7300 * MIB;
	silent(&in, "limit");
	/* So slow that it is no matter of this hour. */
	in.now.cgroup_limit = 100 * GIB;
	in.at_attach.rss = 1 * MIB;
	in.now.rss = 3 * GIB;
	in.seconds = 3600;
	silent(&in, "limit");
	/* Too little growth, too short a time, a process that has just begun: no forecast. */
	in = quiet();
	in.now.cgroup_limit = 100 * MIB;
	in.at_attach.rss = in.now.rss - 900 * KIB;
	silent(&in, "limit");
	in.at_attach.rss = 44 * MIB;
	in.seconds = 0.5;
	silent(&in, "limit");
	in.seconds = 10;
	in.whole_life = true;
	silent(&in, "limit");
}
END_TEST

START_TEST(events_were_lost)
{
	struct diagnosis_input in = quiet();

	silent(&in, "lost");
	in.lost_events = 12345;
	says(&in, "12,345 allocator events were lost");
}
END_TEST

START_TEST(disk_is_read)
{
	struct diagnosis_input in = quiet();

	in.at_attach.major_faults = 1000;
	in.now.major_faults = 2234;
	in.seconds = 5;
	says(&in, "The process read from disk 1,234 times to satisfy page faults (major faults) in "
		  "5.0 s: its memory does not fit; look at swap and at file mappings.");
	silent(&in, "thrashing");
	/* Fewer than ten a second; fewer than a hundred in all. */
	in.seconds = 124;
	silent(&in, "disk");
	in.seconds = 1;
	in.now.major_faults = 1099;
	silent(&in, "disk");
	in.now.major_faults = 1120;
	in.seconds = 11;
	says(&in, "disk");
	in.seconds = 1;
	in.now.major_faults = 1100;
	says(&in, "disk");
}
END_TEST

START_TEST(thrashing)
{
	struct diagnosis_input in = quiet();

	in.now.major_faults = 5000;
	in.now.swap = 512 * MIB;
	in.at_attach.swap = 500 * MIB;
	says(&in,
	     "The process has 512 MiB in swap (12.0 MiB more than at attach) and read from disk "
	     "5,000 times in 10.0 s to satisfy page faults: it is thrashing.");
	silent(&in, "does not fit");
	in.now.swap = in.at_attach.swap = 15 * MIB;
	silent(&in, "thrashing");
	in.swap_in = 1;
	says(&in, "thrashing");
	in.now.major_faults = 50;
	silent(&in, "thrashing");
}
END_TEST

START_TEST(swapped_but_quiet)
{
	struct diagnosis_input in = quiet();

	in.now.swap = in.at_attach.swap = 16 * MIB;
	says(&in, "16.0 MiB of the process are in swap, but it hardly reads them back");
	in.now.swap = in.at_attach.swap = 15 * MIB;
	silent(&in, "swap");
	in.now.swap = 40 * MIB;
	says(&in, "25.0 MiB of the process were swapped out since attach (40.0 MiB now)");
	in.at_attach.swap = in.now.swap;
	in.swap_out_delta = 30 * MIB;
	says(&in, "30.0 MiB of the process were swapped out");
}
END_TEST

START_TEST(leak)
{
	struct diagnosis_input in = quiet();

	in.at_attach.rss = 44 * MIB;
	in.live_bytes = in.peak_bytes = 19 * MIB;
	says(&in, "RSS grew by 20.0 MiB in 10.0 s, and 19.0 MiB of heap blocks allocated since are "
		  "live (1,000 allocations, 90 % of them freed): if that goes on it is a leak");
	/* It has come down from its peak. */
	in.peak_bytes = 22 * MIB;
	silent(&in, "leak");
	in.peak_bytes = in.live_bytes;
	/* A small part of the growth. */
	in.live_bytes = in.peak_bytes = 9 * MIB;
	silent(&in, "it is a leak");
	in.live_bytes = in.peak_bytes = 19 * MIB;
	in.at_attach.rss = in.now.rss - 900 * KIB;
	silent(&in, "it is a leak");
	/* 3 MiB, but less than 5 % of what was there; a bit more than that. */
	in.at_attach.rss = in.now.rss - 3 * MIB;
	silent(&in, "it is a leak");
	in.at_attach.rss = in.now.rss - 7 * MIB / 2;
	says(&in, "it is a leak");
	/* In a small process less is a finding, but not less than 1 MiB. */
	in.now.rss = 4 * MIB;
	in.at_attach.rss = in.now.rss - 1000 * KIB;
	silent(&in, "it is a leak");
	in.at_attach.rss = in.now.rss - 1100 * KIB;
	says(&in, "it is a leak");
	in.now.rss = 64 * MIB;
	in.at_attach.rss = 44 * MIB;
	in.seconds = 0.9;
	silent(&in, "it is a leak");
}
END_TEST

START_TEST(leak_of_a_program_from_its_start)
{
	struct diagnosis_input in = quiet();

	in.whole_life = true;
	in.at_attach.rss = 0;
	in.live_bytes = in.peak_bytes = 40 * MIB;
	silent(&in, "it is a leak");
	in.total_frees = 510;
	silent(&in, "it is a leak");
	in.total_frees = 499;
	says(&in, "50 % of them freed): if that goes on it is a leak");
}
END_TEST

START_TEST(growth_outside_of_the_heap)
{
	struct diagnosis_input in = quiet();

	in.at_attach.rss = 44 * MIB;
	in.live_bytes = 4 * MIB;
	says(&in, "RSS grew by 20.0 MiB in 10.0 s, but only 4.0 MiB of heap blocks");
	in.live_bytes = 6 * MIB;
	silent(&in, "RSS grew");
	in.live_bytes = 0;
	in.at_attach.rss = in.now.rss - 15 * MIB;
	silent(&in, "RSS grew");
}
END_TEST

START_TEST(churn_of_pages)
{
	struct diagnosis_input in = quiet();

	in.now.minor_faults = 123456;
	says(&in, "12,345 minor page faults a second");
	in.now.minor_faults = 99990;
	silent(&in, "minor");
	in.now.minor_faults = 12345;
	in.seconds = 0.5;
	silent(&in, "minor");
}
END_TEST

START_TEST(churn_of_blocks)
{
	struct diagnosis_input in = quiet();

	in.total_allocations = 300000;
	in.temporary = 120000;
	says(&in,
	     "12,000 allocations a second are temporary, freed by the very next allocator call "
	     "of their thread (40 % of 300,000)");
	in.total_allocations = 400000;
	silent(&in, "temporary");
	in.total_allocations = in.temporary = 99000;
	silent(&in, "temporary");
}
END_TEST

START_TEST(files_are_most_of_it)
{
	struct diagnosis_input in = quiet();

	in.now.file_rss = 24 * MIB;
	in.now.shared_rss = 10 * MIB;
	says(&in, "Of 64.0 MiB resident 24.0 MiB are mapped files and 10.0 MiB shared memory: the "
		  "heap is not what makes this process big.");
	in.now.shared_rss = 7 * MIB;
	silent(&in, "shared memory");
	in.now.shared_rss = 40 * MIB;
	in.now.estimated = true;
	silent(&in, "shared memory");
	in.now.estimated = false;
	in.now.rss = 15 * MIB;
	silent(&in, "shared memory");
	in.now.rss = 17 * MIB;
	says(&in, "shared memory");
}
END_TEST

START_TEST(resident_but_not_live)
{
	struct diagnosis_input in = quiet();

	in.live_bytes = 20 * MIB;
	in.peak_bytes = 26 * MIB;
	says(&in,
	     "Of 44.0 MiB resident heap and anonymous memory 20.0 MiB are blocks seen since "
	     "attach: the other 24.0 MiB were allocated before attach, or are free but kept by "
	     "the allocator.");
	silent(&in, "fragmentation");
	in.whole_life = true;
	says(&in, "only 20.0 MiB are live: 24.0 MiB are lost to fragmentation");
	in.peak_bytes = 40 * MIB;
	says(&in, "only 20.0 MiB are live, after a peak of 40.0 MiB: the allocator keeps");
	silent(&in, "fragmentation");
	in.now.estimated = true;
	silent(&in, "live, after");
	in.now.estimated = false;
	in.live_bytes = 22 * MIB;
	silent(&in, "live, after");
	in.now.anonymous_rss = 5 * MIB;
	in.live_bytes = 0;
	silent(&in, "live, after");
}
END_TEST

START_TEST(vsz_is_harmless)
{
	struct diagnosis_input in = quiet();

	in.now.vsz = 5 * GIB;
	says(&in, "VSZ is 5.0 GiB and only 64.0 MiB of it resident");
	in.now.vsz = 4 * GIB;
	silent(&in, "VSZ");
	in.now.vsz = 5 * GIB;
	in.now.rss = 1300 * MIB;
	silent(&in, "VSZ");
	in.now.rss = 1250 * MIB;
	says(&in, "VSZ");
}
END_TEST

START_TEST(most_urgent_first)
{
	struct diagnosis_input in = quiet();
	const char *text, *last;
	static const char *const order[] = {"OOM",      "lost",          "thrashing",
					    "RSS grew", "minor",         "temporary",
					    "file",     "before attach", "VSZ"};

	in.at_attach.rss = 30 * MIB;
	in.now.cgroup_limit = 64 * MIB;
	in.lost_events = 1;
	in.now.major_faults = in.now.swap = 1 * GIB;
	in.now.minor_faults = 1 * GIB;
	in.temporary = in.total_allocations = 1 * GIB;
	in.now.file_rss = 50 * MIB;
	in.live_bytes = in.peak_bytes = 20 * MIB;
	in.now.vsz = 100 * GIB;
	text = last = text_of(&in);
	for (size_t i = 0; i < ARRAY_SIZE(order); i++) {
		const char *at = strstr(last, order[i]);

		ck_assert_msg(at != NULL, "\"%s\" is missing, or too early, in: %s", order[i],
			      text);
		last = at;
	}
}
END_TEST

Suite *diagnosis_suite(void)
{
	Suite *suite = suite_create("diagnosis");
	TCase *tcase = tcase_create("diagnosis");

	tcase_add_test(tcase, nothing_remarkable);
	tcase_add_test(tcase, sampled_figures);
	tcase_add_test(tcase, no_figures_at_all);
	tcase_add_test(tcase, limit_is_near);
	tcase_add_test(tcase, limit_comes_nearer);
	tcase_add_test(tcase, events_were_lost);
	tcase_add_test(tcase, disk_is_read);
	tcase_add_test(tcase, thrashing);
	tcase_add_test(tcase, swapped_but_quiet);
	tcase_add_test(tcase, leak);
	tcase_add_test(tcase, leak_of_a_program_from_its_start);
	tcase_add_test(tcase, growth_outside_of_the_heap);
	tcase_add_test(tcase, churn_of_pages);
	tcase_add_test(tcase, churn_of_blocks);
	tcase_add_test(tcase, files_are_most_of_it);
	tcase_add_test(tcase, resident_but_not_live);
	tcase_add_test(tcase, vsz_is_harmless);
	tcase_add_test(tcase, most_urgent_first);
	suite_add_tcase(suite, tcase);
	return suite;
}
