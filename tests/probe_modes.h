/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_PROBE_MODES_H
#define MEMATTACH_TESTS_PROBE_MODES_H

#include <check.h>

/*
 * The ways to probe, as of memattach's option. What must be exact, whole and
 * harmless must be so by each: its tests stand in one table, which is run for
 * each. By auto everything goes as by jump where a jump is safe, so that fewer
 * rounds of it tell as much.
 */
enum probe_mode { PROBE_TRAP, PROBE_JUMP, PROBE_AUTO, PROBE_MODES };

/* Under a sanitizer tests take several times as long, and see nothing by auto that they do not by jump. */
#ifdef __SANITIZE_ADDRESS__
#define PROBE_MODES_RUN PROBE_AUTO
#else
#define PROBE_MODES_RUN PROBE_MODES
#endif

/* The name of the mode, as --probe has it. */
const char *probe_mode_name(enum probe_mode mode);

/*
 * A suite with a test case for each mode, called by the suite's and the mode's name
 * ("exact-jump"): add puts the tests into it, and each of these is run with that
 * --probe (memattach_probe_by). timeout in seconds. CK_RUN_CASE chooses one.
 */
Suite *suite_by_each_mode(const char *name, double timeout,
			  void (*add)(TCase *tcase, enum probe_mode mode));

/* In such a test: the mode that it is run by. */
enum probe_mode probe_mode_now(void);

/* In such a test: what it is to take of two, a count for example: one for traps, the other for jumps. */
const char *by_mode(const char *trap, const char *jump);

#endif
