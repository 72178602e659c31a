// SPDX-License-Identifier: MIT
/*
 * Which allocator calls are open: probe/calls.c, by itself and against a naive
 * model that knows the true stack of a thread.
 */
#include <stdlib.h>
#include <string.h>

#include "probe/calls.h"
#include "tests/suites.h"

static int dropped_n;
static u64 dropped_sp[64];

static void note_drop(void *ctx, struct call *call)
{
	ck_assert_ptr_eq(ctx, &dropped_n);
	dropped_sp[dropped_n++] = call->sp;
}

static void cut(struct calls *calls, u32 n)
{
	dropped_n = 0;
	calls_cut(calls, n, note_drop, &dropped_n);
}

static void open_call(struct calls *calls, u64 sp, u64 ret)
{
	ck_assert_uint_lt(calls->n, CALLS_MAX);
	calls->items[calls->n++] = (struct call){.sp = sp, .ret = ret};
}

START_TEST(empty)
{
	struct calls calls = {.n = 0};

	ck_assert_uint_eq(calls_alive(&calls, 0), 0);
	ck_assert_uint_eq(calls_alive(&calls, ~0ULL), 0);
	ck_assert_int_eq(calls_match_return(&calls, 0, 8), -1);
	cut(&calls, 0);
	ck_assert_int_eq(dropped_n, 0);
}
END_TEST

/* malloc inside realloc is entered with a lower stack pointer: the realloc is still open. */
START_TEST(deeper_is_nested)
{
	struct calls calls = {.n = 0};

	open_call(&calls, 0x7000, 0x401000);
	ck_assert_uint_eq(calls_alive(&calls, 0x6ff8), 1);
	ck_assert_uint_eq(calls_alive(&calls, 0x1000), 1);
}
END_TEST

/* At the same stack pointer or above it the open call cannot be a parent: longjmp has left it. */
START_TEST(left_by_longjmp)
{
	struct calls calls = {.n = 0};

	open_call(&calls, 0x7000, 0x401000);
	ck_assert_uint_eq(calls_alive(&calls, 0x7000), 0);
	ck_assert_uint_eq(calls_alive(&calls, 0x7008), 0);
	ck_assert_uint_eq(calls_alive(&calls, ~0ULL), 0);
}
END_TEST

/* A return is one only with the right stack pointer: recursion passes the same address deeper. */
START_TEST(returns)
{
	struct calls calls = {.n = 0};

	open_call(&calls, 0x7000, 0x401000);
	ck_assert_int_eq(calls_match_return(&calls, 0x401000, 0x7008), 0);
	ck_assert_int_eq(calls_match_return(&calls, 0x401000, 0x7000), -1);
	ck_assert_int_eq(calls_match_return(&calls, 0x401000, 0x7010), -1);
	ck_assert_int_eq(calls_match_return(&calls, 0x401000, 0x6008), -1);
	ck_assert_int_eq(calls_match_return(&calls, 0x401001, 0x7008), -1);
}
END_TEST

/* The same site again in a handler: each return finds its own, one above others drops these. */
START_TEST(returns_of_a_handler)
{
	struct calls calls = {.n = 0};

	open_call(&calls, 0x7000, 0x401000);
	open_call(&calls, 0x6000, 0x401000);
	open_call(&calls, 0x5000, 0x402000);
	ck_assert_int_eq(calls_match_return(&calls, 0x401000, 0x6008), 1);
	ck_assert_int_eq(calls_match_return(&calls, 0x402000, 0x5008), 2);
	ck_assert_int_eq(calls_match_return(&calls, 0x401000, 0x7008), 0);
	cut(&calls, 1);
	ck_assert_int_eq(dropped_n, 2);
	ck_assert_uint_eq(dropped_sp[0], 0x5000); /* the innermost first */
	ck_assert_uint_eq(dropped_sp[1], 0x6000);
	ck_assert_uint_eq(calls.n, 1);
	ck_assert_int_eq(calls_match_return(&calls, 0x401000, 0x6008), -1);
}
END_TEST

/* A handler on an alternate stack, above or below: what it interrupted stays open. */
START_TEST(barrier_keeps_what_was_interrupted)
{
	struct calls calls = {.n = 0};

	open_call(&calls, 0x7000, 0x401000);
	calls.barrier = 1;
	ck_assert_uint_eq(calls_alive(&calls, 0x9000), 1);
	ck_assert_uint_eq(calls_alive(&calls, 0x100), 1);
	open_call(&calls, 0x9000, 0x402000);
	ck_assert_uint_eq(calls_alive(&calls, 0x8ff8), 2);
	ck_assert_uint_eq(calls_alive(&calls, 0x9000), 1);
	ck_assert_uint_eq(calls_alive(&calls, 0xa000), 1);
}
END_TEST

/* The barrier goes with the call that it stands on. */
START_TEST(barrier_is_cut)
{
	struct calls calls = {.n = 0};

	open_call(&calls, 0x7000, 0x401000);
	open_call(&calls, 0x6000, 0x402000);
	calls.barrier = 2;
	cut(&calls, 2);
	ck_assert_int_eq(dropped_n, 0);
	ck_assert_uint_eq(calls.barrier, 2);
	cut(&calls, 1);
	ck_assert_uint_eq(calls.barrier, 0);
	calls.barrier = 1;
	cut(&calls, 0);
	ck_assert_uint_eq(calls.barrier, 0);
	ck_assert_uint_eq(calls_alive(&calls, 0x100), 0);
}
END_TEST

START_TEST(cut_beyond_the_end)
{
	struct calls calls = {.n = 0};

	open_call(&calls, 0x7000, 0x401000);
	cut(&calls, CALLS_MAX);
	ck_assert_int_eq(dropped_n, 0);
	ck_assert_uint_eq(calls.n, 1);
}
END_TEST

/*
 * The model: the thread's true frames. Each is an allocator call, and begins
 * above the ones that it calls; signal says that a handler was entered after it.
 */
struct frame {
	u64 sp, ret;
	bool outermost; /* so it is in calls */
};

struct model {
	struct frame frames[64];
	u32 n;
	u32 base; /* frames below belong to what the signal interrupted */
	struct calls calls;
};

static u64 state = 0x2545f4914f6cdd1dULL;

static u32 any(u32 n)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (u32)(state >> 33) % n;
}

static u64 top_sp(const struct model *m)
{
	return m->n ? m->frames[m->n - 1].sp : 0x7fff0000;
}

/* What probes.c does at an entry, with the walk of the stack answered by the model. */
static bool enter_says_outermost(struct model *m, u64 sp)
{
	struct calls *calls = &m->calls;
	u32 alive = calls_alive(calls, sp);
	bool nested = false;

	cut(calls, alive);
	for (u32 i = m->base; alive > 0 && i < m->n; i++)
		nested |= m->frames[i].sp == calls->items[alive - 1].sp;
	if (nested)
		return false;
	if (alive > calls->barrier)
		cut(calls, calls->barrier);
	return true;
}

static void enter(struct model *m)
{
	struct frame frame = {.sp = top_sp(m) - 16 * (1 + any(4)), .ret = 0x401000 + any(3)};
	bool inside = false, says;

	for (u32 i = m->base; i < m->n; i++)
		inside |= m->frames[i].outermost;
	says = enter_says_outermost(m, frame.sp);
	ck_assert_msg(says == !inside, "an entry at %#lx is taken for %s one",
		      (unsigned long)frame.sp, says ? "an outermost" : "a nested");
	frame.outermost = !inside;
	if (frame.outermost)
		open_call(&m->calls, frame.sp, frame.ret);
	m->frames[m->n++] = frame;
}

static void leave(struct model *m)
{
	struct frame *frame = &m->frames[--m->n];
	int i = calls_match_return(&m->calls, frame->ret, frame->sp + 8);

	ck_assert_msg((i >= 0) == frame->outermost, "a return to sp %#lx was %s",
		      (unsigned long)frame->sp, i < 0 ? "missed" : "seen wrongly");
	if (i >= 0)
		cut(&m->calls, (u32)i);
}

/* A random walk; the only thing not known to calls.c is which frames longjmp left. */
START_TEST(against_the_true_stack)
{
	struct model m = {.n = 0};

	for (int i = 0; i < 200000; i++) {
		switch (any(8)) {
		case 0:
		case 1:
		case 2:
		case 3:
			if (m.n < ARRAY_SIZE(m.frames))
				enter(&m);
			break;
		case 4:
		case 5:
		case 6:
			if (m.n > m.base)
				leave(&m);
			/* The handler has returned. */
			else if (m.base)
				m.base = 0;
			break;
		default:
			if (any(4) == 0 && m.n && !m.base && m.calls.n < CALLS_MAX - 1) {
				/* As probes_signal does. */
				if (m.calls.n > m.calls.barrier)
					m.calls.barrier = m.calls.n;
				m.base = m.n;
			} else if (!m.base) {
				m.n = any(m.n + 1); /* longjmp */
			}
		}
	}
}
END_TEST

Suite *calls_suite(void)
{
	Suite *suite = suite_create("calls");
	TCase *tcase = tcase_create("calls");

	tcase_add_test(tcase, empty);
	tcase_add_test(tcase, deeper_is_nested);
	tcase_add_test(tcase, left_by_longjmp);
	tcase_add_test(tcase, returns);
	tcase_add_test(tcase, returns_of_a_handler);
	tcase_add_test(tcase, barrier_keeps_what_was_interrupted);
	tcase_add_test(tcase, barrier_is_cut);
	tcase_add_test(tcase, cut_beyond_the_end);
	tcase_add_test(tcase, against_the_true_stack);
	suite_add_tcase(suite, tcase);
	return suite;
}
