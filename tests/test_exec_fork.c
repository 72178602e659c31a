// SPDX-License-Identifier: MIT
/* Children of every kind are let go clean; an exec ends one report and begins the next. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/capture_query.h"
#include "tests/process_image.h"
#include "tests/probe_modes.h"
#include "tests/run_memattach.h"
#include "tests/suites.h"

static const struct way {
	const char *command, *answer;
} ways[] = {
	{"fork", "forked"},   {"forks", "forked"}, {"vfork", "vforked"},
	{"spawn", "spawned"}, {"clone", "cloned"},
};
#define WAYS (int)(sizeof(ways) / sizeof(ways[0]))

/* No block of a child in memory of its own is counted, and no other is missed. */
static void check_way(const struct way *way, bool busy)
{
	struct memattach m;
	struct target target;
	struct figures sum;
	json_t *capture;

	target_start(&target, WORDS("forker", "4"), NULL);
	memattach_attach(&m, target.pid, NULL);
	if (busy)
		target_ask(&target, "start", "started");
	for (int i = 0; i < 3; i++)
		target_ask(&target, way->command, way->answer);
	if (busy)
		target_ask(&target, "stop", "stopped");
	else
		target_ask(&target, "run 100", "done");
	capture = memattach_stop_and_read(&m);
	capture_assert_truth(capture, &target, "", true);
	ck_assert(!capture_site(capture, "site_child", 1, &sum));
	json_decref(capture);
	memattach_cleanup(&m);
	/* And without memattach again. */
	target_ask(&target, way->command, way->answer);
	target_end(&target);
}

START_TEST(children)
{
	check_way(&ways[_i], false);
}
END_TEST

START_TEST(children_while_threads_allocate)
{
	check_way(&ways[_i], true);
}
END_TEST

/* daemon(): the first child ends, the second one lives on by itself. */
START_TEST(daemon_lives_on)
{
	struct memattach m;
	struct target target;
	int pid, status;

	ck_assert_int_eq(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	target_start(&target, WORDS("forker", "1"), NULL);
	memattach_attach(&m, target.pid, NULL);
	target_say(&target, "daemon");
	ck_assert_int_eq(sscanf(target_hear(&target), "daemon %d", &pid), 1);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	memattach_stop(&m);
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

/* A command that is a daemon: its parent ends, and with it the run. */
START_TEST(fork_and_exit_ends_the_run)
{
	struct memattach m;

	memattach_launch(&m, NULL, WORDS("sh", "-c", "sleep 0.1 & exit 5"));
	memattach_expect_exit(&m, 5);
	memattach_cleanup(&m);
}
END_TEST

/* The report of an image that ended with exec lies beside that of the next one. */
static json_t *read_ended_image(const struct memattach *m, int number)
{
	char path[80];
	json_t *capture;

	snprintf(path, sizeof(path), "%s/out.exec-%d.json", m->dir, number);
	capture = capture_load(path);
	ck_assert_str_eq(json_string_value(json_object_get(capture_last(capture), "reason")),
			 "exec");
	return capture;
}

static void check_exec(const char *how, const char *threads)
{
	struct memattach m;
	struct target target;
	struct figures sum;
	json_t *capture;

	target_start(&target, WORDS("forker", threads), NULL);
	target_ask(&target, "run 200", "done");
	memattach_attach(&m, target.pid, NULL);
	target_ask(&target, "epoch", "epoch");
	target_ask(&target, "set 1", "set");
	target_ask(&target, "run 200", "done");
	/* Twice: the second image is followed as the first one was. */
	for (int i = 1; i <= 2; i++) {
		target_ask(&target, how, "ready");
		memattach_wait_for(&m, "attached to");
		target_ask(&target, "run 300", "done");
	}
	capture = memattach_stop_and_read(&m);
	capture_assert_truth(capture, &target, "", true);
	ck_assert(!capture_site(capture, "site_plain_b", 1, &sum));
	json_decref(capture);
	capture = read_ended_image(&m, 1);
	ck_assert(capture_site(capture, "site_plain_b", 1, &sum));
	ck_assert_int_gt(sum.allocations, 50);
	json_decref(capture);
	capture = read_ended_image(&m, 2);
	ck_assert(capture_site(capture, "site_plain_a", 1, &sum));
	ck_assert_int_eq(capture_total(capture, "unknown_frees"), 0);
	json_decref(capture);
	assert_untraced(target.pid);
	memattach_cleanup(&m);
	target_ask(&target, "run 300", "done");
	target_ask(&target, how, "ready");
	target_end(&target);
}

START_TEST(exec_of_one_thread)
{
	check_exec("exec", "1");
}
END_TEST

START_TEST(exec_of_many_threads)
{
	check_exec("exec", "8");
}
END_TEST

/* The kernel gives the calling thread the tid of the first one. */
START_TEST(exec_from_another_thread)
{
	check_exec("exec_thread", "8");
}
END_TEST

/* While other threads run: these end in the middle of whatever they do. */
START_TEST(exec_while_threads_allocate)
{
	struct memattach m;
	struct target target;
	json_t *capture;

	target_start(&target, WORDS("forker", "4"), NULL);
	memattach_attach(&m, target.pid, NULL);
	for (int i = 1; i <= 5; i++) {
		target_ask(&target, "start", "started");
		target_ask(&target, i % 2 ? "exec_thread" : "exec", "ready");
		memattach_wait_for(&m, "attached to");
	}
	target_ask(&target, "run 100", "done");
	capture = memattach_stop_and_read(&m);
	capture_assert_truth(capture, &target, "", true);
	json_decref(capture);
	for (int i = 1; i <= 5; i++)
		json_decref(read_ended_image(&m, i));
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

/* A shell that replaces itself by the program, all of whose allocations are counted. */
static void launch_through_shell(struct memattach *m, struct target *target, const char *program,
				 const char *arguments)
{
	char *path = target_program(program);
	char script[4200];
	json_t *capture;

	snprintf(script, sizeof(script), "exec '%s' 2 %s", path, arguments);
	memattach_launch(m, NULL, WORDS("sh", "-c", script));
	memattach_adopt(m, target);
	target_ask(target, "run 300", "done");
	capture = memattach_snapshot_and_read(m);
	capture_assert_truth(capture, target, "", true);
	json_decref(capture);
	free(path);
}

/* The usual case of `-- COMMAND`. */
START_TEST(launched_through_a_script)
{
	struct memattach m;
	struct target target;

	launch_through_shell(&m, &target, "forker", "");
	target_leave(&target);
	memattach_expect_exit(&m, 0);
	json_decref(read_ended_image(&m, 1));
	memattach_cleanup(&m);
}
END_TEST

/* From a dynamic image to a static one and to one of another libc. */
START_TEST(exec_of_other_kinds_of_programs)
{
	static const char *const programs[] = {"exact_static", "exact_static_pie", "exact_musl",
					       "exact_musl_static"};
	struct memattach m;
	struct target target;

	/* musl has no unwind information, so strdup hides its caller. */
	launch_through_shell(&m, &target, programs[_i],
			     strstr(programs[_i], "musl") ? "site_str site_asprintf" : "");
	memattach_end_command(&m, &target);
}
END_TEST

static void add(TCase *tcase, enum probe_mode mode)
{
	tcase_add_loop_test(tcase, children_while_threads_allocate, 0, WAYS);
	tcase_add_test(tcase, exec_while_threads_allocate);
	tcase_add_test(tcase, launched_through_a_script);
	if (mode == PROBE_AUTO)
		return;
	tcase_add_loop_test(tcase, children, 0, WAYS);
	tcase_add_test(tcase, daemon_lives_on);
	tcase_add_test(tcase, fork_and_exit_ends_the_run);
	tcase_add_test(tcase, exec_of_one_thread);
	tcase_add_test(tcase, exec_of_many_threads);
	tcase_add_test(tcase, exec_from_another_thread);
	tcase_add_loop_test(tcase, exec_of_other_kinds_of_programs, 0, 4);
}

Suite *exec_fork_suite(void)
{
	return suite_by_each_mode("exec_fork", 60, add);
}
