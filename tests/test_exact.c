// SPDX-License-Identifier: MIT
/*
 * Exactness: a target that keeps the truth about its own allocations, and a
 * capture that must agree with it at every call site, block for block.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/capture_query.h"
#include "tests/run_memattach.h"
#include "tests/suites.h"

/* Everything is counted from the first instruction: the capture must hold all of the truth. */
static void check_launched(const char *program, const char *threads, const char *operations)
{
	char *path = build_path(program);
	struct memattach m;
	struct target target;
	json_t *capture;

	memattach_launch(&m, NULL, WORDS(path, threads));
	memattach_adopt(&m, &target);
	target_say(&target, "run %s", operations);
	target_expect(&target, "done");
	memattach_snapshot(&m);
	capture = memattach_capture(&m);
	capture_assert_truth(capture, &target, "", true);
	ck_assert_int_eq(capture_total(capture, "unknown_frees"), 0);
	ck_assert_int_eq(capture_total(capture, "failed_allocations"), truth_sums_last().failed);
	json_decref(capture);
	free(path);
	target_leave(&target);
	memattach_expect_exit(&m, 0);
	/* The report at the end of the target says the same of our sites, but the truth has gone with it. */
	json_decref(memattach_capture(&m));
	memattach_cleanup(&m);
}

START_TEST(launched_with_1_thread)
{
	check_launched("targets/exact", "1", "4000");
}
END_TEST

Suite *exact_suite(void)
{
	Suite *suite = suite_create("exact");
	TCase *tcase = tcase_create("exact");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, launched_with_1_thread);
	suite_add_tcase(suite, tcase);
	return suite;
}
