// SPDX-License-Identifier: MIT
/* What is taken out of a forked child: what was there when it was born, whatever its parent has now. */
#include <string.h>

#include "probe/breakpoints.h"
#include "probe/jump_x86_64.h"
#include "proc/identity.h"
#include "tests/attach_serve.h"
#include "tests/forked.h"
#include "tests/suites.h"

/* Never called: has breakpoints. */
__attribute__((noinline)) static int function(int a, int b)
{
	__asm__ volatile("push %%rbp; mov %%rsp, %%rbp; pop %%rbp; .nops 16, 4" : : : "memory");
	return a * b;
}

static void wait_there(struct forked_side *side)
{
	forked_pause(side);
}

struct family {
	struct forked parent, child; /* with the same addresses */
	struct proc_mem of_child;
	struct tracee *tracee;
	struct areas *areas;
	struct breakpoints *breakpoints;
	u64 address;
	u8 original[AGENT_JUMP];
};

static void family_start(struct family *f)
{
	struct proc_identity identity;
	struct err err = ERR_INIT;

	f->address = (u64)(uintptr_t)function;
	memcpy(f->original, (const void *)(uintptr_t)function, sizeof(f->original));
	forked_start(&f->parent, wait_there, NULL);
	forked_await(&f->parent);
	forked_start(&f->child, wait_there, NULL);
	forked_await(&f->child);
	ck_assert_int_eq(proc_identity_read(&identity, f->parent.pid, &err), 0);
	ck_assert_int_eq(proc_mem_open(&f->of_child, f->child.pid, &err), 0);
	f->tracee = serve_seize(f->parent.pid);
	f->areas = areas_create(f->tracee, true, &err);
	areas_set_entry(f->areas, identity.entry, NULL);
	proc_identity_deinit(&identity);
	ck_assert_msg(areas_map(f->areas, f->address, NULL, &err) == 0, "%s", err.msg);
	f->breakpoints = breakpoints_create(f->tracee, f->areas, &err);
	ck_assert_int_eq(breakpoints_add(f->breakpoints, f->address, 1, USE_ENTRY,
					 &(struct call_spec){.kind = CALL_ALLOC}, &err),
			 0);
	ck_assert_int_eq(breakpoints_plant(f->breakpoints, &err), 0);
}

static void family_end(struct family *f)
{
	breakpoints_destroy(f->breakpoints);
	areas_destroy(f->areas);
	serve_detach(f->tracee);
	proc_mem_close(&f->of_child);
	forked_end(&f->child);
	forked_end(&f->parent);
}

static void assert_cleaned(struct family *f, const u8 *born_with, size_t n)
{
	u8 now[AGENT_JUMP];

	ck_assert_int_eq(proc_mem_write(&f->of_child, f->address, born_with, n), 0);
	ck_assert_int_eq(breakpoints_lift_child(f->breakpoints, &f->of_child), 0);
	ck_assert_int_eq(proc_mem_read(&f->of_child, f->address, now, sizeof(now)), sizeof(now));
	ck_assert_mem_eq(now, f->original, sizeof(now));
}

/* Somebody else's code stays. */
static void assert_left_alone(struct family *f, const u8 *born_with, size_t n)
{
	u8 now[AGENT_JUMP];

	ck_assert_uint_le(n, sizeof(now));
	ck_assert_int_eq(proc_mem_write(&f->of_child, f->address, born_with, n), 0);
	ck_assert_int_eq(breakpoints_lift_child(f->breakpoints, &f->of_child), 0);
	ck_assert_int_eq(proc_mem_read(&f->of_child, f->address, now, n), (ssize_t)n);
	ck_assert_mem_eq(now, born_with, n);
}

START_TEST(child_is_cleaned)
{
	static const u8 trap = BREAKPOINT_BYTE, foreign[] = {0x90, 0x90, 0x90, 0x90, 0x90};
	struct breakpoint *bp;
	struct family f;
	u8 jump[AGENT_JUMP];

	family_start(&f);
	bp = breakpoints_find(f.breakpoints, f.address);
	ck_assert_uint_ge(bp->displaced, AGENT_JUMP);
	ck_assert(jump_encode(jump, f.address, bp->slot + AGENT_SLOT_STUB));
	assert_cleaned(&f, &trap, 1);
	breakpoints_note_jump(f.breakpoints, bp);
	assert_cleaned(&f, &trap, 1);
	assert_cleaned(&f, jump, sizeof(jump));
	bp->jump = false;
	ck_assert_int_eq(breakpoints_retire(f.breakpoints, bp), 0);
	assert_cleaned(&f, &trap, 1);
	assert_cleaned(&f, jump, sizeof(jump));
	assert_left_alone(&f, foreign, sizeof(foreign));
	family_end(&f);
}
END_TEST

/* The module was unloaded between the child's birth and its first stop. */
START_TEST(child_of_before_an_unload_is_cleaned)
{
	static const u8 trap = BREAKPOINT_BYTE,
			foreign[] = {BREAKPOINT_BYTE, 0x90, 0x90, 0x90, 0x90};
	struct breakpoint bp;
	struct family f;
	u8 jump[AGENT_JUMP];

	family_start(&f);
	bp = *breakpoints_find(f.breakpoints, f.address);
	ck_assert(jump_encode(jump, f.address, bp.slot + AGENT_SLOT_STUB));
	breakpoints_note_jump(f.breakpoints, breakpoints_find(f.breakpoints, f.address));
	breakpoints_forget_module(f.breakpoints, bp.module);
	ck_assert_ptr_null(breakpoints_find(f.breakpoints, f.address));
	assert_cleaned(&f, &trap, 1);
	assert_cleaned(&f, jump, sizeof(jump));
	/* Another module's. */
	assert_left_alone(&f, foreign, sizeof(foreign));
	/* An address space that is gone has none. */
	breakpoints_forget_all(f.breakpoints);
	assert_left_alone(&f, jump, sizeof(jump));
	family_end(&f);
}
END_TEST

/* A thread may be about to return to a slot that was given back: it is used again last of all. */
START_TEST(slots_are_used_again_late)
{
	struct family f;
	u64 first, second, slot;
	u32 others = 0;

	family_start(&f);
	first = areas_take_slot(f.areas, f.address);
	second = areas_take_slot(f.areas, f.address);
	ck_assert_uint_ne(first, 0);
	ck_assert_uint_ne(second, 0);
	areas_give_slot(f.areas, second);
	areas_give_slot(f.areas, first);
	while ((slot = areas_take_slot(f.areas, f.address)) != second) {
		ck_assert_uint_ne(slot, 0);
		ck_assert_uint_ne(slot, first);
		others++;
	}
	/* All of them: the breakpoint has one. */
	ck_assert_uint_eq(others, AGENT_SLOT_COUNT - 3);
	ck_assert_uint_eq(areas_take_slot(f.areas, f.address), first);
	ck_assert_uint_eq(areas_take_slot(f.areas, f.address), 0);
	family_end(&f);
}
END_TEST

Suite *breakpoints_suite(void)
{
	Suite *suite = suite_create("breakpoints");
	TCase *tcase = tcase_create("breakpoints");

	tcase_add_test(tcase, child_is_cleaned);
	tcase_add_test(tcase, child_of_before_an_unload_is_cleaned);
	tcase_add_test(tcase, slots_are_used_again_late);
	suite_add_tcase(suite, tcase);
	return suite;
}
