// SPDX-License-Identifier: MIT
/*
 * Calls of an allocator that are left by siglongjmp out of a signal handler, or
 * in which a handler forks: what comes after them is counted as if nothing had
 * been, and memattach leaves nothing.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/capture_query.h"
#include "tests/probe_modes.h"
#include "tests/process_image.h"
#include "tests/run_memattach.h"
#include "tests/suites.h"

/*
 * Says a command to the target while memattach is there, and another one afterwards. There
 * is the truth about what followed each leap, and nothing from the sites of `absent`.
 */
static void leap(const char *command, const char *again, const char *answer,
		 const char *const *absent)
{
	struct target target;
	struct memattach m;
	struct figures sum;
	json_t *capture;
	char *before;

	target_start(&target, WORDS("leaper"), NULL);
	before = process_image(target.pid, false);
	memattach_attach(&m, target.pid, NULL);
	target_ask(&target, command, answer);
	capture = memattach_stop_and_read(&m);
	assert_same_image(before, process_image(target.pid, false));
	capture_assert_truth(capture, &target, "", true);
	memattach_cleanup(&m);
	for (; absent && *absent; absent++)
		ck_assert(!capture_site(capture, *absent, 1, &sum));
	json_decref(capture);
	target_ask(&target, again, answer);
	target_end(&target);
}

START_TEST(calls_left_from_within)
{
	/* No call that was left is taken for one that returned. */
	leap(by_mode("leap 400", "leap 20000"), "leap 100", "left",
	     WORDS("site_left", "site_left_calloc"));
}
END_TEST

/* The handler comes at any instruction, of the allocator and of the agent. */
START_TEST(calls_left_at_any_moment)
{
	leap(by_mode("race 300", "race 1500"), "race 20", "left", NULL);
}
END_TEST

START_TEST(forks_inside_calls)
{
	leap(by_mode("fork 20", "fork 50"), "fork 5", "forked", WORDS("site_child"));
}
END_TEST

static void add(TCase *tcase, enum probe_mode mode)
{
	if (mode == PROBE_AUTO)
		return;
	tcase_add_test(tcase, calls_left_from_within);
	tcase_add_test(tcase, calls_left_at_any_moment);
	tcase_add_test(tcase, forks_inside_calls);
}

Suite *leaps_suite(void)
{
	return suite_by_each_mode("leaps", 60, add);
}
