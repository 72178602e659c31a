/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_IN_LOOPS_H
#define MEMATTACH_TESTS_IN_LOOPS_H

#include <check.h>

/*
 * For what is checked ten thousand times in one test. Each ck_assert that holds writes
 * a message, which the runner reads, and keeps, when the test has ended: together they
 * would take longer than what they check. These say something only if they do not hold.
 */
#define assert_in_loop(expr) assert_in_loop_msg(expr, "'%s' does not hold", #expr)

#define assert_in_loop_msg(expr, ...)                                                              \
	do {                                                                                       \
		if (!(expr))                                                                       \
			ck_abort_msg(__VA_ARGS__);                                                 \
	} while (0)

#endif
