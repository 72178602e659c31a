// SPDX-License-Identifier: MIT
/*
 * The stubs in slots, disassembled: what agent/abi.h says of the places in them, which
 * walks through a slot rely on.
 */
#include <stdlib.h>
#include <string.h>

#include "agent/frame.h"
#include "probe/jump_x86_64.h"
#include "tests/decoded.h"
#include "tests/suites.h"

#define AREA 0x10000000UL
#define SLOT (AREA + AGENT_SLOTS)

/* In front of a place in a stub; the instruction there, and whether there is one. */
static bool instruction_at(const u8 *stub, u32 wanted, struct insn *found)
{
	u32 at = 0;

	while (at < wanted) {
		ck_assert_msg(decode(stub + at, AGENT_STUB_MAX - at, found), "no instruction at %u",
			      at);
		at += found->z.length;
	}
	return at == wanted && decode(stub + at, AGENT_STUB_MAX - at, found);
}

/* Where the jump or call at this place leads to; 0 if it is none of that kind. */
static u64 target_at(const u8 *stub, u32 at, ZydisMnemonic mnemonic)
{
	struct insn insn;
	u64 target = 0;

	if (!instruction_at(stub, at, &insn) || insn.z.mnemonic != mnemonic)
		return 0;
	ZydisCalcAbsoluteAddress(&insn.z, &insn.operands[0], SLOT + AGENT_SLOT_STUB + at, &target);
	return target;
}

static s64 moves_stack_by(const u8 *stub, u32 at)
{
	struct insn insn;

	if (!instruction_at(stub, at, &insn) || insn.z.mnemonic != ZYDIS_MNEMONIC_LEA ||
	    insn.operands[0].reg.value != ZYDIS_REGISTER_RSP)
		return 0;
	return insn.operands[1].mem.disp.value;
}

START_TEST(wrap_calls_and_returns)
{
	static const u32 jump_over = AGENT_WRAP_FIRST + 5;
	u8 stub[AGENT_STUB_MAX];
	u64 code = AREA + AGENT_CODE, last = code + AGENT_CODE_MAX, begin, end;
	u32 call = AGENT_SLOT_RETURN - AGENT_SLOT_STUB - 5;

	jump_copy_stub(stub, SLOT, AREA, AGENT_STUB_WRAP);
	ck_assert_int_eq(moves_stack_by(stub, 0), -AGENT_FRAME);
	begin = target_at(stub, AGENT_WRAP_FIRST, ZYDIS_MNEMONIC_CALL);
	ck_assert(begin >= code && begin < last);
	ck_assert_uint_eq(target_at(stub, jump_over, ZYDIS_MNEMONIC_JNZ),
			  SLOT + AGENT_SLOT_STUB + AGENT_WRAP_PASS);
	ck_assert_uint_eq(target_at(stub, call, ZYDIS_MNEMONIC_CALL), SLOT);
	end = target_at(stub, call + 5, ZYDIS_MNEMONIC_CALL);
	ck_assert(end >= code && end < last && end != begin);
	ck_assert_int_eq(moves_stack_by(stub, AGENT_WRAP_LAST), AGENT_FRAME);
	ck_assert_int_eq(moves_stack_by(stub, AGENT_WRAP_PASS), AGENT_FRAME);
	ck_assert_uint_eq(target_at(stub, AGENT_WRAP_PASS + 8, ZYDIS_MNEMONIC_JMP), SLOT);
}
END_TEST

/* A walk takes what is one less than a return address for a place behind a call. */
START_TEST(nobody_is_interrupted_at_the_return)
{
	static const u32 stubs[] = {AGENT_STUB_SIZE, AGENT_STUB_PRODUCT, AGENT_STUB_FREE,
				    AGENT_STUB_CALL, AGENT_STUB_WRAP};
	struct insn insn;
	u32 at = AGENT_SLOT_RETURN - 1 - AGENT_SLOT_STUB;
	u8 stub[AGENT_STUB_MAX];

	jump_copy_stub(stub, SLOT, AREA, stubs[_i]);
	/* This one ends before that. */
	if (stubs[_i] == AGENT_STUB_CALL)
		ck_assert_uint_eq(stub[at], 0xcc);
	else
		ck_assert(!instruction_at(stub, at, &insn));
}
END_TEST

Suite *stubs_suite(void)
{
	Suite *suite = suite_create("stubs");
	TCase *tcase = tcase_create("stubs");

	tcase_add_test(tcase, wrap_calls_and_returns);
	tcase_add_loop_test(tcase, nobody_is_interrupted_at_the_return, 0, 5);
	suite_add_tcase(suite, tcase);
	return suite;
}
