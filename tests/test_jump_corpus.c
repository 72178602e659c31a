// SPDX-License-Identifier: MIT
/*
 * Jump probes and real allocators: each entry point of the allocators on this
 * machine is asked whether it may be patched, its displaced instructions are
 * decoded again and compared, and those that this process can load are patched for
 * real and used.
 */
#include <Zydis/Zydis.h>
#include <stdio.h>
#include <string.h>

#include "probe/allocators.h"
#include "probe/jump_safety_x86_64.h"
#include "probe/relocate_x86_64.h"
#include "tests/elf_functions.h"
#include "tests/suites.h"

#define LIB "/usr/lib/x86_64-linux-gnu/"

static const struct {
	const char *path;
	size_t functions; /* at least so many entry points */
	size_t refused;   /* at most */
} allocators[] = {
	{LIB "libc.so.6", 9, 0},
	{"/usr/lib/x86_64-linux-musl/libc.so", 9, 0},
	{LIB "libstdc++.so.6", 20, 0},
	{LIB "libjemalloc.so.2", 32, 0},
	{LIB "libtcmalloc.so.4", 18, 0},
	{LIB "libtcmalloc_minimal.so.4", 18, 0},
	{LIB "libtcmalloc_debug.so.4", 31, 0},
	{LIB "libtcmalloc_minimal_debug.so.4", 31, 0},
	{LIB "libmimalloc.so.2", 60, 0},
};

static void ask(const struct elf_image *image, const struct elf_function *f,
		struct jump_question *q)
{
	*q = (struct jump_question){.address = f->address,
				    .size = f->size,
				    .code = image->bytes + f->address,
				    .available = image->size - f->address,
				    .text = image->text,
				    .text_end = image->text_end,
				    .memory = &image->memory};
	for (size_t i = 0; i < image->n; i++)
		if (image->functions[i].address - f->address - 1 < JUMP_BYTES - 1)
			q->symbol_inside = true;
}

struct insn {
	ZydisDecodedInstruction z;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

static void decode(const u8 *code, size_t n, struct insn *insn)
{
	ZydisDecoder decoder;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	ck_assert(
		ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code, n, &insn->z, insn->operands)));
}

/* Where a relative operand leads to, 0: there is none. */
static u64 leads_to(const struct insn *insn, u64 address)
{
	for (int i = 0; i < insn->z.operand_count_visible; i++) {
		const ZydisDecodedOperand *op = &insn->operands[i];
		u64 target;

		if (((op->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		      op->mem.base == ZYDIS_REGISTER_RIP) ||
		     (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && op->imm.is_relative)) &&
		    ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&insn->z, op, address, &target)))
			return target;
	}
	return 0;
}

static bool same_operands(const struct insn *a, const struct insn *b)
{
	for (int i = 0; i < a->z.operand_count_visible; i++) {
		const ZydisDecodedOperand *x = &a->operands[i], *y = &b->operands[i];

		if (x->type != y->type)
			return false;
		if (x->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && x->imm.is_relative)
			continue; /* perhaps widened; see leads_to */
		if (x->size != y->size)
			return false;
		if (x->type == ZYDIS_OPERAND_TYPE_REGISTER && x->reg.value != y->reg.value)
			return false;
		if (x->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && x->imm.value.u != y->imm.value.u)
			return false;
		if (x->type == ZYDIS_OPERAND_TYPE_MEMORY &&
		    (x->mem.base != y->mem.base || x->mem.index != y->mem.index ||
		     x->mem.scale != y->mem.scale || x->mem.segment != y->mem.segment ||
		     (x->mem.base != ZYDIS_REGISTER_RIP && x->mem.disp.value != y->mem.disp.value)))
			return false;
	}
	return true;
}

/* The slot's instructions are the same as the function's, one by one. */
static void compare(const char *name, const u8 *code, u64 address, u64 slot,
		    const struct prologue *made)
{
	for (u32 i = 0; i < made->steps; i++) {
		u32 from = made->from[i], to = made->to[i];
		struct insn old, new;

		decode(made->bytes + to, made->length - to, &new);
		if (from == made->displaced) {
			ck_assert_msg(new.z.mnemonic == ZYDIS_MNEMONIC_JMP, "%s: the end", name);
			ck_assert_msg(leads_to(&new, slot + to) == address + from, "%s: back",
				      name);
			continue;
		}
		decode(code + from, INSTRUCTION_MAX, &old);
		if (old.z.mnemonic == ZYDIS_MNEMONIC_CALL) {
			ck_assert(new.z.mnemonic == ZYDIS_MNEMONIC_PUSH);
			to += new.z.length;
			decode(made->bytes + to, made->length - to, &new);
			ck_assert(new.z.mnemonic == ZYDIS_MNEMONIC_JMP);
		} else {
			ck_assert_msg(old.z.mnemonic == new.z.mnemonic &&same_operands(&old, &new),
				      "%s: instruction %u", name, i);
		}
		ck_assert_msg(leads_to(&old, address + from) == leads_to(&new, slot + to),
			      "%s: operand %u", name, i);
	}
}

static void relocate(const struct jump_question *q, const char *name)
{
	static const s64 distances[] = {0x200000, -0x70000000, 0x70000000};
	struct prologue made;

	for (size_t i = 0; i < ARRAY_SIZE(distances); i++) {
		u64 slot = (q->address + (u64)distances[i]) & ~127ULL;

		ck_assert_msg(relocate_prologue(q->code, q->available, q->address, slot, JUMP_BYTES,
						&made) == 0,
			      "%s", name);
		compare(name, q->code, q->address, slot, &made);
	}
}

/* Whether the rest of its text branches into one of these. */
static void find_branches(const struct elf_image *image, const u64 *addresses, size_t n,
			  const char *path)
{
	struct jump_range ranges[128];

	for (size_t i = 0; i < n; i++)
		ranges[i] = (struct jump_range){.address = addresses[i], .size = 5};
	jump_branches_into(image->bytes + image->text, image->text_end - image->text, image->text,
			   ranges, n);
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(!ranges[i].hit, "%s: a branch into %#lx", path,
			      (unsigned long)addresses[i]);
}

START_TEST(entry_points)
{
	const char *path = allocators[_i].path;
	size_t passed = 0, refused = 0;
	u64 addresses[128];
	struct elf_image image;

	if (!elf_image_load(&image, path)) {
		printf("jump_corpus: skipped: there is no %s\n", path);
		return;
	}
	for (size_t i = 0; i < image.n; i++) {
		const struct elf_function *f = &image.functions[i];
		enum allocator_group group;
		struct jump_question q;
		bool is_malloc;
		const char *why;

		if (!allocator_find(f->name, &group, &is_malloc) ||
		    (passed && addresses[passed - 1] == f->address))
			continue;
		ask(&image, f, &q);
		if (!jump_is_safe(&q, &why)) {
			printf("jump_corpus: %s: %s: %s\n", strrchr(path, '/') + 1, f->name, why);
			refused++;
			continue;
		}
		relocate(&q, f->name);
		ck_assert_uint_lt(passed, ARRAY_SIZE(addresses));
		addresses[passed++] = f->address;
	}
	printf("jump_corpus: %s: %zu functions, %zu refused\n", strrchr(path, '/') + 1,
	       passed + refused, refused);
	ck_assert_uint_ge(passed + refused, allocators[_i].functions);
	ck_assert_uint_le(refused, allocators[_i].refused);
	find_branches(&image, addresses, passed, path);
	elf_image_free(&image);
}
END_TEST

Suite *jump_corpus_suite(void)
{
	Suite *suite = suite_create("jump_corpus");
	TCase *tcase = tcase_create("jump_corpus");

	tcase_set_timeout(tcase, 60);
	tcase_add_loop_test(tcase, entry_points, 0, (int)ARRAY_SIZE(allocators));
	suite_add_tcase(suite, tcase);
	return suite;
}
