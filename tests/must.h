/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_MUST_H
#define MEMATTACH_TESTS_MUST_H

#include <check.h>

/* For loops of many turns, where each ck_assert would cost a system call. */
#define MUST(condition)                                                                            \
	do {                                                                                       \
		if (!(condition))                                                                  \
			ck_abort_msg("%s", #condition);                                            \
	} while (0)

#endif
