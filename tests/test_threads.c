// SPDX-License-Identifier: MIT
/* Threads that come and go, 100 a second, while memattach attaches, counts and leaves. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/capture_query.h"
#include "tests/probe_modes.h"
#include "tests/rounds.h"
#include "tests/run_memattach.h"
#include "tests/suites.h"

static long stop_churning(struct target *target)
{
	long threads;

	target_say(target, "churn off");
	ck_assert_int_eq(sscanf(target_hear(target), "churned %ld", &threads), 1);
	return threads;
}

START_TEST(exact_while_threads_come_and_go)
{
	struct memattach m;
	struct target target;

	target_start(&target, WORDS("exact", "2"), NULL);
	target_ask(&target, "start", "started");
	target_ask(&target, "churn on", "churned 0");
	target_ask(&target, "progress 1000", "progressed");
	memattach_attach(&m, target.pid, NULL);
	target_ask(&target, "set 1", "set");
	target_ask(&target, "lives 200", "lived");
	target_ask(&target, "progress 1000", "progressed");
	ck_assert_int_ge(stop_churning(&target), 200);
	target_ask(&target, "stop", "stopped");
	memattach_stop_with_truth(&m, &target, "_b", true);
	assert_untraced(target.pid);
	target_end(&target);
}
END_TEST

START_TEST(exact_from_the_start)
{
	char *path = target_program("exact");
	struct memattach m;
	struct target target;
	json_t *capture;

	memattach_launch(&m, NULL, WORDS(path, "1"));
	memattach_adopt(&m, &target);
	target_ask(&target, "churn on", "churned 0");
	target_ask(&target, "run 1000", "done");
	target_ask(&target, "lives 100", "lived");
	stop_churning(&target);
	capture = memattach_snapshot_and_read(&m);
	capture_assert_truth(capture, &target, "", true);
	ck_assert_int_eq(capture_total(capture, "failed_allocations"), truth_sums_last().failed);
	json_decref(capture);
	memattach_end_command(&m, &target);
	free(path);
}
END_TEST

/* Seizing threads that are just being made, and letting go of threads that just end. */
START_TEST(attached_again_and_again)
{
	struct memattach m;
	struct target target;

	target_start(&target, WORDS("exact", "2"), NULL);
	target_ask(&target, "start", "started");
	target_ask(&target, "churn on", "churned 0");
	for (int i = 0; i < ROUNDS(20); i++) {
		memattach_visits(&target, NULL, NULL);
		target_ask(&target, "progress 100", "progressed");
	}
	stop_churning(&target);
	target_ask(&target, "stop", "stopped");
	assert_untraced(target.pid);
	/* And still exact. */
	memattach_attach(&m, target.pid, NULL);
	target_ask(&target, "epoch", "epoch");
	target_ask(&target, "run 500", "done");
	memattach_stop_with_truth(&m, &target, "", true);
	target_end(&target);
}
END_TEST

/* The main thread may end before the others; the process goes on and so does the count. */
START_TEST(main_thread_ends)
{
	struct memattach m;
	struct target target;

	target_start(&target, WORDS("exact", "3"), NULL);
	memattach_attach(&m, target.pid, NULL);
	target_ask(&target, "run 100", "done");
	target_ask(&target, "leave", "left");
	target_ask(&target, "run 500", "done");
	memattach_stop_with_truth(&m, &target, "", true);
	target_ask(&target, "run 100", "done");
	target_end(&target);
}
END_TEST

static void add(TCase *tcase, enum probe_mode mode)
{
	tcase_add_test(tcase, exact_while_threads_come_and_go);
	tcase_add_test(tcase, main_thread_ends);
	if (mode == PROBE_AUTO)
		return;
	tcase_add_test(tcase, exact_from_the_start);
	tcase_add_test(tcase, attached_again_and_again);
}

Suite *threads_suite(void)
{
	return suite_by_each_mode("threads", 60, add);
}
