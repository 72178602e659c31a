/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_SUITES_H
#define MEMATTACH_TESTS_SUITES_H

#include <check.h>

/*
 * One function per test file tests/test_NAME.c: `Suite *NAME_suite(void)`. The
 * runner (tests/runner.c) is linked with all of them, or, while working on one
 * part, with only those named in `make check-one SUITE="NAME ..."`: hence weak.
 */
#define SUITES(X)                                                                                  \
	X(base)                                                                                    \
	X(layers)                                                                                  \
	X(ledger)                                                                                  \
	X(blocks)                                                                                  \
	X(stacks)                                                                                  \
	X(sampling)                                                                                \
	X(sample)                                                                                  \
	X(ring)                                                                                    \
	X(consumer)                                                                                \
	X(known_stacks)                                                                            \
	X(estimates)                                                                               \
	X(timeline)                                                                                \
	X(proc)                                                                                    \
	X(check_target)                                                                            \
	X(usage)                                                                                   \
	X(diagnosis)                                                                               \
	X(maps)                                                                                    \
	X(modules)                                                                                 \
	X(symbols)                                                                                 \
	X(symbols_hostile)                                                                         \
	X(unwind)                                                                                  \
	X(unwind_compare)                                                                          \
	X(unwind_table)                                                                            \
	X(unwind_hostile)                                                                          \
	X(capture)                                                                                 \
	X(names)                                                                                   \
	X(builder)                                                                                 \
	X(text)                                                                                    \
	X(attach)                                                                                  \
	X(attach_waits)                                                                            \
	X(remote)                                                                                  \
	X(calls)                                                                                   \
	X(slots)                                                                                   \
	X(slots_libc)                                                                              \
	X(prologue)                                                                                \
	X(breakpoints)                                                                             \
	X(jump_safety)                                                                             \
	X(stubs)                                                                                   \
	X(jump_corpus)                                                                             \
	X(exact)                                                                                   \
	X(detach)                                                                                  \
	X(busy)                                                                                    \
	X(threads)                                                                                 \
	X(stack_shapes)                                                                            \
	X(harmless)                                                                                \
	X(programs)                                                                                \
	X(cli)                                                                                     \
	X(outputs)                                                                                 \
	X(exec_fork)                                                                               \
	X(agent_turns)                                                                             \
	X(agent_walk)                                                                              \
	X(agent_memo)                                                                              \
	X(agent_hostile)                                                                           \
	X(agent_tables)                                                                            \
	X(agent_trees)                                                                             \
	X(leaps)                                                                                   \
	X(allocators)                                                                              \
	X(fork_within)                                                                             \
	X(orphan)                                                                                  \
	X(kill9)

#define SUITE_DECLARE(name) Suite *name##_suite(void) __attribute__((weak));
SUITES(SUITE_DECLARE)
#undef SUITE_DECLARE

#endif
