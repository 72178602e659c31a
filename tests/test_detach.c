// SPDX-License-Identifier: MIT
/*
 * memattach leaves while a thread is in its allocator, of which no unwind information tells: it
 * must find out that the thread will come back to memory of ours, and only then that it will not.
 */
#include "tests/process_image.h"
#include "tests/run_memattach.h"
#include "tests/suites.h"

#ifdef __SANITIZE_ADDRESS__
#define VISITS 6
#else
#define VISITS 20
#endif

static const char *const programs[] = {"hot_bare", "hot_musl"};

START_TEST(in_the_allocator)
{
	struct memattach m;
	struct target target;
	char *before;

	memattach_probe_by("jump");
	target_start(&target, WORDS(programs[_i]), NULL);
	before = process_image(target.pid, true);
	for (int i = 0; i < VISITS; i++) {
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

Suite *detach_suite(void)
{
	Suite *suite = suite_create("detach");
	TCase *tcase = tcase_create("detach");

	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, in_the_allocator, 0, 2);
	suite_add_tcase(suite, tcase);
	return suite;
}
