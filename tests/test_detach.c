// SPDX-License-Identifier: MIT
/*
 * memattach leaves while a thread is in its allocator: it must find out that the thread will
 * come back to memory of ours, and only then that it will not.
 */
#include <string.h>
#include <sys/wait.h>

#include "tests/orphans.h"
#include "tests/process_image.h"
#include "tests/run_memattach.h"
#include "tests/rounds.h"
#include "tests/suites.h"

static const char *const programs[] = {"hot_bare", "hot_musl"};

/* No unwind information tells where it is. */
START_TEST(in_the_allocator)
{
	struct memattach m;
	struct target target;
	char *before;

	memattach_probe_by("jump");
	target_start(&target, WORDS(programs[_i]), NULL);
	before = process_image(target.pid, true);
	for (int i = 0; i < ROUNDS(20); i++) {
		target_ask(&target, "spin", "spinning");
		memattach_attach(&m, target.pid, WORDS("-d", "0.05"));
		memattach_expect_exit(&m, 0);
		memattach_cleanup(&m);
		target_ask(&target, "rest", "resting");
	}
	assert_same_image(before, process_image(target.pid, true));
	target_end(&target);
}
END_TEST

/* It ends, and says why it could not do its work. */
static void fails_with(struct memattach *m, const char *reason)
{
	int status = memattach_wait(m);

	ck_assert_msg(WIFEXITED(status) && WEXITSTATUS(status) == 125, "wait status %#x",
		      (unsigned int)status);
	ck_assert_msg(strstr(memattach_err(m), reason), "it says: %s", memattach_err(m));
	memattach_cleanup(m);
}

static const char *const places[] = {"inside", "handler", "elsewhere"};

/* For longer than memattach waits: what the thread needs is left to it, until the next visit. */
START_TEST(for_long)
{
	struct memattach m;
	struct target target;
	char *before;

	memattach_probe_by("jump");
	target_start(&target, WORDS("stays"), NULL);
	/* What a signal handler needs is there from now on. */
	target_ask(&target, places[_i], "inside");
	target_ask(&target, "go", "outside");
	before = process_image(target.pid, false);
	memattach_attach(&m, target.pid, NULL);
	target_ask(&target, "work 100", "worked");
	target_ask(&target, places[_i], "inside");
	kill(m.pid, SIGINT);
	fails_with(&m, "was left in the target");
	assert_untraced(target.pid);
	ck_assert(orphans_has_traces(target.pid));
	memattach_attach_nowait(&m, target.pid, NULL);
	fails_with(&m, "still needs memory of an earlier memattach");
	assert_untraced(target.pid);
	target_ask(&target, "go", "outside");
	target_ask(&target, "work 100", "worked");
	memattach_visits(&target, "work 100", "worked");
	ck_assert(!orphans_has_traces(target.pid));
	assert_same_image(before, process_image(target.pid, false));
	target_end(&target);
}
END_TEST

static const char *const probe_modes[] = {"trap", "jump"};

/* The next signal is always there already: it goes between each two calls that we make. */
START_TEST(in_a_storm_of_signals)
{
	struct target target;
	char *before;

	memattach_probe_by(probe_modes[_i]);
	target_start(&target, WORDS("stays"), NULL);
	target_ask(&target, "storm", "storm");
	target_ask(&target, "go", "calm");
	before = process_image(target.pid, false);
	target_ask(&target, "storm", "storm");
	for (int i = 0; i < 5; i++)
		memattach_visits(&target, NULL, NULL);
	target_ask(&target, "go", "calm");
	assert_same_image(before, process_image(target.pid, false));
	target_end(&target);
}
END_TEST

Suite *detach_suite(void)
{
	Suite *suite = suite_create("detach");
	TCase *tcase = tcase_create("detach");

	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, in_the_allocator, 0, 2);
	tcase_add_loop_test(tcase, for_long, 0, 3);
	tcase_add_loop_test(tcase, in_a_storm_of_signals, 0, 2);
	suite_add_tcase(suite, tcase);
	return suite;
}
