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

/* Says a command to the target while memattach is there; the truth about what followed each leap. */
static json_t *record(struct target *target, const char *command, const char *answer)
{
	struct memattach m;
	json_t *capture;
	char *before;

	target_start(target, WORDS("leaper"), NULL);
	before = process_image(target->pid, false);
	memattach_attach(&m, target->pid, NULL);
	target_ask(target, command, answer);
	capture = memattach_stop_and_read(&m);
	assert_same_image(before, process_image(target->pid, false));
	capture_assert_truth(capture, target, "", true);
	memattach_cleanup(&m);
	return capture;
}

START_TEST(calls_left_from_within)
{
	struct target target;
	struct figures sum;
	json_t *capture;

	capture = record(&target, by_mode("leap 400", "leap 20000"), "left");
	/* No call that was left is taken for one that returned. */
	ck_assert(!capture_site(capture, "site_left", 1, &sum));
	ck_assert(!capture_site(capture, "site_left_calloc", 1, &sum));
	json_decref(capture);
	target_ask(&target, "leap 100", "left");
	target_end(&target);
}
END_TEST

/* The handler comes at any instruction, of the allocator and of the agent. */
START_TEST(calls_left_at_any_moment)
{
	struct target target;

	json_decref(record(&target, by_mode("race 300", "race 1500"), "left"));
	target_ask(&target, "race 20", "left");
	target_end(&target);
}
END_TEST

START_TEST(forks_inside_calls)
{
	struct target target;
	struct figures sum;
	json_t *capture;

	capture = record(&target, by_mode("fork 20", "fork 50"), "forked");
	ck_assert(!capture_site(capture, "site_child", 1, &sum));
	json_decref(capture);
	target_ask(&target, "fork 5", "forked");
	target_end(&target);
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
	Suite *suite = suite_create("leaps");

	suite_add_by_each_mode(suite, "leaps", 60, add);
	return suite;
}
