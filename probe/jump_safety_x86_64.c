// SPDX-License-Identifier: MIT
/*
 * The conditions under which five bytes may become a jump are those under which
 * the Linux kernel turns a kprobe's int3 into one (arch/x86/kernel/kprobes/opt.c),
 * with two more: other functions are looked through for branches into the five
 * bytes (jump_safety_branches_x86_64.c), and an indirect jump is no reason to
 * refuse if all that it could read has been looked at (jump_safety_tables_x86_64.c).
 *
 * Bytes 1 to 4 are what matters. A branch to byte 0 runs into the jump, as a call
 * does; bytes behind the jump stay as they are, displaced or not.
 */
#include "probe/jump_safety_x86_64.h"

#include <errno.h>

#include "probe/jump_safety_internal_x86_64.h"
#include "probe/relocate_x86_64.h"

#define PAGE          4096U
#define FUNCTION_SIZE (4U << 20) /* more than this is no function */

u64 jump_function_size(const struct jump_question *q)
{
	return q->size ? q->size : q->limit;
}

bool jump_decode(const ZydisDecoder *decoder, const u8 *code, size_t n, u64 address,
		 struct jump_insn *insn)
{
	insn->address = address;
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(decoder, code,
						   n < INSTRUCTION_MAX ? n : INSTRUCTION_MAX,
						   &insn->z, insn->operands));
}

bool jump_branch(const struct jump_insn *insn, u64 *target)
{
	if (!insn->z.raw.imm[0].is_relative)
		return false;
	*target = insn->address + insn->z.length + (u64)insn->z.raw.imm[0].value.s;
	return true;
}

bool jump_address(const struct jump_insn *insn, const ZydisDecodedOperand *op, u64 *address)
{
	if (op->type != ZYDIS_OPERAND_TYPE_MEMORY)
		return false;
	if (op->mem.base == ZYDIS_REGISTER_RIP)
		*address = insn->address + insn->z.length + (u64)op->mem.disp.value;
	else if (op->mem.base == ZYDIS_REGISTER_NONE && op->mem.disp.has_displacement &&
		 op->mem.segment != ZYDIS_REGISTER_FS && op->mem.segment != ZYDIS_REGISTER_GS)
		*address = (u64)op->mem.disp.value;
	else
		return false;
	return true;
}

/* Is the address that of byte 1 to 4? */
static bool is_inside(const struct jump_question *q, u64 address)
{
	return address - q->address - 1 < JUMP_BYTES - 1;
}

/* What an operand has to do with the first bytes. */
static const char *check_operand(const struct jump_question *q, const struct jump_insn *insn,
				 const ZydisDecodedOperand *op)
{
	u64 address, size = op->size / 8;

	if (op->type == ZYDIS_OPERAND_TYPE_IMMEDIATE && !op->imm.is_relative)
		return is_inside(q, op->imm.value.u) ? "it takes an address in its first bytes"
						     : NULL;
	if (!jump_address(insn, op, &address) || insn->z.meta.category == ZYDIS_CATEGORY_NOP ||
	    insn->z.meta.category == ZYDIS_CATEGORY_WIDENOP)
		return NULL;
	if (op->mem.type == ZYDIS_MEMOP_TYPE_AGEN)
		return is_inside(q, address) ? "it takes an address in its first bytes" : NULL;
	if (address - q->address < JUMP_BYTES || q->address - address < size)
		return "it reads its own first bytes";
	return NULL;
}

/* A jump to somewhere that the instruction does not say. Through rip + n, the GOT, it leads to a function. */
static bool is_indirect_jump(const struct jump_insn *insn)
{
	const ZydisDecodedOperand *op = &insn->operands[0];

	if (insn->z.meta.category != ZYDIS_CATEGORY_UNCOND_BR || insn->z.raw.imm[0].is_relative ||
	    insn->z.mnemonic != ZYDIS_MNEMONIC_JMP)
		return false;
	return op->type != ZYDIS_OPERAND_TYPE_MEMORY || op->mem.base != ZYDIS_REGISTER_RIP;
}

static const char *check_instruction(const struct jump_question *q, const struct jump_insn *insn)
{
	u64 target;

	if (jump_branch(insn, &target) && is_inside(q, target))
		return "it branches into its first bytes";
	for (int i = 0; i < insn->z.operand_count_visible; i++) {
		const char *why = check_operand(q, insn, &insn->operands[i]);

		if (why)
			return why;
	}
	return NULL;
}

/* Decodes all of the function, from its first byte to its last. */
static const char *check_code(const struct jump_question *q, const ZydisDecoder *decoder)
{
	u64 size = jump_function_size(q);
	bool indirect = false;
	struct jump_insn insn;

	for (u64 at = 0; at < size; at += insn.z.length) {
		const char *why;

		if (!jump_decode(decoder, q->code + at, size - at, q->address + at, &insn))
			return "it contains bytes that are no instruction";
		why = check_instruction(q, &insn);
		if (why)
			return why;
		indirect = indirect || is_indirect_jump(&insn);
	}
	return indirect ? jump_check_tables(q, decoder) : NULL;
}

/* With a slot that is near: what is too far from the real one is seen when that is known. */
static const char *check_displaced(const struct jump_question *q)
{
	struct prologue made;
	int ret =
		relocate_prologue(q->code, q->available, q->address, q->address, JUMP_BYTES, &made);

	if (ret == -ENOSPC)
		return "its first instructions are too long for a slot";
	if (ret)
		return "its first instructions can only run in their own place";
	if (made.displaced > jump_function_size(q))
		return "its first instructions go beyond its end";
	return NULL;
}

static const char *check_place(const struct jump_question *q)
{
	u64 size = jump_function_size(q);

	if (!size)
		return "its size is unknown";
	if (size < JUMP_BYTES)
		return "it is shorter than a jump";
	if (size > FUNCTION_SIZE || q->address + size < q->address)
		return "its size is not believable";
	if (q->available < size)
		return "its code cannot be read";
	if (q->address % PAGE > PAGE - JUMP_BYTES)
		return "its first bytes lie in two pages";
	if (q->symbol_inside)
		return "another symbol lies in its first bytes";
	if (q->branched_into)
		return "other code seems to branch into its first bytes";
	return NULL;
}

bool jump_is_safe(const struct jump_question *q, const char **why)
{
	ZydisDecoder decoder;

	*why = check_place(q);
	if (!*why && ZYAN_FAILED(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64,
						  ZYDIS_STACK_WIDTH_64)))
		*why = "there is no decoder";
	if (!*why)
		*why = check_displaced(q);
	if (!*why)
		*why = check_code(q, &decoder);
	if (!*why && q->custom)
		*why = jump_check_stack(q, &decoder);
	return !*why;
}
