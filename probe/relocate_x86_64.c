// SPDX-License-Identifier: MIT
/*
 * Zydis decodes; what depends on the address is written anew:
 *
 *	memory at rip + n	the displacement is counted from the slot
 *	jmp target		jmp *[rip]; target
 *	jcc target		jcc over the jump back to a jump to the target
 *	call target		push of the true return address; jump to the target
 *	call *operand		the same push; jmp *operand
 *	all others		as they are
 *
 * and behind it an absolute jump (ff 25, 14 bytes) leads back.
 */
#include "probe/relocate_x86_64.h"

#include <Zydis/Zydis.h>
#include <errno.h>
#include <string.h>

#define JUMP_SIZE 14

struct instruction {
	ZydisDecodedInstruction zydis;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	const u8 *code;
	u64 address;
};

static void put(struct slot_code *out, const void *bytes, size_t n)
{
	memcpy(out->bytes + out->length, bytes, n);
	out->length += (u32)n;
}

static void put_jump(struct slot_code *out, u64 target)
{
	static const u8 jump[] = {0xff, 0x25, 0, 0, 0, 0};

	put(out, jump, sizeof(jump));
	put(out, &target, sizeof(target));
}

/* push $low, sign-extended; movl $high, 4(%rsp): pushes value and changes no register and no flag. */
static void put_push(struct slot_code *out, u64 value)
{
	static const u8 mov[] = {0xc7, 0x44, 0x24, 0x04};
	u32 low = (u32)value, high = (u32)(value >> 32);

	put(out, "\x68", 1);
	put(out, &low, sizeof(low));
	put(out, mov, sizeof(mov));
	put(out, &high, sizeof(high));
}

static const ZydisDecodedOperand *rip_operand(const struct instruction *in)
{
	for (int i = 0; i < in->zydis.operand_count; i++) {
		const ZydisDecodedOperand *op = &in->operands[i];

		if (op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->mem.base == ZYDIS_REGISTER_RIP)
			return op;
	}
	return NULL;
}

static bool stack_operand(const struct instruction *in)
{
	for (int i = 0; i < in->zydis.operand_count_visible; i++) {
		const ZydisDecodedOperand *op = &in->operands[i];

		if ((op->type == ZYDIS_OPERAND_TYPE_MEMORY && op->mem.base == ZYDIS_REGISTER_RSP) ||
		    (op->type == ZYDIS_OPERAND_TYPE_REGISTER &&
		     op->reg.value == ZYDIS_REGISTER_RSP))
			return true;
	}
	return false;
}

/* Copies the instruction to the slot and moves a rip-relative operand with it. */
static int put_copy(struct slot_code *out, const struct instruction *in, u64 slot)
{
	const ZydisDecodedInstruction *z = &in->zydis;
	u32 at = out->length;

	put(out, in->code, z->length);
	if (rip_operand(in)) {
		s64 disp = z->raw.disp.value;
		s32 narrow;

		if (z->raw.disp.size != 32)
			return -EOPNOTSUPP;
		disp += (s64)(in->address - (slot + at));
		narrow = (s32)disp;
		if (narrow != disp)
			return -ERANGE;
		memcpy(out->bytes + at + z->raw.disp.offset, &narrow, sizeof(narrow));
	}
	return 0;
}

/*
 * Relative, but not in a way that is rewritten here: memory at eip + n; and a
 * branch with an operand-size prefix, which Intel takes for one with 32 bits, AMD
 * for one with 16.
 */
static bool odd_operand(const struct instruction *in)
{
	const ZydisDecodedInstruction *z = &in->zydis;

	if (!(z->attributes & ZYDIS_ATTRIB_IS_RELATIVE) || rip_operand(in))
		return false;
	return !z->raw.imm[0].is_relative ||
	       (z->attributes & ZYDIS_ATTRIB_HAS_OPERANDSIZE && !z->raw.rex.W);
}

static u64 branch_target(const struct instruction *in)
{
	return in->address + in->zydis.length + (u64)in->zydis.raw.imm[0].value.s;
}

static int put_conditional(struct slot_code *out, const struct instruction *in)
{
	const ZydisDecodedInstruction *z = &in->zydis;
	u8 jcc[6] = {0x0f, 0x80, JUMP_SIZE, 0, 0, 0};

	/* 70..7f rel8 and 0f 80..8f rel32 are the conditions; e0..e3 are loop and jrcxz. */
	if ((z->opcode & 0xf0) != (z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT ? 0x70 : 0x80))
		return -EOPNOTSUPP;
	jcc[1] |= z->opcode & 0x0f;
	put(out, jcc, sizeof(jcc));
	out->after = out->length;
	put_jump(out, in->address + z->length);
	put_jump(out, branch_target(in));
	return 0;
}

static int put_call(struct slot_code *out, const struct instruction *in, u64 slot)
{
	const ZydisDecodedInstruction *z = &in->zydis;
	u32 at;
	int ret;

	if (z->attributes & ZYDIS_ATTRIB_IS_RELATIVE && !rip_operand(in)) {
		put_push(out, in->address + z->length);
		put_jump(out, branch_target(in));
		return 0;
	}
	/* Near indirect only (ff /2), and not through the stack pointer that the push has moved. */
	if (z->opcode != 0xff || z->raw.modrm.reg != 2 || stack_operand(in))
		return -EOPNOTSUPP;
	put_push(out, in->address + z->length);
	at = out->length;
	ret = put_copy(out, in, slot);
	if (ret)
		return ret;
	/* ff /2 is call, ff /4 is jmp. */
	out->bytes[at + z->raw.modrm.offset] =
		(u8)((out->bytes[at + z->raw.modrm.offset] & ~0x38) | 4 << 3);
	return 0;
}

static int put_other(struct slot_code *out, const struct instruction *in, u64 slot)
{
	int ret = put_copy(out, in, slot);

	if (ret)
		return ret;
	out->after = out->length;
	put_jump(out, in->address + in->zydis.length);
	return 0;
}

int relocate_instruction(const u8 *code, size_t available, u64 address, u64 slot,
			 struct slot_code *out)
{
	struct instruction in = {.code = code, .address = address};
	ZydisDecoder decoder;

	memset(out, 0, sizeof(*out));
	if (available > INSTRUCTION_MAX)
		available = INSTRUCTION_MAX;
	if (ZYAN_FAILED(
		    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
	    ZYAN_FAILED(ZydisDecoderDecodeFull(&decoder, code, available, &in.zydis, in.operands)))
		return -EOPNOTSUPP;
	out->instruction_length = in.zydis.length;
	if (odd_operand(&in))
		return -EOPNOTSUPP;
	switch (in.zydis.meta.category) {
	case ZYDIS_CATEGORY_COND_BR:
		return put_conditional(out, &in);
	case ZYDIS_CATEGORY_UNCOND_BR:
		if (!(in.zydis.attributes & ZYDIS_ATTRIB_IS_RELATIVE) || rip_operand(&in))
			return put_other(out, &in, slot);
		if (in.zydis.mnemonic != ZYDIS_MNEMONIC_JMP)
			return -EOPNOTSUPP; /* xbegin, xabort */
		put_jump(out, branch_target(&in));
		return 0;
	case ZYDIS_CATEGORY_CALL:
		return put_call(out, &in, slot);
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_SYSTEM:
		return -EOPNOTSUPP;
	default:
		if (in.zydis.attributes & ZYDIS_ATTRIB_IS_RELATIVE && !rip_operand(&in))
			return -EOPNOTSUPP;
		return put_other(out, &in, slot);
	}
}
