// SPDX-License-Identifier: MIT
#include "tests/probe_modes.h"

#include <stdio.h>

#include "tests/run_memattach.h"

static const char *const names[PROBE_MODES] = {"trap", "jump", "auto"};
static enum probe_mode now = PROBE_AUTO;

const char *probe_mode_name(enum probe_mode mode)
{
	return names[mode];
}

static void set(enum probe_mode mode)
{
	now = mode;
	memattach_probe_by(names[mode]);
}

static void set_trap(void)
{
	set(PROBE_TRAP);
}

static void set_jump(void)
{
	set(PROBE_JUMP);
}

static void set_auto(void)
{
	set(PROBE_AUTO);
}

Suite *suite_by_each_mode(const char *name, double timeout,
			  void (*add)(TCase *tcase, enum probe_mode mode))
{
	static const SFun set_up[PROBE_MODES] = {set_trap, set_jump, set_auto};
	/* libcheck keeps the pointer. */
	static char case_names[64][32];
	static int n;
	Suite *suite = suite_create(name);

	for (int mode = 0; mode < PROBE_MODES_RUN; mode++) {
		char *case_name = case_names[n++ % 64];
		TCase *tcase;

		snprintf(case_name, sizeof(case_names[0]), "%s-%s", name, names[mode]);
		tcase = tcase_create(case_name);
		tcase_set_timeout(tcase, timeout);
		tcase_add_checked_fixture(tcase, set_up[mode], NULL);
		add(tcase, (enum probe_mode)mode);
		suite_add_tcase(suite, tcase);
	}
	return suite;
}

enum probe_mode probe_mode_now(void)
{
	return now;
}

const char *by_mode(const char *trap, const char *jump)
{
	return now == PROBE_TRAP ? trap : jump;
}
