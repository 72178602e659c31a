// SPDX-License-Identifier: MIT
/* The builder on the test process itself: real modules, the real symbolizer, real addresses. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/frame.h"
#include "proc/maps.h"
#include "report/builder.h"
#include "tests/suites.h"

struct fixture {
	struct modules *modules;
	struct stacks *stacks;
	struct ledger *ledger;
	struct capture *capture;
	struct builder *builder;
	struct err err;
};

static struct fixture t;

static void setup(void)
{
	struct maps maps;
	bool changed;

	memset(&t, 0, sizeof(t));
	t.modules = modules_create(getpid(), &t.err);
	ck_assert_int_eq(maps_read(&maps, getpid(), &t.err), 0);
	ck_assert_int_eq(modules_update(t.modules, &maps, &changed, &t.err), 0);
	maps_deinit(&maps);
	t.stacks = stacks_create(&t.err);
	t.ledger = ledger_create(&t.err);
	t.capture = capture_create(&t.err);
	t.builder = builder_create(t.capture, t.stacks, t.modules, &t.err);
	ck_assert_msg(t.stacks && t.ledger && t.builder, "%s", t.err.msg);
}

static void teardown(void)
{
	builder_destroy(t.builder);
	capture_destroy(t.capture);
	ledger_destroy(t.ledger);
	stacks_destroy(t.stacks);
	modules_destroy(t.modules);
}

/* The address that a stack would hold for the caller. */
static __attribute__((noinline)) u64 address_of_caller(void)
{
	return (u64)__builtin_return_address(0) - 1;
}

enum { KNOWN_LINE = __LINE__ + 4 };
static __attribute__((noinline)) u64 known_function(void)
{
	u64 address;
	address = address_of_caller();
	__asm__ volatile("" ::: "memory"); /* no tail call */
	return address;
}

enum { INNER_LINE = __LINE__ + 4 };
static inline __attribute__((always_inline)) u64 known_inlined(void)
{
	u64 address;
	address = address_of_caller();
	__asm__ volatile("" ::: "memory");
	return address;
}

enum { OUTER_LINE = __LINE__ + 4 };
static __attribute__((noinline)) u64 known_outer(void)
{
	u64 address;
	address = known_inlined();
	__asm__ volatile("" ::: "memory");
	return address;
}

static u64 frame_at(u64 address)
{
	const struct module *module = modules_at(t.modules, address);

	return frame_make(module ? module->id : 0, address);
}

static u32 intern(const u64 *frames, u32 n)
{
	u32 id;

	ck_assert_int_eq(stacks_intern(t.stacks, frames, n, &id), 0);
	return id;
}

static void allocate(u64 address, u64 size, u32 stack, u32 time)
{
	struct ledger_block block = {address, size, stack, time};

	ck_assert_int_eq(ledger_alloc(t.ledger, &block, 0), 0);
}

static struct capture_snapshot *snapshot_at(u32 now)
{
	struct capture_snapshot *snapshot;

	ck_assert_msg(
		!builder_snapshot(t.builder, t.ledger, now, CAPTURE_SIGNAL, &snapshot, &t.err),
		"%s", t.err.msg);
	return snapshot;
}

START_TEST(frames_get_names_lines_and_modules)
{
	u64 frame = frame_at(known_function());
	const struct capture_frame *named;
	char exe[4096];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);

	ck_assert_int_gt(n, 0);
	exe[n] = '\0';
	allocate(0x1000, 8, intern(&frame, 1), 0);
	snapshot_at(10);
	ck_assert_uint_eq(t.capture->stacks_n, 1);
	ck_assert_uint_eq(t.capture->stacks[0].n, 1);
	named = &t.capture->frames[t.capture->stacks[0].frames[0]];
	ck_assert_str_eq(named->function, "known_function");
	ck_assert_ptr_nonnull(strstr(named->file, "test_builder.c"));
	ck_assert_uint_eq(named->line, KNOWN_LINE);
	ck_assert(!named->inlined);
	ck_assert_str_eq(named->module, exe);
	ck_assert_uint_eq(named->address, frame_address(frame));
	ck_assert_uint_eq(named->offset,
			  frame_address(frame) - modules_get(t.modules, frame_module(frame))->bias);
	ck_assert_int_eq(t.capture->stacks[0].cut, CAPTURE_WHOLE);
}
END_TEST

START_TEST(inlined_frame_precedes_its_caller)
{
	u64 frame = frame_at(known_outer());
	const struct capture_stack *stack;
	const struct capture_frame *inner, *outer;

	allocate(0x1000, 8, intern(&frame, 1), 0);
	snapshot_at(10);
	stack = &t.capture->stacks[0];
	ck_assert_uint_eq(stack->n, 2);
	inner = &t.capture->frames[stack->frames[0]];
	outer = &t.capture->frames[stack->frames[1]];
	ck_assert_str_eq(inner->function, "known_inlined");
	ck_assert_str_eq(outer->function, "known_outer");
	ck_assert(inner->inlined && !outer->inlined);
	ck_assert_uint_eq(inner->line, INNER_LINE);
	ck_assert_uint_eq(outer->line, OUTER_LINE);
	ck_assert_uint_eq(inner->address, outer->address);
}
END_TEST

START_TEST(frames_and_stacks_are_shared)
{
	u64 a[] = {frame_at(known_function()), frame_at(known_outer())};
	u64 b[] = {frame_at(known_outer()), frame_at(known_function())};
	size_t frames_n;

	allocate(0x1000, 100, intern(a, 2), 0);
	snapshot_at(1);
	frames_n = t.capture->frames_n;
	ck_assert_uint_eq(frames_n, 3);
	allocate(0x2000, 50, intern(b, 2), 0);
	snapshot_at(2);
	ck_assert_uint_eq(t.capture->frames_n, frames_n);
	ck_assert_uint_eq(t.capture->stacks_n, 2);
	ck_assert_uint_eq(t.capture->stacks[0].frames[0], t.capture->stacks[1].frames[2]);
	snapshot_at(3);
	ck_assert_uint_eq(t.capture->stacks_n, 2);
	ck_assert_uint_eq(t.capture->snapshots_n, 3);
	ck_assert_uint_eq(t.capture->snapshots[2].number, 3);
	ck_assert_uint_eq(t.capture->snapshots[0].sites_n, 1);
	ck_assert_uint_eq(t.capture->snapshots[2].sites_n, 2);
}
END_TEST

START_TEST(cut_stacks_say_so)
{
	u64 depth[] = {frame_at(known_function()), FRAME_CUT_DEPTH};
	u64 lost[] = {frame_at(known_function()), FRAME_CUT_LOST};
	u64 nowhere[] = {frame_make(0, 0x10)};

	allocate(0x1000, 3, intern(depth, 2), 0);
	allocate(0x2000, 2, intern(lost, 2), 0);
	allocate(0x3000, 1, intern(nowhere, 1), 0);
	allocate(0x4000, 0, intern(NULL, 0), 0);
	snapshot_at(1);
	ck_assert_uint_eq(t.capture->stacks_n, 4);
	ck_assert_int_eq(t.capture->stacks[0].cut, CAPTURE_CUT_DEPTH);
	ck_assert_uint_eq(t.capture->stacks[0].n, 1);
	ck_assert_int_eq(t.capture->stacks[1].cut, CAPTURE_CUT_LOST);
	ck_assert_int_eq(t.capture->stacks[2].cut, CAPTURE_WHOLE);
	ck_assert_ptr_null(t.capture->frames[t.capture->stacks[2].frames[0]].module);
	ck_assert_uint_eq(t.capture->frames[t.capture->stacks[2].frames[0]].offset, 0);
	ck_assert_uint_eq(t.capture->stacks[3].n, 0);
}
END_TEST

START_TEST(figures_are_those_of_the_ledger)
{
	u64 a = frame_at(known_function()), b = frame_at(known_outer());
	const struct capture_snapshot *snapshot;
	u32 small = intern(&a, 1), large = intern(&b, 1);
	struct ledger_totals totals;

	allocate(0x1000, 10, small, 1000);
	allocate(0x2000, 20, small, 2000);
	allocate(0x3000, 500, large, 2500);
	ck_assert(ledger_free(t.ledger, 0x1000, 1, 3000));
	t.capture->settings.sample_bytes = 512;
	snapshot = snapshot_at(4500);
	ledger_totals(t.ledger, &totals);
	ck_assert_mem_eq(&snapshot->totals, &totals, sizeof(totals));
	ck_assert(snapshot->time == 4.5 && snapshot->estimated);
	ck_assert_int_eq(snapshot->reason, CAPTURE_SIGNAL);
	ck_assert(!snapshot->process.known);
	ck_assert_uint_eq(snapshot->sites_n, 2);
	ck_assert_uint_eq(snapshot->sites[0].live_bytes, 500); /* the largest first */
	ck_assert_uint_eq(snapshot->sites[1].live_bytes, 20);
	ck_assert_uint_eq(snapshot->sites[1].live_blocks, 1);
	ck_assert_uint_eq(snapshot->sites[1].total_bytes, 30);
	ck_assert_uint_eq(snapshot->sites[1].total_allocations, 2);
	ck_assert_uint_eq(snapshot->sites[1].total_frees, 1);
	ck_assert_uint_eq(snapshot->sites[1].largest, 20);
	ck_assert(snapshot->sites[0].oldest_age == 2.0);
}
END_TEST

/* A ledger that names a stack which is not there: nothing of that snapshot stays. */
START_TEST(failed_snapshot_leaves_the_capture_as_it_was)
{
	u64 a = frame_at(known_function()), b = frame_at(known_outer());
	struct capture_snapshot *snapshot;
	size_t frames_n;

	allocate(0x1000, 10, intern(&a, 1), 0);
	snapshot_at(1);
	frames_n = t.capture->frames_n;
	allocate(0x2000, 1000, intern(&b, 1),
		 0); /* comes first, so it is named before the failure */
	allocate(0x3000, 1, 77, 0);
	ck_assert_int_eq(builder_snapshot(t.builder, t.ledger, 2, CAPTURE_USER, &snapshot, &t.err),
			 -EINVAL);
	ck_assert_uint_eq(t.capture->frames_n, frames_n);
	ck_assert_uint_eq(t.capture->stacks_n, 1);
	ck_assert_uint_eq(t.capture->snapshots_n, 1);
	err_reset(&t.err);
	ck_assert(ledger_free(t.ledger, 0x3000, 0, 2));
	/* The site of stack 77 stays known to the ledger: a new one must not be confused by it. */
	ledger_destroy(t.ledger);
	t.ledger = ledger_create(&t.err);
	allocate(0x2000, 1000, intern(&b, 1), 0);
	snapshot_at(3);
	ck_assert_uint_eq(t.capture->stacks_n, 2);
	ck_assert_str_eq(t.capture->frames[t.capture->stacks[1].frames[0]].function,
			 "known_inlined");
}
END_TEST

START_TEST(stacks_without_a_site_are_left_out)
{
	u64 a = frame_at(known_function()), b = frame_at(known_outer());

	intern(&a, 1);
	allocate(0x1000, 10, intern(&b, 1), 0);
	snapshot_at(1);
	ck_assert_uint_eq(t.capture->stacks_n, 1);
	ck_assert_uint_eq(t.capture->frames_n, 2);
}
END_TEST

START_TEST(timeline_is_copied)
{
	struct timeline *timeline = timeline_create(&t.err);
	struct timeline_point point = {.time = 5, .rss = 4096};

	ck_assert_ptr_nonnull(timeline);
	ck_assert_int_eq(builder_timeline(t.builder, timeline, &t.err), 0);
	ck_assert_uint_eq(t.capture->timeline_n, 0);
	timeline_add(timeline, &point);
	ck_assert_int_eq(builder_timeline(t.builder, timeline, &t.err), 0);
	timeline_destroy(timeline);
	ck_assert_uint_eq(t.capture->timeline_n, 1);
	ck_assert_uint_eq(t.capture->timeline[0].rss, 4096);
}
END_TEST

Suite *builder_suite(void)
{
	Suite *suite = suite_create("builder");
	TCase *tcase = tcase_create("builder");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_set_timeout(tcase, 30);
	tcase_add_test(tcase, frames_get_names_lines_and_modules);
	tcase_add_test(tcase, inlined_frame_precedes_its_caller);
	tcase_add_test(tcase, frames_and_stacks_are_shared);
	tcase_add_test(tcase, cut_stacks_say_so);
	tcase_add_test(tcase, figures_are_those_of_the_ledger);
	tcase_add_test(tcase, failed_snapshot_leaves_the_capture_as_it_was);
	tcase_add_test(tcase, stacks_without_a_site_are_left_out);
	tcase_add_test(tcase, timeline_is_copied);
	suite_add_tcase(suite, tcase);
	return suite;
}
