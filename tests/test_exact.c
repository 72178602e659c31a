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
#include "tests/probe_modes.h"
#include "tests/run_memattach.h"
#include "tests/suites.h"

/* A target, its number of threads, and how many operations each of them is to do. */
static const struct engine {
	const char *program, *threads, *by_trap, *by_jump;
} engines[] = {
	{"exact", "4", "6000", "60000"},      {"exact_cpp", "4", "3000", "30000"},
	{"exact", "1", "15000", "150000"},    {"exact", "16", "1500", "15000"},
	{"exact_cpp", "1", "8000", "100000"},
};
#define ENGINES      (int)(sizeof(engines) / sizeof(engines[0]))
#define ENGINES_AUTO 2

static void run(struct target *target, const char *operations)
{
	target_say(target, "run %s", operations);
	target_expect(target, "done");
}

/* The whole truth: every site, and what belongs to none. */
static void compare_all(json_t *capture, struct target *target)
{
	capture_assert_whole_truth(capture, target);
	ck_assert_int_eq(capture_total(capture, "replaced"), 0);
}

/* Everything is counted from the first instruction on. */
START_TEST(launched)
{
	const struct engine *engine = &engines[_i];
	char *path = target_program(engine->program);
	struct memattach m;
	struct target target;
	json_t *capture;

	memattach_launch(&m, NULL, WORDS(path, engine->threads));
	memattach_adopt(&m, &target);
	run(&target, by_mode(engine->by_trap, engine->by_jump));
	capture = memattach_snapshot_and_read(&m);
	compare_all(capture, &target);
	ck_assert_int_eq(truth_sums_last().unknown_frees, 0);
	json_decref(capture);
	/* All blocks of ours go, and the last report is one of the whole life. */
	target_ask(&target, "drain", "drained");
	target_leave(&target);
	memattach_expect_exit(&m, 0);
	capture = memattach_capture(&m);
	ck_assert_str_eq(json_string_value(json_object_get(capture_last(capture), "reason")),
			 "exit");
	ck_assert_int_lt(capture_total(capture, "live_blocks"), 200);
	json_decref(capture);
	memattach_cleanup(&m);
	free(path);
}
END_TEST

/*
 * Attached while the threads stand still: what is live then is not known, and
 * its frees are counted as such. Twice, to see that the first run left no trace.
 */
START_TEST(attached_to_parked_threads)
{
	const struct engine *engine = &engines[_i];
	struct memattach m;
	struct target target;
	json_t *capture;

	target_start(&target, WORDS(engine->program, engine->threads), NULL);
	run(&target, "2000");
	for (int round = 0; round < 2; round++) {
		memattach_attach(&m, target.pid, NULL);
		target_ask(&target, "epoch", "epoch");
		run(&target, by_mode(engine->by_trap, engine->by_jump));
		capture = memattach_stop_and_read(&m);
		compare_all(capture, &target);
		ck_assert_int_gt(truth_sums_last().unknown_frees, 0);
		json_decref(capture);
		memattach_cleanup(&m);
		run(&target, "2000");
	}
	target_end(&target);
}
END_TEST

/* The target runs on until memattach is there, then switches to the call sites of set 1. */
static void attach_running(struct target *target, struct memattach *m)
{
	target_ask(target, "start", "started");
	target_ask(target, "progress 1000", "progressed");
	memattach_attach(m, target->pid, NULL);
	target_ask(target, "set 1", "set");
}

static void stop_and_compare(struct target *target, struct memattach *m, bool temporary)
{
	target_ask(target, "stop", "stopped");
	memattach_stop_with_truth(m, target, "_b", temporary);
}

START_TEST(attached_to_running_threads)
{
	const struct engine *engine = &engines[_i];
	struct memattach m;
	struct target target;

	target_start(&target, WORDS(engine->program, engine->threads), NULL);
	attach_running(&target, &m);
	target_say(&target, "progress %s", by_mode(engine->by_trap, engine->by_jump));
	target_expect(&target, "progressed");
	stop_and_compare(&target, &m, true);
	target_end(&target);
}
END_TEST

/* A report in mid-run does not disturb the count: the ledger goes on meanwhile. */
START_TEST(snapshots_while_threads_run)
{
	struct memattach m;
	struct target target;
	json_t *capture;

	target_start(&target, WORDS("exact", "4"), NULL);
	attach_running(&target, &m);
	for (int i = 0; i < 5; i++) {
		target_ask(&target, "progress 100", "progressed");
		capture = memattach_snapshot_and_read(&m);
		ck_assert_uint_eq(json_array_size(json_object_get(capture, "snapshots")),
				  (size_t)i + 1);
		json_decref(capture);
	}
	stop_and_compare(&target, &m, true);
	target_end(&target);
}
END_TEST

/* 1000 signals a second for each of 4 threads, whose handler allocates, too. */
START_TEST(signals_at_1_khz)
{
	struct memattach m;
	struct target target;
	long ticks;

	target_start(&target, WORDS("exact", "4"), NULL);
	target_ask(&target, "timer 1000", "timer 0");
	attach_running(&target, &m);
	target_say(&target, "progress %s", by_mode("12000", "300000"));
	target_expect(&target, "progressed");
	target_ask(&target, "stop", "stopped");
	target_say(&target, "timer 0");
	ck_assert_int_eq(sscanf(target_hear(&target), "timer %ld", &ticks), 1);
	ck_assert_int_gt(ticks, 200);
	memattach_stop_with_truth(&m, &target, "_b", false);
	target_end(&target);
}
END_TEST

/* The handler's own site, all of whose blocks are from after attach. */
START_TEST(handler_that_allocates)
{
	struct memattach m;
	struct target target;

	target_start(&target, WORDS("exact", "4"), NULL);
	memattach_attach(&m, target.pid, NULL);
	target_ask(&target, "timer 1000", "timer 0");
	target_ask(&target, "start", "started");
	target_say(&target, "progress %s", by_mode("1000", "100000"));
	target_expect(&target, "progressed");
	target_ask(&target, "stop", "stopped");
	target_say(&target, "timer 0");
	target_hear(&target);
	/* A last signal may be on its way to a thread that waits: its handler runs before anything else of it. */
	target_ask(&target, "run 20", "done");
	memattach_stop_with_truth(&m, &target, "", false);
	target_end(&target);
}
END_TEST

/* Libraries come and go at the same address while 2 threads allocate. */
START_TEST(libraries_loaded_and_unloaded)
{
	struct memattach m;
	struct target target;
	json_t *capture;

	target_start(&target, WORDS("loader", "2"), NULL);
	/* Once before, so that their functions are known to be no part of what follows. */
	target_ask(&target, "load 4", "loaded");
	target_ask(&target, "epoch", "epoch");
	attach_running(&target, &m);
	target_ask(&target, "load 60", "loaded");
	target_ask(&target, "stop", "stopped");
	capture = memattach_stop_and_read(&m);
	capture_assert_truth(capture, &target, "_b", true);
	capture_assert_truth(capture, &target, "site_library_one", false);
	capture_assert_truth(capture, &target, "site_library_two", false);
	json_decref(capture);
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

static void add(TCase *tcase, enum probe_mode mode)
{
	int n = mode == PROBE_AUTO ? ENGINES_AUTO : ENGINES;

	tcase_add_loop_test(tcase, launched, 0, n);
	tcase_add_loop_test(tcase, attached_to_parked_threads, 0, n);
	tcase_add_loop_test(tcase, attached_to_running_threads, 0, n);
	tcase_add_test(tcase, signals_at_1_khz);
	tcase_add_test(tcase, libraries_loaded_and_unloaded);
	if (mode == PROBE_AUTO)
		return;
	tcase_add_test(tcase, snapshots_while_threads_run);
	tcase_add_test(tcase, handler_that_allocates);
}

Suite *exact_suite(void)
{
	return suite_by_each_mode("exact", 60, add);
}
