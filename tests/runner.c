// SPDX-License-Identifier: MIT
#include <stdio.h>
#include <stdlib.h>

#include "tests/suites.h"

typedef Suite *(*suite_fn)(void);

/* Runs every suite that is linked in. CK_RUN_SUITE and CK_RUN_CASE select, as libcheck documents. */
int main(void)
{
#define SUITE_ENTRY(name) name##_suite,
	suite_fn suites[] = {SUITES(SUITE_ENTRY)};
#undef SUITE_ENTRY
	SRunner *runner = srunner_create(NULL);
	int failed;

	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		if (suites[i])
			srunner_add_suite(runner, suites[i]());
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
