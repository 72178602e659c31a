// SPDX-License-Identifier: MIT
/* The truth of the same targets under every allocator, and under one that only the user knows. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/capture_query.h"
#include "tests/probe_modes.h"
#include "tests/run_memattach.h"
#include "tests/suites.h"

#define LIB "/usr/lib/x86_64-linux-gnu/"

/*
 * glibc's pvalloc in front of jemalloc gives blocks that jemalloc cannot free.
 * musl's functions have no unwind information: strdup and asprintf hide their callers.
 */
static const struct setup {
	const char *program;
	const char *preload;
	const char *without[3]; /* call sites that are left out */
} setups[] = {
	{"exact", LIB "libjemalloc.so.2", {"site_pvalloc"}},
	{"exact_cpp", LIB "libjemalloc.so.2", {NULL}},
	{"exact", LIB "libtcmalloc_minimal.so.4", {NULL}},
	{"exact_cpp", LIB "libtcmalloc_minimal.so.4", {NULL}},
	{"exact", LIB "libmimalloc.so.2", {NULL}},
	{"exact_cpp", LIB "libmimalloc.so.2", {NULL}},
	{"exact_cpp_jemalloc", NULL, {NULL}},
	{"exact_lazy", NULL, {NULL}},
	{"exact_static", NULL, {NULL}},
	{"exact_static_pie", NULL, {NULL}},
	{"exact_musl", NULL, {"site_str", "site_asprintf"}},
	{"exact_musl_static", NULL, {"site_str", "site_asprintf"}},
};
#define SETUPS (int)(sizeof(setups) / sizeof(setups[0]))

static bool skipped(const struct setup *setup)
{
	if (!setup->preload || access(setup->preload, R_OK) == 0)
		return false;
	printf("skipped: %s is not installed\n", setup->preload);
	return true;
}

START_TEST(attached)
{
	const struct setup *setup = &setups[_i];
	char preload[128];
	struct memattach m;
	struct target target;
	json_t *capture;

	if (skipped(setup))
		return;
	snprintf(preload, sizeof(preload), "LD_PRELOAD=%s", setup->preload ? setup->preload : "");
	target_start(&target, WORDS(setup->program, "3", setup->without[0], setup->without[1]),
		     WORDS(preload, "TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD=0"));
	target_ask(&target, "run 1000", "done");
	memattach_attach(&m, target.pid, NULL);
	target_ask(&target, "epoch", "epoch");
	target_say(&target, "run %s", by_mode("1500", "20000"));
	target_expect(&target, "done");
	capture = memattach_stop_and_read(&m);
	capture_assert_whole_truth(capture, &target);
	json_decref(capture);
	memattach_cleanup(&m);
	target_ask(&target, "run 1000", "done");
	target_ask(&target, "drain", "drained");
	target_end(&target);
}
END_TEST

/* From the first instruction: also what the allocator does before it is ready. */
START_TEST(launched)
{
	const struct setup *setup = &setups[_i];
	char *path;
	struct memattach m;
	struct target target;
	json_t *capture;

	if (skipped(setup))
		return;
	path = target_program(setup->program);
	setenv("TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD", "0", 1);
	/* Not for memattach itself. */
	if (setup->preload) {
		char variable[128];

		snprintf(variable, sizeof(variable), "LD_PRELOAD=%s", setup->preload);
		memattach_launch(
			&m, NULL,
			WORDS("env", variable, path, "3", setup->without[0], setup->without[1]));
		memattach_wait_for(&m, "attached to");
	} else {
		memattach_launch(&m, NULL, WORDS(path, "3", setup->without[0], setup->without[1]));
	}
	memattach_adopt(&m, &target);
	target_say(&target, "run %s", by_mode("1000", "20000"));
	target_expect(&target, "done");
	capture = memattach_snapshot_and_read(&m);
	capture_assert_whole_truth(capture, &target);
	ck_assert_int_eq(truth_sums_last().unknown_frees, 0);
	json_decref(capture);
	memattach_end_command(&m, &target);
	free(path);
}
END_TEST

/* An operator new that throws leaves no call open: what comes after it is counted as before. */
START_TEST(throwing_new)
{
	/* mimalloc, written in C, cannot throw: its operator new aborts. */
	static const char *const preloads[] = {"LD_PRELOAD=", "LD_PRELOAD=" LIB "libjemalloc.so.2",
					       "LD_PRELOAD=" LIB "libtcmalloc_minimal.so.4"};
	struct memattach m;
	struct target target;
	struct figures sum;
	json_t *capture;

	target_start(&target, WORDS("shapes_cpp"),
		     WORDS(preloads[_i], "TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD=0"));
	memattach_attach(&m, target.pid, NULL);
	for (int i = 0; i < 100; i++)
		target_ask(&target, "shape bad_alloc", "ok");
	target_ask(&target, "shape catch 50", "ok");
	capture = memattach_stop_and_read(&m);
	ck_assert(capture_site(capture, "leaf_after_bad_alloc", 1, &sum));
	ck_assert_int_eq(sum.live_blocks, 100);
	ck_assert_int_eq(sum.live_bytes, 10000);
	ck_assert(capture_site(capture, "middle", 3, &sum));
	ck_assert_int_eq(sum.allocations, 50);
	ck_assert_int_eq(sum.frees, 50);
	json_decref(capture);
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

#define POOL_REST                                                                                  \
	"--free", "pool_put:ptr=2", "--alloc", "pool_make:out=1:count=2:size=3", "--realloc",      \
		"pool_resize:ptr=2:size=3"

static void check_pool(struct target *target, const char *const *options)
{
	struct memattach m;
	struct figures sum;
	json_t *capture;

	target_ask(target, "run 500", "done");
	memattach_attach(&m, target->pid, options);
	target_ask(target, "epoch", "epoch");
	target_ask(target, "run 500", "done");
	target_ask(target, "jump 50", "jumped");
	target_ask(target, "run 500", "done");
	capture = memattach_stop_and_read(&m);
	capture_assert_whole_truth(capture, target);
	/* malloc inside the pool is no call of its own. */
	ck_assert(!capture_site(capture, "pool_get", 1, &sum));
	ck_assert(!capture_site(capture, "pool_make", 1, &sum));
	json_decref(capture);
	memattach_cleanup(&m);
}

START_TEST(allocator_of_ones_own)
{
	char by_module[64], by_offset[64];
	unsigned long offset;
	struct target target;

	target_start(&target, WORDS("pool", "3"), NULL);
	check_pool(&target, WORDS("--alloc", "pool_get:size=2", POOL_REST));
	snprintf(by_module, sizeof(by_module), "pool!pool_get:size=2");
	check_pool(&target, WORDS("--alloc", by_module, POOL_REST));
	target_say(&target, "offset");
	ck_assert_int_eq(sscanf(target_hear(&target), "offset %lx", &offset), 1);
	snprintf(by_offset, sizeof(by_offset), "pool!%#lx:size=2", offset);
	check_pool(&target, WORDS("--alloc", by_offset, POOL_REST));
	target_end(&target);
}
END_TEST

/* The stack that a call is on may be put aside, and be gone on with when memattach has long left. */
START_TEST(fibers)
{
	struct target target;
	struct memattach m;

	target_start(&target, WORDS("fibers"), NULL);
	target_ask(&target, "enter", "inside");
	target_ask(&target, "leave", "left");
	for (int i = 0; i < 3; i++) {
		memattach_attach(&m, target.pid, WORDS("--alloc", "fiber_alloc:size=1"));
		target_ask(&target, "enter", "inside");
		memattach_stop(&m);
		memattach_cleanup(&m);
		target_ask(&target, "leave", "left");
	}
	target_end(&target);
}
END_TEST

/* Without the options the pool is what it is to malloc: its callers hold nothing of their own. */
START_TEST(allocator_unknown_to_us)
{
	struct memattach m;
	struct target target;
	struct figures sum;
	json_t *capture;

	target_start(&target, WORDS("pool", "1"), NULL);
	memattach_attach(&m, target.pid, NULL);
	target_ask(&target, "run 200", "done");
	capture = memattach_stop_and_read(&m);
	ck_assert(capture_site(capture, "pool_get", 1, &sum));
	ck_assert_int_gt(sum.allocations, 0);
	json_decref(capture);
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

/* A name that is nowhere is an error that names it, and the target is left alone. */
START_TEST(unknown_names)
{
	static const char *const specs[][2] = {
		{"--alloc", "no_such_function:size=1"},
		{"--free", "no_such_function:ptr=1"},
		{"--realloc", "no_such_function:ptr=1:size=2"},
		{"--alloc", "nowhere!malloc:size=1"},
		{"--alloc", "pool!no_such_function:size=1"},
		{"--alloc", "pool!0xfffffff0:size=1"},
	};
	struct memattach m;
	struct target target;
	char pid[16];

	target_start(&target, WORDS("pool", "1"), NULL);
	snprintf(pid, sizeof(pid), "%d", (int)target.pid);
	memattach_start(&m, WORDS(specs[_i][0], specs[_i][1], "-p", pid));
	memattach_expect_exit(&m, 125);
	ck_assert_msg(strstr(memattach_err(&m), "no_such_function") ||
			      strstr(memattach_err(&m), "nowhere") ||
			      strstr(memattach_err(&m), "0xfffffff0"),
		      "the message does not name it: %s", memattach_err(&m));
	memattach_cleanup(&m);
	target_ask(&target, "run 100", "done");
	assert_untraced(target.pid);
	target_end(&target);
}
END_TEST

static void add(TCase *tcase, enum probe_mode mode)
{
	tcase_add_loop_test(tcase, attached, 0, SETUPS);
	tcase_add_test(tcase, allocator_of_ones_own);
	tcase_add_test(tcase, fibers);
	if (mode == PROBE_AUTO) {
		tcase_add_loop_test(tcase, unknown_names, 0, 6);
		return;
	}
	tcase_add_loop_test(tcase, launched, 0, SETUPS);
	tcase_add_loop_test(tcase, throwing_new, 0, 3);
	tcase_add_test(tcase, allocator_unknown_to_us);
}

Suite *allocators_suite(void)
{
	return suite_by_each_mode("allocators", 60, add);
}
