// SPDX-License-Identifier: MIT
/*
 * kill -9 of memattach at any moment, of its guardian as well: the target lives
 * and is right, and somebody takes everything out of it again.
 */
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/capture_query.h"
#include "tests/kill_at_call.h"
#include "tests/orphans.h"
#include "tests/probe_modes.h"
#include "tests/process_image.h"
#include "tests/rounds.h"
#include "tests/run_memattach.h"
#include "tests/suites.h"

/* Its threads get signals at this rate, and their handlers allocate. */
static void set_timer(struct target *target, int hz)
{
	target_say(target, "timer %d", hz);
	ck_assert_ptr_nonnull(strstr(target_hear(target), "timer "));
}

/* No more signals, and those that were on their way have come. */
static void still(struct target *target)
{
	set_timer(target, 0);
	target_ask(target, "run 1", "done");
}

/* The target must be as it was, apart from what it did itself. */
static char *compare(struct target *target, char *before)
{
	target_ask(target, "stop", "stopped");
	still(target);
	assert_same_image(before, orphans_image(target));
	before = orphans_image(target);
	set_timer(target, 1000);
	target_ask(target, "start", "started");
	return before;
}

/* The i-th moment of a kind: attaching, recording, detaching. False: memattach had ended by then. */
static bool kill_memattach(struct memattach *m, struct target *target, int i)
{
	struct timespec pause = {.tv_nsec = (i * 37 % 20) * 1000000};
	struct moment moment = {.call = KILL_ANY_CALL};
	int status;

	switch (i % 3) {
	case 0:
		/* From PTRACE_SEIZE on; the steps get wider. */
		memattach_attach_nowait(m, target->pid, NULL);
		kill_at_call_prepare(m->pid);
		moment.call = SYS_ptrace;
		moment.n = 1 + (unsigned int)(i / 3) * (unsigned int)(5 + i / 6);
		break;
	case 1:
		memattach_attach(m, target->pid, NULL);
		nanosleep(&pause, NULL);
		memattach_kill(m);
		return true;
	default:
		memattach_attach(m, target->pid, NULL);
		kill_at_call_prepare(m->pid);
		kill(m->pid, SIGINT);
		moment.sig = SIGINT;
		moment.n = 1 + (unsigned int)(i / 3) * (unsigned int)(5 + i / 6);
	}
	return kill_at_call(m->pid, &moment, &status);
}

static void start_target(struct target *target, int threads, bool handler)
{
	char number[16];

	snprintf(number, sizeof(number), "%d", threads);
	target_start(target, WORDS("attach_orphan", number), NULL);
	if (handler)
		target_ask(target, "handler", "handler");
	/* The signals' handler is there before the first image is taken. */
	set_timer(target, 1000);
	target_ask(target, "run 500", "done");
	still(target);
}

#define KILLS 33

static const int thread_counts[] = {1, 8};

START_TEST(killed_at_any_moment)
{
	struct target target;
	int died = 0, tries = 0;
	int blank;
	char *before;

	orphans_adopt();
	start_target(&target, thread_counts[_i], false);
	before = orphans_image(&target);
	set_timer(&target, 1000);
	target_ask(&target, "start", "started");
	for (int i = 0; i < KILLS; i += ROUNDS_STEP) {
		struct memattach m;

		tries++;
		died += kill_memattach(&m, &target, i);
		orphans_await(&target);
		orphans_forget(&m);
		target_ask(&target, "progress 10", "progressed");
		if (i % 11 == 10)
			before = compare(&target, before);
	}
	orphans_count_traces(target.pid, &blank);
	printf("orphan: %d threads, killed at %d moments of %d; %d blank areas left\n",
	       thread_counts[_i], died, tries, blank);
	/* The guardian knows where one was being mapped. */
	ck_assert_int_eq(blank, 0);
	ck_assert_int_ge(died, tries - 3);
	target_ask(&target, "stop", "stopped");
	still(&target);
	assert_same_image(before, orphans_image(&target));
	target_ask(&target, "drain", "drained");
	target_end(&target);
}
END_TEST

static void kill_both(struct memattach *m)
{
	pid_t guardian = orphans_find(m->pid, 0);

	ck_assert_int_gt(guardian, 0);
	kill(guardian, SIGKILL);
	memattach_kill(m);
	/* Ours now, unless memattach has reaped it. */
	waitpid(guardian, NULL, 0);
}

/* memattach takes over what was left, records exactly, and leaves nothing. */
static void take_over(struct target *target)
{
	struct memattach m;

	target_ask(target, "epoch", "epoch");
	memattach_attach_nowait(&m, target->pid, NULL);
	memattach_wait_for(&m, "removed what a killed memattach has left");
	memattach_wait_for(&m, "attached to");
	target_ask(target, "run 200", "done");
	memattach_stop_with_truth(&m, target, "", true);
}

/* With the guardian killed as well the target goes on through the agent's handler, for ever. */
START_TEST(both_killed)
{
	struct target target;
	struct memattach m;
	char *before;

	orphans_adopt();
	start_target(&target, thread_counts[_i % 2], _i >= 2);
	before = orphans_image(&target);
	for (int i = 0; i < 4; i++) {
		set_timer(&target, 1000);
		target_ask(&target, "start", "started");
		memattach_attach(&m, target.pid, NULL);
		target_ask(&target, "progress 5", "progressed");
		kill_both(&m);
		orphans_forget(&m);
		ck_assert(orphans_has_traces(target.pid));
		assert_untraced(target.pid);
		/* So many that some arrive while the agent's own handler runs, whose handlers allocate. */
		set_timer(&target, 0);
		set_timer(&target, 8000 / thread_counts[_i % 2]);
		target_ask(&target, "progress 1000", "progressed");
		target_ask(&target, "fork 5", "forked");
		if (_i >= 2)
			target_ask(&target, "trap 5", "trapped");
		target_ask(&target, "stop", "stopped");
		still(&target);
		/* More than the ring holds, which nobody reads. */
		if (i == 0 && probe_mode_now() != PROBE_TRAP)
			target_ask(&target, "run 300000", "done");
		take_over(&target);
		ck_assert(!orphans_has_traces(target.pid));
		target_ask(&target, "fork 1", "forked");
		if (_i >= 2)
			target_ask(&target, "trap 5", "trapped");
	}
	assert_same_image(before, orphans_image(&target));
	target_end(&target);
}
END_TEST

/*
 * Nobody has read for long: no thread asks any more whether its stack may be read, which would
 * kill it if it has blocked SIGTRAP.
 */
START_TEST(new_threads_of_an_orphan)
{
	struct target target;
	struct memattach m;
	char *before;

	orphans_adopt();
	target_start(&target, WORDS("staller"), NULL);
	before = orphans_image(&target);
	memattach_attach(&m, target.pid, NULL);
	target_ask(&target, "pairs 1000", "calls 2000");
	kill_both(&m);
	orphans_forget(&m);
	/* More than the ring has records. */
	target_ask(&target, "pairs 199000", "calls 400000");
	target_ask(&target, "thread 1000", "calls 402000");
	memattach_visits(&target, "pairs 1000", "calls 404000");
	assert_same_image(before, orphans_image(&target));
	target_end(&target);
}
END_TEST

/* The guardian is killed at whatever it is doing by then; the next memattach finds what is left. */
START_TEST(both_killed_at_any_moment)
{
	struct target target;
	char *before;

	orphans_adopt();
	start_target(&target, 4, true);
	before = orphans_image(&target);
	set_timer(&target, 1000);
	target_ask(&target, "start", "started");
	for (int i = 0; i < 21; i += ROUNDS_STEP) {
		struct timespec pause = {.tv_nsec = (i % 7) * 300000};
		struct memattach m;
		pid_t guardian;

		kill_memattach(&m, &target, i);
		guardian = orphans_find(getpid(), target.pid);
		if (guardian) {
			nanosleep(&pause, NULL);
			kill(guardian, SIGKILL);
			wait_end(guardian);
		}
		orphans_forget(&m);
		target_ask(&target, "progress 10", "progressed");
		target_ask(&target, "trap 2", "trapped");
		target_ask(&target, "fork 1", "forked");
		memattach_visits(&target, "progress 5", "progressed");
		ck_assert(!orphans_has_traces(target.pid));
		if (i % 7 == 6)
			before = compare(&target, before);
	}
	target_ask(&target, "stop", "stopped");
	still(&target);
	assert_same_image(before, orphans_image(&target));
	target_end(&target);
}
END_TEST

/* memattach records a target whose calls can be left, and stood still in. Its image before. */
static char *attach_to_fork_within(struct target *target, struct memattach *m)
{
	char *before;

	orphans_adopt();
	target_start(target, WORDS("fork_within"), NULL);
	before = orphans_image(target);
	memattach_attach(m, target->pid, NULL);
	target_ask(target, "work 1000", "worked");
	return before;
}

/* What calls that were left by longjmp have left on a stack keeps nothing in the target. */
START_TEST(remnants_on_the_stack)
{
	struct target target;
	struct memattach m;
	char *before;

	before = attach_to_fork_within(&target, &m);
	target_ask(&target, "remnant", "waiting");
	memattach_kill(&m);
	orphans_await(&target);
	orphans_forget(&m);
	assert_same_image(before, orphans_image(&target));
	target_ask(&target, "go", "done");
	target_end(&target);
}
END_TEST

/*
 * A thread that stays in a call that the agent has made keeps the areas, but nothing
 * else; the guardian gives up, and the next memattach after that call takes them out.
 */
START_TEST(a_call_that_lasts)
{
	struct target target;
	struct memattach m;
	char *before;
	int status;

	before = attach_to_fork_within(&target, &m);
	target_ask(&target, "inside", "inside");
	memattach_kill(&m);
	status = wait_end(orphans_find(getpid(), target.pid));
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 1);
	orphans_forget(&m);
	assert_untraced(target.pid);
	ck_assert(orphans_has_traces(target.pid));
	target_ask(&target, "go", "outside");
	target_ask(&target, "work 1000", "worked");
	memattach_visits(&target, "work 1000", "worked");
	assert_same_image(before, orphans_image(&target));
	target_end(&target);
}
END_TEST

static void add(TCase *tcase, enum probe_mode mode)
{
	/* By auto everything is as by jump here. */
	if (mode == PROBE_AUTO) {
		tcase_add_loop_test(tcase, both_killed, 0, 1);
		return;
	}
	tcase_add_loop_test(tcase, killed_at_any_moment, 0, 2);
	tcase_add_loop_test(tcase, both_killed, 0, 4);
	tcase_add_test(tcase, both_killed_at_any_moment);
	tcase_add_test(tcase, remnants_on_the_stack);
	if (mode == PROBE_JUMP) {
		tcase_add_test(tcase, a_call_that_lasts);
		tcase_add_test(tcase, new_threads_of_an_orphan);
	}
}

Suite *orphan_suite(void)
{
	return suite_by_each_mode("orphan", 120, add);
}
