// SPDX-License-Identifier: MIT
/*
 * Children that are born in the middle of an allocator call: in one that the agent has
 * called, or in a signal handler that has interrupted the agent itself. They go on
 * there, and so does their parent; also when memattach and its guardian are dead.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/process_image.h"
#include "tests/rounds.h"
#include "tests/run_memattach.h"
#include "tests/suites.h"

static const char *const modes[] = {"trap", "jump"};

START_TEST(born_within_an_allocator)
{
	struct target target;
	char *before;

	memattach_probe_by(modes[_i]);
	target_start(&target, WORDS("fork_within"), NULL);
	before = process_image(target.pid, false);
	memattach_visits(&target, "within 100", "forked");
	assert_same_image(before, process_image(target.pid, false));
	target_ask(&target, "within 3", "forked");
	target_end(&target);
}
END_TEST

START_TEST(born_in_a_signal_handler)
{
	struct target target;
	char *before, children[32];

	memattach_probe_by(modes[_i]);
	target_start(&target, WORDS("fork_within"), NULL);
	snprintf(children, sizeof(children), "signal %d", ROUNDS(_i ? 300 : 100));
	/* The handler of the signals is there from now on. */
	target_ask(&target, "signal 1", "forked");
	before = process_image(target.pid, false);
	memattach_visits(&target, children, "forked");
	assert_same_image(before, process_image(target.pid, false));
	target_ask(&target, "signal 3", "forked");
	target_end(&target);
}
END_TEST

#define VISITS 15

/* Breakpoints come, become jumps and go between a child's birth and when it is cleaned. */
START_TEST(born_while_memattach_comes_and_goes)
{
	struct target target;

	memattach_probe_by(modes[_i]);
	target_start(&target, WORDS("fork_within"), NULL);
	target_say(&target, "signal 4000");
	for (int i = 0; i < ROUNDS(VISITS); i++)
		memattach_visits(&target, NULL, NULL);
	ck_assert_str_eq(target_hear(&target), "forked");
	target_end(&target);
}
END_TEST

Suite *fork_within_suite(void)
{
	Suite *suite = suite_create("fork_within");
	TCase *tcase = tcase_create("fork_within");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, born_within_an_allocator, 0, 2);
	tcase_add_loop_test(tcase, born_in_a_signal_handler, 0, 2);
	tcase_add_loop_test(tcase, born_while_memattach_comes_and_goes, 0, 2);
	suite_add_tcase(suite, tcase);
	return suite;
}
