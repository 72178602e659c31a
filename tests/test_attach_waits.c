// SPDX-License-Identifier: MIT
/* Threads that cannot be stopped, since they wait in the kernel for something that is no signal. */
#include <stdio.h>
#include <string.h>

#include "tests/attach_serve.h"
#include "tests/suites.h"

static u64 time_to_stop_all(struct tracee *tracee)
{
	u64 start = clock_ns();

	ck_assert_int_eq(tracee_stop_all(tracee, NULL), 0);
	return clock_ns() - start;
}

static u64 time_to_stop_and_resume(struct tracee *tracee)
{
	u64 time = time_to_stop_all(tracee);

	tracee_resume_all(tracee);
	return time;
}

/* No thread that cannot be stopped was waited for. */
static void assert_not_waited(u64 time)
{
	ck_assert_msg(time < 600000000, "stop_all took %lu ms", (unsigned long)time / 1000000);
}

/* Nor those whose child was made before we came. */
START_TEST(vfork_parents_of_before)
{
	struct served served = {.newborns = 0};
	struct tracee *tracee;
	struct target target;

	/* Each child lives for 0.9 s. */
	target_start(&target, WORDS("attach_forks", "900000", "vfork", "vfork"), NULL);
	for (int i = 0; i < 2; i++) {
		tracee = serve_seize(target.pid);
		assert_not_waited(time_to_stop_and_resume(tracee));
		serve_for(tracee, 1200, &served);
		ck_assert_uint_gt(served.events[EVENT_VFORK_DONE], 0);
		serve_detach(tracee);
	}
	target_ask(&target, "progress 1", "progressed");
	target_end(&target);
}
END_TEST

/* A thread in an uninterruptible wait is waited for once, and not for long; then it stops before it runs. */
START_TEST(a_stuck_thread)
{
	struct served served = {.newborns = 0};
	struct tracee *tracee;
	struct target target;
	struct thread *stuck = NULL;
	u64 shortest = UINT64_MAX;

	target_start(&target, WORDS("stuck"), NULL);
	target_say(&target, "stick");
	if (strcmp(target_hear(&target), "stuck") != 0) {
		printf("attach: skipped: no userfaultfd here\n");
		target_end(&target);
		return;
	}
	tracee = serve_seize(target.pid);
	assert_not_waited(time_to_stop_and_resume(tracee));
	for (u32 i = 0; i < threads_count(tracee_threads(tracee)); i++)
		if (threads_at(tracee_threads(tracee), i)->stuck)
			stuck = threads_at(tracee_threads(tracee), i);
	ck_assert_ptr_nonnull(stuck);
	ck_assert_int_eq(stuck->state, THREAD_RUNNING);
	/* On a busy machine some of them may take longer. */
	for (int i = 0; i < 10; i++) {
		u64 time = time_to_stop_and_resume(tracee);

		shortest = time < shortest ? time : shortest;
	}
	ck_assert_uint_lt(shortest, 30000000);
	served.events[EVENT_STOP] = 0;
	serve_ask(tracee, &target, "free", "free", &served);
	ck_assert_uint_gt(served.events[EVENT_STOP], 0);
	serve_detach(tracee);
	target_ask(&target, "work", "worked");
	target_end(&target);
}
END_TEST

/* The parent of a vfork child cannot be stopped; stop_all must not wait for it, but the child stops. */
START_TEST(vfork_parents_are_not_waited_for)
{
	struct served served = {.newborns = 0};
	struct tracee *tracee;
	struct target target;
	u64 longest = 0;

	tracee = serve_start(&target, WORDS("attach_forks", "400000", "vfork", "vfork"));
	/* Those that were in a vfork before us run out; then all are known to us from the beginning. */
	while (served.events[EVENT_VFORK] < 2)
		serve(tracee, &served);
	serve_for(tracee, 20, &served);
	for (int i = 0; i < 10; i++) {
		u64 time = time_to_stop_all(tracee);

		longest = time > longest ? time : longest;
		assert_all_stopped(tracee);
		tracee_resume_all(tracee);
		serve_for(tracee, 10, &served);
	}
	printf("attach: stop_all with two vfork parents took up to %lu us\n",
	       (unsigned long)longest / 1000);
	assert_not_waited(longest);
	/* Nor can it be let go before it has come back. */
	for (u32 i = 0; i < 2; i++) {
		const struct thread *thread = threads_at(tracee_threads(tracee), 1 + i);

		while (thread->in_vfork)
			serve(tracee, &served);
	}
	serve_detach(tracee);
	target_ask(&target, "progress 1", "progressed");
	target_end(&target);
}
END_TEST

Suite *attach_waits_suite(void)
{
	Suite *suite = suite_create("attach_waits");
	TCase *tcase = tcase_create("attach_waits");

	tcase_set_timeout(tcase, 60);
	tcase_add_test(tcase, vfork_parents_are_not_waited_for);
	tcase_add_test(tcase, vfork_parents_of_before);
	tcase_add_test(tcase, a_stuck_thread);
	suite_add_tcase(suite, tcase);
	return suite;
}
