// SPDX-License-Identifier: MIT
/* The target must not notice: its code, its maps, its system calls, its signals. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/capture_query.h"
#include "tests/process_image.h"
#include "tests/probe_modes.h"
#include "tests/rounds.h"
#include "tests/run_memattach.h"
#include "tests/suites.h"

/* Threads allocate and check what their blocks hold, while memattach comes and goes. */
START_TEST(cycles_on_busy_threads)
{
	struct target target;
	struct memattach m;
	int cycles = ROUNDS(atoi(by_mode("120", "40")));
	char *before;

	target_start(&target, WORDS("exact", by_mode("8", "16")), NULL);
	target_ask(&target, "run 3000", "done");
	before = process_image(target.pid, false);
	target_ask(&target, "start", "started");
	for (int i = 0; i < cycles; i++) {
		memattach_attach(&m, target.pid, NULL);
		if (i % 10 == 0)
			target_ask(&target, "progress 10", "progressed");
		memattach_stop(&m);
		memattach_cleanup(&m);
		if (i % 20 == 0)
			target_ask(&target, "progress 1000", "progressed");
		if (i % 20 == 19) {
			target_ask(&target, "stop", "stopped");
			assert_same_image(before, process_image(target.pid, false));
			before = process_image(target.pid, false);
			target_ask(&target, "start", "started");
		}
	}
	target_ask(&target, "stop", "stopped");
	assert_same_image(before, process_image(target.pid, false));
	target_ask(&target, "drain", "drained");
	target_end(&target);
}
END_TEST

/* Of threads that stand still nothing at all may change, not a page of memory more. */
START_TEST(every_mapping_as_before)
{
	static const char *const programs[] = {"exact", "exact_static", "exact_static_pie",
					       "exact_musl", "exact_musl_static"};
	struct target target;
	char *before;

	target_start(&target, WORDS(programs[_i], "8"), NULL);
	target_ask(&target, "run 1000", "done");
	before = process_image(target.pid, true);
	for (int i = 0; i < 5; i++)
		memattach_visits(&target, NULL, NULL);
	assert_same_image(before, process_image(target.pid, true));
	target_ask(&target, "run 1000", "done");
	target_end(&target);
}
END_TEST

/* Waits without end see nothing of attach, of probes, of snapshots and of detach. */
START_TEST(blocked_calls_stay_blocked)
{
	struct target target;
	struct memattach m;

	target_start(&target, WORDS("blocked"), NULL);
	for (int i = 0; i < 10; i++) {
		memattach_attach(&m, target.pid, NULL);
		memattach_snapshot(&m);
		memattach_stop(&m);
		memattach_cleanup(&m);
		target_ask(&target, "status", "returned 0 eintr 0");
	}
	target_ask(&target, "wake", "woken");
	target_end(&target);
}
END_TEST

/* Waits with a limit do not end before it, and with the right error. */
START_TEST(timed_calls_keep_their_time)
{
	struct target target;

	target_start(&target, WORDS("blocked"), NULL);
	target_ask(&target, "timed", "timed 9");
	for (int i = 0; i < 3; i++)
		memattach_visits(&target, NULL, NULL);
	target_ask(&target, "finished", "right");
	target_ask(&target, "status", "returned 0 eintr 0");
	target_end(&target);
}
END_TEST

/* A signal with a handler does interrupt, attached or not; one that is ignored does not. */
START_TEST(real_signals_interrupt)
{
	struct target target;
	struct memattach m;

	target_start(&target, WORDS("blocked"), NULL);
	target_ask(&target, "interrupt", "interrupted 12");
	memattach_attach(&m, target.pid, NULL);
	target_ask(&target, "interrupt", "interrupted 24");
	target_ask(&target, "ignored", "sent");
	target_ask(&target, "status", "returned 24 eintr 24");
	memattach_stop(&m);
	memattach_cleanup(&m);
	target_ask(&target, "status", "returned 24 eintr 24");
	/* In the middle of attach and of detach. */
	for (int round = 0; round < 3; round++) {
		memattach_attach_nowait(&m, target.pid, NULL);
		for (int i = 0; i < 5; i++) {
			target_ask(&target, "nudge", "nudged");
			target_ask(&target, "ignored", "sent");
			if (i == 3) {
				memattach_wait_for(&m, "attached to");
				kill(m.pid, SIGINT);
			}
		}
		memattach_expect_exit(&m, 0);
		memattach_cleanup(&m);
	}
	target_ask(&target, "nudge", "nudged");
	target_ask(&target, "wake", "woken");
	target_end(&target);
}
END_TEST

static void queue_signals(struct target *target, int from, int to)
{
	for (int i = from; i < to; i++) {
		union sigval value = {.sival_int = i};

		ck_assert_int_eq(sigqueue(target->pid, SIGRTMIN, value), 0);
	}
}

/* Each signal comes once, in order, with its siginfo. */
START_TEST(signals_come_as_they_were_sent)
{
	struct target target;
	struct memattach m;
	int sent = 0;

	target_start(&target, WORDS("signals"), NULL);
	for (int i = 0; i < 8; i++) {
		memattach_attach_nowait(&m, target.pid, NULL);
		queue_signals(&target, sent, sent + 100);
		memattach_wait_for(&m, "attached to");
		queue_signals(&target, sent + 100, sent + 200);
		target_say(&target, "queued %d", sent + 200);
		target_expect(&target, "queued");
		kill(m.pid, SIGINT);
		queue_signals(&target, sent + 200, sent + 300);
		memattach_expect_exit(&m, 0);
		memattach_cleanup(&m);
		sent += 300;
		target_say(&target, "queued %d", sent);
		target_expect(&target, "queued");
	}
	target_end(&target);
}
END_TEST

/* Breakpoints and raised SIGTRAPs of the target's own work, attached or not. */
START_TEST(sigtrap_is_the_targets)
{
	struct target target;

	target_start(&target, WORDS("signals"), NULL);
	for (int i = 0; i < 3; i++) {
		memattach_visits(&target, "trap 50", "trapped");
		target_ask(&target, "trap 50", "trapped");
	}
	target_end(&target);
}
END_TEST

/*
 * The kernel takes SIGTRAP out of the mask of a thread that meets a breakpoint
 * with it blocked, and sets its disposition to the default. Whatever these were,
 * they are so again after detach, and every allocation was counted.
 */
START_TEST(masks_and_dispositions_of_sigtrap)
{
	struct target target;
	struct memattach m;
	struct figures sum;
	json_t *capture;
	char command[32], *before;

	target_start(&target, WORDS("signals"), NULL);
	for (int round = 0; round < 2; round++) {
		snprintf(command, sizeof(command), "dispose %d", _i);
		target_ask(&target, command, "disposed");
		target_ask(&target, "block 1", "masked");
		before = process_image(target.pid, false);
		/* First blocked before attach, then only after it. */
		if (round == 1)
			target_ask(&target, "block 0", "masked");
		memattach_attach(&m, target.pid, NULL);
		target_ask(&target, "block 1", "masked");
		target_ask(&target, "allocate 50", "allocated");
		capture = memattach_stop_and_read(&m);
		assert_same_image(before, process_image(target.pid, false));
		ck_assert(capture_site(capture, "site_masked", 1, &sum));
		ck_assert_int_eq(sum.allocations, 50);
		ck_assert_int_eq(sum.frees, 50);
		json_decref(capture);
		memattach_cleanup(&m);
	}
	target_ask(&target, "dispose 2", "disposed");
	target_ask(&target, "block 0", "masked");
	target_ask(&target, "trap 5", "trapped");
	target_end(&target);
}
END_TEST

static void expect_stop(struct target *target)
{
	int status;

	ck_assert_int_eq(waitpid(target->pid, &status, WUNTRACED), target->pid);
	ck_assert_msg(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP, "wait status %#x",
		      (unsigned int)status);
}

static void expect_continued(struct target *target)
{
	int status;

	kill(target->pid, SIGCONT);
	ck_assert_int_eq(waitpid(target->pid, &status, WCONTINUED), target->pid);
	ck_assert(WIFCONTINUED(status));
}

/* CPU time that a process has used, in clock ticks. */
static unsigned long cpu_ticks(pid_t pid)
{
	unsigned long user, kernel;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	f = fopen(path, "re");
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq(fscanf(f, "%*d %*s %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu",
				&user, &kernel),
			 2);
	fclose(f);
	return user + kernel;
}

/* Busy threads would use many ticks in the time that this takes. */
static void assert_stands_still(pid_t pid)
{
	struct timespec while_looking = {.tv_nsec = 100000000};
	unsigned long before = cpu_ticks(pid);

	nanosleep(&while_looking, NULL);
	ck_assert_uint_le(cpu_ticks(pid), before + 1);
}

/* ^Z and fg while attached: the shell sees the stop, nothing runs meanwhile, then all goes on. */
START_TEST(stop_and_continue)
{
	struct target target;
	struct memattach m;

	target_start(&target, WORDS("exact", "4"), NULL);
	target_ask(&target, "start", "started");
	memattach_attach(&m, target.pid, NULL);
	target_ask(&target, "set 1", "set");
	for (int i = 0; i < 10; i++) {
		target_ask(&target, "progress 20", "progressed");
		kill(target.pid, SIGSTOP);
		expect_stop(&target);
		assert_stands_still(target.pid);
		if (i == 5)
			memattach_snapshot(&m);
		expect_continued(&target);
	}
	target_ask(&target, "progress 20", "progressed");
	target_ask(&target, "stop", "stopped");
	memattach_stop_with_truth(&m, &target, "_b", true);
	target_end(&target);
}
END_TEST

static void assert_state(pid_t pid, char state)
{
	const char *value = status_field(pid, "State");

	ck_assert_ptr_nonnull(value);
	ck_assert_msg(value[0] == state, "the state of %d is %s, not %c", (int)pid, value, state);
}

/* A process that is stopped already can be attached to, stays stopped, and is counted once it runs. */
START_TEST(attach_to_a_stopped_process)
{
	struct target target;
	struct memattach m;
	json_t *capture;

	target_start(&target, WORDS("exact", "2"), NULL);
	kill(target.pid, SIGSTOP);
	expect_stop(&target);
	memattach_visits(&target, NULL, NULL);
	assert_untraced(target.pid);
	assert_state(target.pid, 'T');
	memattach_attach(&m, target.pid, NULL);
	assert_stands_still(target.pid);
	expect_continued(&target);
	target_ask(&target, "epoch", "epoch");
	target_ask(&target, "run 200", "done");
	/* Stopped again, and left like that. */
	kill(target.pid, SIGSTOP);
	expect_stop(&target);
	capture = memattach_stop_and_read(&m);
	assert_untraced(target.pid);
	assert_state(target.pid, 'T');
	expect_continued(&target);
	capture_assert_truth(capture, &target, "", true);
	json_decref(capture);
	memattach_cleanup(&m);
	target_ask(&target, "run 200", "done");
	target_end(&target);
}
END_TEST

/* A thread in an uninterruptible wait: everything goes on without it, and nothing is left behind. */
START_TEST(a_stuck_thread)
{
	struct target target;
	struct memattach m;
	char *before;

	target_start(&target, WORDS("stuck"), NULL);
	target_say(&target, "stick");
	if (strcmp(target_hear(&target), "stuck") != 0) {
		printf("harmless: skipped: no userfaultfd here\n");
		target_end(&target);
		return;
	}
	target_ask(&target, "work", "worked");
	before = process_image(target.pid, false);
	memattach_visits(&target, "work", "worked");
	assert_same_image(before, process_image(target.pid, false));
	target_ask(&target, "work", "worked");
	/* It comes out of it while it is traced. */
	memattach_attach(&m, target.pid, NULL);
	target_ask(&target, "free", "free");
	target_ask(&target, "work", "worked");
	memattach_stop(&m);
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

/* Another tracer finds nothing in its way afterwards. */
START_TEST(gdb_can_attach_afterwards)
{
	struct target target, gdb;
	char pid[16];

	target_start(&target, WORDS("exact", "4"), NULL);
	target_ask(&target, "start", "started");
	memattach_visits(&target, NULL, NULL);
	snprintf(pid, sizeof(pid), "%d", (int)target.pid);
	target_run(&gdb,
		   WORDS("gdb", "-nx", "-batch", "-p", pid, "-ex", "thread apply all bt 2", "-ex",
			 "print 41+1", "-ex", "detach"),
		   NULL);
	lines_drain(&gdb.from, NULL);
	ck_assert_msg(gdb.from.text && strstr(gdb.from.text, "$1 = 42"), "gdb said: %s",
		      gdb.from.text);
	ck_assert_int_eq(wait_end(gdb.pid), 0);
	target_leave(&gdb);
	target_ask(&target, "progress 1000", "progressed");
	memattach_visits(&target, NULL, NULL);
	target_ask(&target, "stop", "stopped");
	target_end(&target);
}
END_TEST

static void spin(long microseconds)
{
	struct timespec from, now;

	clock_gettime(CLOCK_MONOTONIC, &from);
	do
		clock_gettime(CLOCK_MONOTONIC, &now);
	while ((now.tv_sec - from.tv_sec) * 1000000 + (now.tv_nsec - from.tv_nsec) / 1000 <
	       microseconds);
}

#define MOMENTS 25

/* The target is killed at some moment of attach: memattach says so, and does not hang or crash. */
START_TEST(target_killed_at_any_moment)
{
	for (int i = 0; i < MOMENTS; i += ROUNDS_STEP) {
		struct target target;
		struct memattach m;
		int status;

		target_start(&target, WORDS("exact", "4"), NULL);
		target_ask(&target, "start", "started");
		memattach_attach_nowait(&m, target.pid, NULL);
		spin(i * 4000);
		target_kill(&target);
		status = memattach_wait(&m);
		ck_assert_msg(WIFEXITED(status) &&
				      (WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == 125),
			      "moment %d: wait status %#x, %s", i, (unsigned int)status,
			      memattach_err(&m));
		if (WEXITSTATUS(status) == 125)
			ck_assert_msg(strstr(memattach_err(&m), "memattach: "), "no message: %s",
				      memattach_err(&m));
		else
			json_decref(memattach_capture(&m));
		memattach_cleanup(&m);
	}
}
END_TEST

/* memattach is told to stop at some moment: it leaves the target clean. */
START_TEST(memattach_ended_at_any_moment)
{
	static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
	struct target target;
	char *before;

	target_start(&target, WORDS("exact", "4"), NULL);
	target_ask(&target, "run 2000", "done");
	before = process_image(target.pid, false);
	target_ask(&target, "start", "started");
	for (int i = 0; i < MOMENTS; i += ROUNDS_STEP) {
		struct memattach m;
		int status;

		memattach_attach_nowait(&m, target.pid, NULL);
		spin(i * 4000);
		/* Before memattach has installed handlers the signal itself ends it. */
		kill(m.pid, signals[i % 3]);
		status = memattach_wait(&m);
		ck_assert_msg((WIFEXITED(status) && WEXITSTATUS(status) == 0) ||
				      (WIFSIGNALED(status) && WTERMSIG(status) == signals[i % 3]),
			      "moment %d: wait status %#x, %s", i, (unsigned int)status,
			      memattach_err(&m));
		assert_untraced(target.pid);
		memattach_cleanup(&m);
		target_ask(&target, "progress 20", "progressed");
	}
	target_ask(&target, "stop", "stopped");
	assert_same_image(before, process_image(target.pid, false));
	target_end(&target);
}
END_TEST

static void add(TCase *tcase, enum probe_mode mode)
{
	tcase_add_loop_test(tcase, every_mapping_as_before, 0, 5);
	tcase_add_test(tcase, sigtrap_is_the_targets);
	tcase_add_loop_test(tcase, masks_and_dispositions_of_sigtrap, 0, 3);
	if (mode == PROBE_AUTO)
		return;
	tcase_add_test(tcase, cycles_on_busy_threads);
	tcase_add_test(tcase, blocked_calls_stay_blocked);
	tcase_add_test(tcase, timed_calls_keep_their_time);
	tcase_add_test(tcase, real_signals_interrupt);
	tcase_add_test(tcase, signals_come_as_they_were_sent);
	tcase_add_test(tcase, stop_and_continue);
	tcase_add_test(tcase, attach_to_a_stopped_process);
	tcase_add_test(tcase, a_stuck_thread);
	tcase_add_test(tcase, gdb_can_attach_afterwards);
	tcase_add_test(tcase, target_killed_at_any_moment);
	tcase_add_test(tcase, memattach_ended_at_any_moment);
}

Suite *harmless_suite(void)
{
	return suite_by_each_mode("harmless", 120, add);
}
