// SPDX-License-Identifier: MIT
/*
 * Call stacks of every shape, in programs of every kind, by each unwinder: the
 * names from the call site down to main must be those of the source.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/capture_query.h"
#include "tests/probe_modes.h"
#include "tests/run_memattach.h"
#include "tests/suites.h"

/* In which programs a shape can be followed. */
enum where {
	EVERYWHERE,
	GLIBC, /* goes through functions of libc, and musl is built without unwind information */
	DYNAMIC_GLIBC,
};

/* What cannot be asked of a shape. */
enum limit {
	NO_CFI = 1,    /* libunwind does not follow it: it trusts no frame pointers */
	TAIL_CALL = 2, /* needs a compiler that makes tail calls of calls at the end */
	NO_END = 4,    /* libc's own outermost frame has no unwind information */
	TRAMPOLINE =
		8 /* where the signal trampoline has none, only the table knows it by its code */
};

#define TEN(f) f, f, f, f, f, f, f, f, f, f

static const struct shape {
	const char *name;
	enum where where;
	unsigned int limits;
	const char *functions[40];
} shapes[] = {
	{"recursion",
	 EVERYWHERE,
	 0,
	 {"leaf_recursion", TEN("recurse"), TEN("recurse"), TEN("recurse"), "*", "main"}},
	{"qsort", GLIBC, 0, {"leaf_qsort", "compare", "*", "main"}},
	{"signal", GLIBC, 0, {"leaf_signal", "on_signal", "*", "main"}},
	{"altstack", GLIBC, 0, {"leaf_altstack", "on_altstack", "*", "main"}},
	{"fault",
	 EVERYWHERE,
	 TRAMPOLINE,
	 {"leaf_fault", "on_fault", "*", "fault_here", "*", "main"}},
	{"alloca", EVERYWHERE, 0, {"leaf_alloca", "variable_frame", "*", "main"}},
	{"realigned", EVERYWHERE, 0, {"leaf_realigned", "realigned_frame", "*", "main"}},
	{"big_frame", EVERYWHERE, 0, {"leaf_big_frame", "big_frame", "*", "main"}},
	{"malloc_tail", EVERYWHERE, TAIL_CALL, {"leaf_malloc_tail", "*", "main"}},
	{"pushed", EVERYWHERE, 0, {"leaf_pushed", "many", "pushes", "*", "main"}},
	{"longjmp", EVERYWHERE, 0, {"leaf_longjmp", "jump_target", "*", "main"}},
	{"nocfi", EVERYWHERE, NO_CFI, {"leaf_nocfi", "nocfi_frame", "*", "main"}},
	{"jit", EVERYWHERE, NO_CFI, {"leaf_jit", "?", "*", "main"}},
	{"thread", EVERYWHERE, 0, {"leaf_thread", "thread_main"}},
	{"context", DYNAMIC_GLIBC, NO_END, {"leaf_context", "in_context", "context_main"}},
};
#define SHAPES (sizeof(shapes) / sizeof(shapes[0]))

static const struct program {
	const char *name;
	enum where libc; /* EVERYWHERE: musl */
	bool tail_calls; /* compiled with them */
	bool header;     /* has .eh_frame_hdr */
} programs[] = {
	{"shapes", DYNAMIC_GLIBC, true, true},
	{"shapes_fp", DYNAMIC_GLIBC, false, true},
	{"shapes_clang", DYNAMIC_GLIBC, true, true},
	{"shapes_lazy", DYNAMIC_GLIBC, true, true},
	{"shapes_static", GLIBC, true, false},
	{"shapes_static_pie", GLIBC, true, true},
	{"shapes_musl", EVERYWHERE, true, false},
	{"shapes_musl_static", EVERYWHERE, true, false},
};
#define PROGRAMS (int)(sizeof(programs) / sizeof(programs[0]))

static const char *const unwinders[] = {"table", "libdw", "libunwind"};

static void make_shapes(struct target *target, enum where libc)
{
	for (size_t i = 0; i < SHAPES; i++) {
		if (shapes[i].where > libc)
			continue;
		target_say(target, "shape %s", shapes[i].name);
		target_expect(target, "ok");
	}
	target_ask(target, "shape tail", "ok");
}

static bool expected(const struct shape *shape, const struct program *program, const char *unwinder)
{
	bool table = strcmp(unwinder, "table") == 0;

	if (shape->where > program->libc)
		return false;
	if (shape->limits & NO_CFI && strcmp(unwinder, "libunwind") == 0)
		return false;
	if (shape->limits & TRAMPOLINE && program->libc == EVERYWHERE && !table)
		return false;
	return !(shape->limits & TAIL_CALL) || program->tail_calls;
}

static void check_shapes(json_t *capture, const struct program *program, const char *unwinder)
{
	char leaf[64];

	for (size_t i = 0; i < SHAPES; i++) {
		size_t stack;

		if (!expected(&shapes[i], program, unwinder))
			continue;
		snprintf(leaf, sizeof(leaf), "leaf_%s", shapes[i].name);
		stack = capture_stack_of(capture, leaf, 1);
		capture_assert_stack(capture, stack, shapes[i].functions);
		/* A stack that reached main is not called cut, unless nothing is known below main. */
		if (program->libc != EVERYWHERE && !(shapes[i].limits & NO_END))
			ck_assert_msg(!capture_cut(capture, stack), "cut: %s",
				      capture_stack_text(capture, stack));
	}
	/* A function that jumped to the next one is not on the stack any more. */
	if (program->tail_calls)
		capture_assert_stack(capture, capture_stack_of(capture, "leaf_tail", 1),
				     WORDS("leaf_tail", "calls_jumper", "*", "main"));
}

static void check_program(const struct program *program, const char *unwinder)
{
	struct memattach m;
	struct target target;
	json_t *capture;

	target_start(&target, WORDS(program->name), NULL);
	memattach_attach(&m, target.pid, WORDS("--unwind", unwinder));
	make_shapes(&target, program->libc);
	capture = memattach_stop_and_read(&m);
	check_shapes(capture, program, unwinder);
	json_decref(capture);
	memattach_cleanup(&m);
	make_shapes(&target, program->libc);
	target_end(&target);
}

START_TEST(shapes_by_table)
{
	check_program(&programs[_i], unwinders[0]);
}
END_TEST

START_TEST(shapes_by_libdw)
{
	check_program(&programs[_i], unwinders[1]);
}
END_TEST

START_TEST(shapes_by_libunwind)
{
	if (!programs[_i].header) {
		printf("skipped: libunwind follows no frame of %s, which has no .eh_frame_hdr\n",
		       programs[_i].name);
		return;
	}
	check_program(&programs[_i], unwinders[2]);
}
END_TEST

/* A stack deeper than --depth has that many frames and says that it is cut. */
static void check_depth(const char *const *options, size_t depth)
{
	struct memattach m;
	struct target target;
	json_t *capture;
	size_t stack, n = 0;

	target_start(&target, WORDS("shapes"), NULL);
	memattach_attach(&m, target.pid, options);
	target_ask(&target, "shape deep", "ok");
	capture = memattach_stop_and_read(&m);
	stack = capture_stack_of(capture, "leaf_deep", 1);
	while (capture_function(capture, stack, n))
		n++;
	ck_assert_uint_eq(n, depth);
	ck_assert_pstr_eq(capture_cut(capture, stack), "depth");
	json_decref(capture);
	memattach_cleanup(&m);
	target_end(&target);
}

START_TEST(depth_is_said)
{
	check_depth(NULL, 64);
	check_depth(WORDS("--depth", "8"), 8);
	check_depth(WORDS("--depth", "256"), 256);
	check_depth(WORDS("--depth", "1"), 1);
}
END_TEST

/* The text report says it, too. */
START_TEST(cut_stack_in_the_text)
{
	struct memattach m;
	struct target target;
	char pid[16];

	target_start(&target, WORDS("shapes"), NULL);
	snprintf(pid, sizeof(pid), "%d", (int)target.pid);
	memattach_start(&m, WORDS("-v", "--depth", "4", "-p", pid));
	memattach_wait_for(&m, "attached to");
	target_ask(&target, "shape deep", "ok");
	memattach_stop(&m);
	ck_assert_msg(strstr(memattach_out(&m), "leaf_deep") && strstr(memattach_out(&m), "cut"),
		      "no word of a cut stack: %s", memattach_out(&m));
	memattach_cleanup(&m);
	target_end(&target);
}
END_TEST

/* Thrown through frames: each exception is one allocation and one free, and the next stacks are right. */
START_TEST(exceptions_by_each_unwinder)
{
	struct memattach m;
	struct target target;
	struct figures sum;
	json_t *capture;

	target_start(&target, WORDS("shapes_cpp"), NULL);
	memattach_attach(&m, target.pid, WORDS("--unwind", unwinders[_i]));
	target_ask(&target, "shape catch 100", "ok");
	target_ask(&target, "shape keep", "ok");
	target_ask(&target, "shape cleanup", "ok");
	target_ask(&target, "shape bad_alloc", "ok");
	target_ask(&target, "shape template", "ok");
	target_ask(&target, "shape catch 1", "ok");
	capture = memattach_stop_and_read(&m);

	ck_assert(capture_site(capture, "middle", 3, &sum));
	ck_assert_int_eq(sum.allocations, 101);
	ck_assert_int_eq(sum.frees, 101);
	ck_assert_int_eq(sum.live_bytes, 0);
	ck_assert(capture_site(capture, "keeping_thrower", 2, &sum));
	ck_assert_int_eq(sum.live_blocks, 1);
	capture_assert_stack(
		capture, capture_stack_of(capture, "keeping_thrower", 2),
		WORDS("__cxa_allocate_exception", "keeping_thrower", "shape_keep", "main"));
	/* From a landing pad: the destructor, the frame that is being unwound, and so on. */
	capture_assert_stack(
		capture, capture_stack_of(capture, "leaf_cleanup", 1),
		WORDS("leaf_cleanup", "guard::~guard", "unwound_frame", "shape_cleanup", "main"));
	capture_assert_stack(capture, capture_stack_of(capture, "leaf_after_bad_alloc", 1),
			     WORDS("leaf_after_bad_alloc", "shape_bad_alloc", "main"));
	capture_assert_stack(
		capture, capture_stack_of(capture, "shop::shelf<long>::leaf_template", 3),
		WORDS("*", "shop::shelf<long>::leaf_template", "shape_template", "main"));
	ck_assert_int_eq(capture_total(capture, "failed_allocations"), 1);
	json_decref(capture);
	memattach_cleanup(&m);
	target_ask(&target, "shape catch 100", "ok");
	target_end(&target);
}
END_TEST

static void add(TCase *tcase, enum probe_mode mode)
{
	tcase_add_loop_test(tcase, shapes_by_table, 0, PROGRAMS);
	tcase_add_loop_test(tcase, exceptions_by_each_unwinder, 0, mode == PROBE_AUTO ? 1 : 3);
	tcase_add_test(tcase, depth_is_said);
	if (mode == PROBE_AUTO)
		return;
	tcase_add_loop_test(tcase, shapes_by_libdw, 0, PROGRAMS);
	tcase_add_loop_test(tcase, shapes_by_libunwind, 0, PROGRAMS);
	tcase_add_test(tcase, cut_stack_in_the_text);
}

Suite *stack_shapes_suite(void)
{
	return suite_by_each_mode("stack_shapes", 60, add);
}
