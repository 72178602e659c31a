// SPDX-License-Identifier: MIT
/*
 * Displaced beginnings of functions: groups of the instructions of slots_case.c,
 * executed in their own place and in a slot, and compared; a step of the slot is
 * taken for what it says; and what is refused.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/types.h"
#include "probe/relocate_x86_64.h"
#include "tests/in_loops.h"
#include "tests/slots_case.h"
#include "tests/slots_machine.h"
#include "tests/suites.h"

#define PARTS 5

static const s64 distances[] = {0, 0x60000000, -0x60000000};

struct group {
	char name[256];
	u8 bytes[PARTS * INSTRUCTION_MAX];
	u32 length;
	u32 parts;
	u32 starts[PARTS];
};

static void add(struct group *group, const struct slots_case *c)
{
	size_t n = strlen(group->name);

	slots_case_write(c, group->bytes + group->length, group->length);
	group->starts[group->parts++] = group->length;
	group->length += c->length;
	snprintf(group->name + n, sizeof(group->name) - n, "%s%s", n ? "; " : "", c->name);
}

static u64 at(const u8 *place)
{
	return (u64)(uintptr_t)place;
}

/* The steps are the instructions' beginnings, in both places, and the jump back. */
static void check_steps(const struct group *group, const struct prologue *made)
{
	bool back = made->steps == group->parts + 1;

	assert_in_loop_msg(back || made->steps == group->parts, "%s: %u steps", group->name,
			   made->steps);
	for (u32 i = 0; i < group->parts; i++) {
		assert_in_loop_msg(made->from[i] == group->starts[i], "%s: from[%u] is %u",
				   group->name, i, made->from[i]);
		assert_in_loop_msg(i ? made->to[i] > made->to[i - 1] : made->to[i] == 0,
				   "%s: to[%u]", group->name, i);
	}
	if (!back)
		return;
	assert_in_loop_msg(made->from[group->parts] == made->displaced, "%s: from", group->name);
	ck_assert_msg(made->to[group->parts] == made->length - 5, "%s: to", group->name);
	ck_assert_msg(made->bytes[made->length - 5] == 0xe9, "%s: no jump back", group->name);
}

static void run_group(const struct group *group, u32 flags_step)
{
	struct prologue made;
	int ret;

	slots_build(group->bytes, group->length);
	ret = relocate_prologue(slots_home + SLOTS_INSTRUCTION, group->length,
				at(slots_home + SLOTS_INSTRUCTION), at(slots_slot), JUMP_BYTES,
				&made);
	if (group->length > PROLOGUE_DISPLACED) {
		ck_assert_msg(ret == -ENOSPC, "%s: %d", group->name, ret);
		return;
	}
	ck_assert_msg(ret == 0, "%s is refused: %d", group->name, ret);
	ck_assert_msg(made.displaced == group->length, "%s: %u displaced", group->name,
		      made.displaced);
	ck_assert_uint_le(made.length, SLOT_SIZE);
	check_steps(group, &made);
	for (u32 flags = 0; flags < 32; flags += flags_step)
		slots_compare(group->name, made.bytes, made.length, flags);
}

/* What an instruction does that matters to those behind it. */
enum effect { ENDS, GOES_ON, MOVES_STACK };

static enum effect effect_of(const struct slots_case *c)
{
	static struct slots_machine in, out;
	u8 bytes[INSTRUCTION_MAX];

	slots_case_write(c, bytes, 0);
	slots_build(bytes, c->length);
	slots_input(&in, 0);
	slots_execute(&in, &out, slots_home + SLOTS_INSTRUCTION);
	/* A jump, or a call, which comes back and is no part of a prologue. */
	if (out.exit || c->at == SLOTS_CALLEE || strstr(c->name, "call"))
		return ENDS;
	for (int i = 0; i < 16; i++)
		if (out.r[i] != in.r[i] && (i == 3 || (i > 4 && i < 8) || i == 12))
			return ENDS; /* a pointer that others use: not ENDS, but of no use here */
	return out.r[4] != in.r[4] ? MOVES_STACK : GOES_ON;
}

static bool uses_stack_top(const struct slots_case *c)
{
	return strstr(c->name, "ret") || strcmp(c->name, "jmp *(%rsp)") == 0;
}

static enum effect effects[256];

static void find_effects(void)
{
	ck_assert_uint_le(slots_cases_n, ARRAY_SIZE(effects));
	for (size_t i = 0; i < slots_cases_n; i++)
		effects[i] = slots_has_feature(slots_cases[i].feature) ? effect_of(&slots_cases[i])
								       : ENDS;
}

/* Whether `last` can stand behind what moves the stack, and be executed on this machine. */
static bool fits(const struct slots_case *last, bool moved)
{
	return slots_has_feature(last->feature) && !(moved && uses_stack_top(last));
}

/* Every instruction that can stand alone, and every pair. */
START_TEST(every_pair)
{
	int pairs = 0, singles = 0;

	slots_make_places(distances[_i]);
	find_effects();
	for (size_t i = 0; i < slots_cases_n; i++) {
		if (slots_cases[i].length >= JUMP_BYTES &&
		    slots_has_feature(slots_cases[i].feature)) {
			struct group group = {.name = ""};

			add(&group, &slots_cases[i]);
			run_group(&group, 1);
			singles++;
			continue;
		}
		for (size_t k = 0; k < slots_cases_n && effects[i] != ENDS; k++) {
			struct group group = {.name = ""};

			if (slots_cases[i].length + slots_cases[k].length < JUMP_BYTES ||
			    !fits(&slots_cases[k], effects[i] == MOVES_STACK))
				continue;
			add(&group, &slots_cases[i]);
			add(&group, &slots_cases[k]);
			run_group(&group, 8);
			pairs++;
		}
	}
	if (_i == 0)
		printf("prologue: %d instructions alone, %d pairs executed\n", singles, pairs);
	ck_assert_int_gt(singles, 60);
	ck_assert_int_gt(pairs, 2000);
}
END_TEST

/* Three, four and five instructions: as many as five bytes hold. */
START_TEST(longer_groups)
{
	int counts[PARTS + 1] = {0};

	slots_make_places(distances[_i]);
	find_effects();
	for (int round = 0; round < 20000; round++) {
		u32 parts = 3 + slots_random() % 3;
		struct group group = {.name = ""};
		bool moved = false;

		while (group.length < JUMP_BYTES) {
			size_t k = slots_random() % slots_cases_n;
			const struct slots_case *c = &slots_cases[k];
			bool last = group.length + c->length >= JUMP_BYTES;

			if (last ? !fits(c, moved) : effects[k] == ENDS)
				continue;
			/* Leave a byte for each of those that are to come. */
			if (!last &&
			    group.length + c->length + parts - group.parts > JUMP_BYTES + 1)
				continue;
			if (last && group.parts + 1 < parts)
				continue;
			moved = moved || effects[k] == MOVES_STACK;
			add(&group, c);
		}
		if (group.parts > 2 && counts[group.parts] < 3000) {
			counts[group.parts]++;
			run_group(&group, 16);
		}
	}
	if (_i == 0)
		printf("prologue: groups of 3: %d, 4: %d, 5: %d executed\n", counts[3], counts[4],
		       counts[5]);
	ck_assert_int_gt(counts[3], 1000);
	ck_assert_int_gt(counts[4], 100);
	ck_assert_int_gt(counts[5], 10);
}
END_TEST

/* All conditions, first or last or twice, taken or not. */
START_TEST(conditions_anywhere)
{
	static const struct slots_case nop = {.name = "nop", .bytes = {0x90}, .length = 1};

	slots_make_places(distances[_i]);
	for (u32 k = 0; k < 16 * 16 * 2; k++) {
		struct slots_case jcc[2] = {{.name = "jcc short",
					     .length = 2,
					     .disp_at = 1,
					     .disp_size = 1,
					     .at = SLOTS_FORWARD},
					    {.name = "jcc short",
					     .length = 2,
					     .disp_at = 1,
					     .disp_size = 1,
					     .at = SLOTS_BACKWARD}};
		struct group group = {.name = ""};

		jcc[0].bytes[0] = (u8)(0x70 | (k & 15));
		jcc[1].bytes[0] = (u8)(0x70 | (k >> 4 & 15));
		if (k & 256)
			add(&group, &nop);
		add(&group, &jcc[0]);
		add(&group, &jcc[1]);
		if (!(k & 256))
			add(&group, &nop);
		run_group(&group, 1);
	}
}
END_TEST

/* From each step on, the slot does what the original does from there on. */
START_TEST(steps_are_places)
{
	static const struct slots_case parts[] = {
		{.name = "push %rbp", .bytes = {0x55}, .length = 1},
		{.name = "test %edx, %edx", .bytes = {0x85, 0xd2}, .length = 2},
		{.name = "jne",
		 .bytes = {0x75, 0},
		 .length = 2,
		 .disp_at = 1,
		 .disp_size = 1,
		 .at = SLOTS_FORWARD},
	};
	static struct slots_machine in, expected, got;
	struct group group = {.name = ""};
	struct prologue made;

	slots_make_places(distances[_i]);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		add(&group, &parts[i]);
	slots_build(group.bytes, group.length);
	ck_assert_int_eq(relocate_prologue(slots_home + SLOTS_INSTRUCTION, group.length,
					   at(slots_home + SLOTS_INSTRUCTION), at(slots_slot),
					   JUMP_BYTES, &made),
			 0);
	ck_assert_uint_eq(made.steps, 4);
	memcpy(slots_slot, made.bytes, made.length);
	for (u32 i = 0; i < made.steps; i++) {
		for (u32 flags = 0; flags < 32; flags++) {
			slots_input(&in, flags);
			slots_execute(&in, &expected,
				      slots_home + SLOTS_INSTRUCTION + made.from[i]);
			slots_execute(&in, &got, slots_slot + made.to[i]);
			ck_assert_mem_eq(&expected, &got, sizeof(got));
		}
	}
}
END_TEST

static int relocate(const void *bytes, size_t available, u64 slot)
{
	struct prologue made;
	/* In memory of this size, so that a sanitizer sees a read beyond it. */
	u8 *copy = malloc(available ? available : 1);
	int ret;

	memcpy(copy, bytes, available);
	ret = relocate_prologue(copy, available, 0x10000000, slot, JUMP_BYTES, &made);
	free(copy);
	return ret;
}

/* What must run in its own place must do so also as part of a prologue. */
START_TEST(refused_instructions)
{
	static const u8 before[] = {0x90, 0x55, 0x53, 0x50};

	for (size_t i = 0; i < slots_refused_n; i++) {
		const struct slots_case *c = &slots_refused[i];

		for (u32 k = 0; k <= sizeof(before); k++) {
			u8 bytes[32];

			memset(bytes, 0x90, sizeof(bytes));
			memcpy(bytes, before, k);
			memcpy(bytes + k, c->bytes, c->length);
			ck_assert_msg(relocate(bytes, k + c->length, 0x10100000) == -EOPNOTSUPP,
				      "%s behind %u bytes", c->name, k);
		}
	}
}
END_TEST

struct refused {
	const char *name, *bytes;
	size_t n;
	int error;
};

static const struct refused refused[] = {
	{"nothing", "", 0, -EOPNOTSUPP},
	{"too little", "\x55\x53\x90\x90", 4, -EOPNOTSUPP},
	{"an instruction is cut off", "\x55\x53\x90\x48\x89", 5, -EOPNOTSUPP},
	{"jmp short is not the last", "\xeb\x10\x90\x90\x90\x90", 6, -EOPNOTSUPP},
	{"ret is not the last", "\xc3\x90\x90\x90\x90\x90", 6, -EOPNOTSUPP},
	{"rep ret is not the last", "\x31\xc0\xf3\xc3\x90\x90", 6, -EOPNOTSUPP},
	{"jmp *%rax is not the last", "\xff\xe0\x90\x90\x90\x90", 6, -EOPNOTSUPP},
	{"call *%rax is not the last", "\x55\xff\xd0\x90\x90\x90", 6, -EOPNOTSUPP},
	{"jcc to the second instruction", "\x55\x74\xfe\x90\x90\x90", 6, -EOPNOTSUPP},
	{"jcc to the third instruction", "\x74\x00\x48\x89\xe5\x90", 6, -EOPNOTSUPP},
	{"jcc into the last instruction", "\x74\x02\x48\x89\xe5\x90", 6, -EOPNOTSUPP},
	{"jcc to the beginning", "\x48\x89\xe5\x74\xfb\x90", 6, -EOPNOTSUPP},
	{"jmp to the beginning", "\x48\x89\xe5\xeb\xfb\x90", 6, -EOPNOTSUPP},
	{"a call into the prologue", "\x90\xe8\xfb\xff\xff\xff\x90", 7, -EOPNOTSUPP},
	{"ud2 at the end", "\x48\x89\xe5\x0f\x0b\x90", 6, -EOPNOTSUPP},
	{"xabort", "\xc6\xf8\x00\x90\x90\x90", 6, -EOPNOTSUPP},
	{"rep stosb is fine", "\xf3\xaa\x90\x90\x90\x90", 6, 0},
	{"jcc behind the prologue", "\x74\x03\x48\x89\xe5\x90", 6, 0},
	{"a call of what is behind it", "\xe8\x00\x00\x00\x00", 5, 0},
	{"push and call", "\x53\x48\x89\xfb\xe8\x00\x10\x00\x00", 9, 0},
	{"seventeen bytes", "\x55\x53\x90\x90\x66\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00\x90\x90",
	 15, 0},
	{"four and thirteen",
	 "\x0f\x1f\x40\x00\x66\x66\x66\x66\x66\x2e\x0f\x1f\x84\x00\x00\x00\x00\x00", 18, -ENOSPC},
};

START_TEST(refusals)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		const struct refused *r = &refused[i];
		int ret = relocate(r->bytes, r->n, 0x10100000);

		ck_assert_msg(ret == r->error, "%s: %d", r->name, ret);
	}
}
END_TEST

/* A slot must be in reach of what the prologue refers to and of the way back. */
START_TEST(too_far)
{
	static const u64 far[] = {0x10000000ULL + 0x80101000ULL, 0x7f0000000000ULL};

	for (size_t k = 0; k < ARRAY_SIZE(far); k++) {
		ck_assert_int_eq(relocate("\x90\x90\x90\x90\x90", 5, far[k]), -ERANGE);
		ck_assert_int_eq(relocate("\xe9\x00\x10\x00\x00", 5, far[k]), -ERANGE);
		ck_assert_int_eq(relocate("\xe8\x00\x10\x00\x00", 5, far[k]), -ERANGE);
		ck_assert_int_eq(relocate("\x90\x90\x90\x74\x20", 5, far[k]), -ERANGE);
		ck_assert_int_eq(relocate("\x48\x8b\x05\x00\x00\x00\x00", 7, far[k]), -ERANGE);
		/* Nothing in it but a return: it could be anywhere. */
		ck_assert_int_eq(relocate("\x90\x90\x90\x90\xc3", 5, far[k]), 0);
	}
	/* The jump back reaches, the operand does not. */
	ck_assert_int_eq(relocate("\x48\x8b\x05\x00\x00\x00\x80", 7, 0x10100000), -ERANGE);
}
END_TEST

START_TEST(garbage)
{
	int good = 0;

	for (int i = 0; i < 300000; i++) {
		size_t n = 1 + slots_random() % 24;
		u8 bytes[24];
		int ret;

		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (u8)slots_random();
		ret = relocate(bytes, n, 0x10000000 + (slots_random() & 0xffffffff));
		good += ret == 0;
		assert_in_loop_msg(ret == 0 || ret == -EOPNOTSUPP || ret == -ERANGE ||
					   ret == -ENOSPC,
				   "%d", ret);
	}
	ck_assert_int_gt(good, 10000);
}
END_TEST

Suite *prologue_suite(void)
{
	Suite *suite = suite_create("prologue");
	TCase *tcase = tcase_create("prologue");

	tcase_set_timeout(tcase, 120);
	tcase_add_loop_test(tcase, every_pair, 0, 3);
	tcase_add_loop_test(tcase, longer_groups, 0, 3);
	tcase_add_loop_test(tcase, conditions_anywhere, 0, 3);
	tcase_add_loop_test(tcase, steps_are_places, 0, 3);
	tcase_add_test(tcase, refused_instructions);
	tcase_add_test(tcase, refusals);
	tcase_add_test(tcase, too_far);
	tcase_add_test(tcase, garbage);
	suite_add_tcase(suite, tcase);
	return suite;
}
