// SPDX-License-Identifier: MIT
/* One displaced instruction, executed for real in its own place and in a slot: see slots_machine.c. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/types.h"
#include "probe/relocate_x86_64.h"
#include "tests/in_loops.h"
#include "tests/slots_case.h"
#include "tests/slots_machine.h"
#include "tests/suites.h"

static void run_case(const struct slots_case *c)
{
	u8 bytes[INSTRUCTION_MAX];
	struct slot_code code;
	int ret;

	slots_case_write(c, bytes, 0);
	slots_build(bytes, c->length);
	ret = relocate_instruction(slots_home + SLOTS_INSTRUCTION, INSTRUCTION_MAX,
				   (u64)(uintptr_t)(slots_home + SLOTS_INSTRUCTION),
				   (u64)(uintptr_t)slots_slot, &code);
	ck_assert_msg(ret == 0, "%s is refused: %d", c->name, ret);
	ck_assert_uint_eq(code.instruction_length, c->length);
	ck_assert_uint_le(code.length, SLOT_SIZE);
	for (u32 flags = 0; flags < 32; flags++)
		slots_compare(c->name, code.bytes, code.length, flags);
}

static const s64 distances[] = {0, 0x60000000, -0x60000000};

START_TEST(same_effect_in_a_slot)
{
	size_t skipped = 0;

	slots_make_places(distances[_i]);
	for (size_t i = 0; i < slots_cases_n; i++) {
		if (slots_has_feature(slots_cases[i].feature))
			run_case(&slots_cases[i]);
		else
			skipped++;
	}
	if (_i == 0 && skipped)
		printf("slots: %zu of %zu cases skipped: this CPU lacks the instructions\n",
		       skipped, slots_cases_n);
}
END_TEST

/* All sixteen conditions, both ways, both lengths, forwards and backwards: 32 sets of flags each. */
START_TEST(every_condition)
{
	struct slots_case c = {.name = "jcc"};

	slots_make_places(distances[_i]);
	for (u8 condition = 0; condition < 16; condition++) {
		for (int variant = 0; variant < 4; variant++) {
			bool near = variant & 1;

			c.at = variant & 2 ? SLOTS_BACKWARD : SLOTS_FORWARD;
			c.length = near ? 6 : 2;
			c.bytes[0] = near ? 0x0f : 0x70 | condition;
			c.bytes[1] = near ? 0x80 | condition : 0;
			c.disp_at = near ? 2 : 1;
			c.disp_size = near ? 4 : 1;
			run_case(&c);
		}
	}
}
END_TEST

/* A place behind the instruction, where there is one, is where the state is that of the original. */
START_TEST(after_is_behind_the_copy)
{
	static const struct {
		const char *bytes;
		size_t n;
		u32 after;
	} cases[] = {
		{"\x48\x89\xe5", 3, 3}, {"\x74\x10", 2, 6}, {"\xeb\x10", 2, 0},
		{"\xe8\1\0\0\0", 5, 0}, {"\xff\xd0", 2, 0}, {"\xc3", 1, 1},
		{"\x0f\x1e\xfa", 3, 0}, {"\xff\xe0", 2, 2},
	};
	struct slot_code code;
	u8 bytes[INSTRUCTION_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		memset(bytes, 0x90, sizeof(bytes));
		memcpy(bytes, cases[i].bytes, cases[i].n);
		if (cases[i].bytes[0] == '\x0f') /* endbr64 */
			memcpy(bytes, "\xf3\x0f\x1e\xfa", 4);
		ck_assert_int_eq(
			relocate_instruction(bytes, sizeof(bytes), 0x400000, 0x500000, &code), 0);
		if (cases[i].bytes[0] == '\x0f')
			ck_assert_uint_eq(code.after, 4);
		else
			ck_assert_msg(code.after == cases[i].after, "case %zu: after %u", i,
				      code.after);
	}
}
END_TEST

static int relocate(const void *bytes, size_t available, u64 slot_at)
{
	struct slot_code code;
	/* In memory of this size, so that a sanitizer sees a read beyond it. */
	u8 *copy = malloc(available ? available : 1);
	int ret;

	memcpy(copy, bytes, available);
	ret = relocate_instruction(copy, available, 0x10000000, slot_at, &code);
	free(copy);
	return ret;
}

START_TEST(refusals)
{
	for (size_t i = 0; i < slots_refused_n; i++) {
		const struct slots_case *c = &slots_refused[i];
		int ret = relocate(c->bytes, c->length, 0x10100000);

		ck_assert_msg(ret == -EOPNOTSUPP, "%s: %d", c->name, ret);
	}
}
END_TEST

START_TEST(truncated)
{
	for (size_t i = 0; i < slots_cases_n; i++) {
		const struct slots_case *c = &slots_cases[i];

		for (size_t n = 0; n < c->length; n++) {
			int ret = relocate(c->bytes, n, 0x10100000);

			ck_assert_msg(ret == -EOPNOTSUPP, "%zu bytes of %s: %d", n, c->name, ret);
		}
	}
}
END_TEST

/* An operand too far from the slot; branches and calls have no such limit. */
START_TEST(too_far)
{
	static const u64 far[] = {0x10000000ULL + 0x90000000ULL, 0x7f0000000000ULL};

	for (size_t i = 0; i < slots_cases_n; i++) {
		const struct slots_case *c = &slots_cases[i];
		bool memory_operand = c->at == SLOTS_DATA || c->at == SLOTS_POINTERS ||
				      c->at == SLOTS_POINTERS + 8;

		for (size_t k = 0; k < ARRAY_SIZE(far); k++)
			ck_assert_msg(relocate(c->bytes, c->length, far[k]) ==
					      (memory_operand ? -ERANGE : 0),
				      "%s at %#lx", c->name, (unsigned long)far[k]);
	}
}
END_TEST

/* Random bytes: refused or relocated, never more than a slot, never a byte read that is not there. */
START_TEST(garbage)
{
	u8 bytes[INSTRUCTION_MAX];

	for (int i = 0; i < 200000; i++) {
		size_t n = 1 + slots_random() % INSTRUCTION_MAX;
		int ret;

		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (u8)slots_random();
		ret = relocate(bytes, n, 0x10000000 + (slots_random() & 0xffffffff));
		assert_in_loop_msg(ret == 0 || ret == -EOPNOTSUPP || ret == -ERANGE, "%d", ret);
	}
}
END_TEST

Suite *slots_suite(void)
{
	Suite *suite = suite_create("slots");
	TCase *tcase = tcase_create("slots");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, same_effect_in_a_slot, 0, 3);
	tcase_add_loop_test(tcase, every_condition, 0, 3);
	tcase_add_test(tcase, after_is_behind_the_copy);
	tcase_add_test(tcase, refusals);
	tcase_add_test(tcase, truncated);
	tcase_add_test(tcase, too_far);
	tcase_add_test(tcase, garbage);
	suite_add_tcase(suite, tcase);
	return suite;
}
