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
 *
 * A prologue must be near its slot anyway, so its jumps have 32-bit distances, and
 * it is made such that a thread nearly always stands between two instructions of
 * the program:
 *
 *	jmp target		jmp rel32
 *	jcc target		jcc rel32
 *	call			push [rip + n]; jmp; ...; the return address as data
 *	at the end		jmp rel32 back
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

/* Without a check: an instruction makes at most 34 bytes, a prologue 41 (see relocate_prologue). */
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

/* A branch by a distance. */
static bool is_relative(const struct instruction *in)
{
	return in->zydis.attributes & ZYDIS_ATTRIB_IS_RELATIVE && !rip_operand(in);
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

/* 70..7f rel8 and 0f 80..8f rel32 are the conditions; e0..e3 are loop and jrcxz. */
static bool is_jcc(const ZydisDecodedInstruction *z)
{
	return (z->opcode & 0xf0) == (z->opcode_map == ZYDIS_OPCODE_MAP_DEFAULT ? 0x70 : 0x80);
}

static int put_conditional(struct slot_code *out, const struct instruction *in)
{
	const ZydisDecodedInstruction *z = &in->zydis;
	u8 jcc[6] = {0x0f, 0x80, JUMP_SIZE, 0, 0, 0};

	if (!is_jcc(z))
		return -EOPNOTSUPP;
	jcc[1] |= z->opcode & 0x0f;
	put(out, jcc, sizeof(jcc));
	out->after = out->length;
	put_jump(out, in->address + z->length);
	put_jump(out, branch_target(in));
	return 0;
}

/* An indirect call as a jump, for which the return address has been pushed. */
static int put_indirect(struct slot_code *out, const struct instruction *in, u64 slot)
{
	const ZydisDecodedInstruction *z = &in->zydis;
	u32 at = out->length;
	int ret;

	/* Near indirect only (ff /2), and not through the stack pointer that the push has moved. */
	if (z->opcode != 0xff || z->raw.modrm.reg != 2 || stack_operand(in))
		return -EOPNOTSUPP;
	ret = put_copy(out, in, slot);
	if (ret)
		return ret;
	/* ff /2 is call, ff /4 is jmp. */
	out->bytes[at + z->raw.modrm.offset] =
		(u8)((out->bytes[at + z->raw.modrm.offset] & ~0x38) | 4 << 3);
	return 0;
}

static int put_call(struct slot_code *out, const struct instruction *in, u64 slot)
{
	const ZydisDecodedInstruction *z = &in->zydis;

	if (is_relative(in)) {
		put_push(out, in->address + z->length);
		put_jump(out, branch_target(in));
		return 0;
	}
	put_push(out, in->address + z->length);
	return put_indirect(out, in, slot);
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

static int decode(struct instruction *in, const u8 *code, size_t available, u64 address)
{
	ZydisDecoder decoder;

	in->code = code;
	in->address = address;
	if (available > INSTRUCTION_MAX)
		available = INSTRUCTION_MAX;
	if (ZYAN_FAILED(
		    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)) ||
	    ZYAN_FAILED(
		    ZydisDecoderDecodeFull(&decoder, code, available, &in->zydis, in->operands)))
		return -EOPNOTSUPP;
	return 0;
}

int relocate_instruction(const u8 *code, size_t available, u64 address, u64 slot,
			 struct slot_code *out)
{
	struct instruction in;

	memset(out, 0, sizeof(*out));
	if (decode(&in, code, available, address))
		return -EOPNOTSUPP;
	out->instruction_length = in.zydis.length;
	if (odd_operand(&in))
		return -EOPNOTSUPP;
	switch (in.zydis.meta.category) {
	case ZYDIS_CATEGORY_COND_BR:
		return put_conditional(out, &in);
	case ZYDIS_CATEGORY_UNCOND_BR:
		if (!is_relative(&in))
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
		if (is_relative(&in))
			return -EOPNOTSUPP;
		return put_other(out, &in, slot);
	}
}

/* rel32 to target behind opcode, if that is not too far. */
static int put_branch(struct slot_code *out, const void *opcode, size_t n, u64 target, u64 slot)
{
	s64 distance = (s64)(target - (slot + out->length + n + sizeof(s32)));
	s32 narrow = (s32)distance;

	if (narrow != distance)
		return -ERANGE;
	put(out, opcode, n);
	put(out, &narrow, sizeof(narrow));
	return 0;
}

/*
 * The push is one instruction, so that at most one place of the slot is between two of the program. The return
 * address is that behind the call, which is behind the prologue: nothing of the slot stays on the stack.
 */
static int put_last_call(struct slot_code *out, const struct instruction *in, u64 slot)
{
	u64 back = in->address + in->zydis.length;
	u32 push = out->length, distance;
	int ret;

	put(out, "\xff\x35\0\0\0", 6);
	if (is_relative(in))
		ret = put_branch(out, "\xe9", 1, branch_target(in), slot);
	else
		ret = put_indirect(out, in, slot);
	distance = out->length - (push + 6);
	memcpy(out->bytes + push + 2, &distance, sizeof(distance));
	put(out, &back, sizeof(back));
	return ret;
}

/* ud2 and the like: whoever handles the signal looks at where it happened. */
static bool always_faults(ZydisMnemonic mnemonic)
{
	return mnemonic == ZYDIS_MNEMONIC_UD0 || mnemonic == ZYDIS_MNEMONIC_UD1 ||
	       mnemonic == ZYDIS_MNEMONIC_UD2;
}

/* One of the prologue's instructions. *ends: the next one is not reached from it. */
static int put_one(struct slot_code *out, const struct instruction *in, u64 slot, bool *ends)
{
	const ZydisDecodedInstruction *z = &in->zydis;
	u8 jcc[2] = {0x0f, 0x80};

	if (odd_operand(in))
		return -EOPNOTSUPP;
	switch (z->meta.category) {
	case ZYDIS_CATEGORY_COND_BR:
		jcc[1] |= z->opcode & 0x0f;
		return is_jcc(z) ? put_branch(out, jcc, sizeof(jcc), branch_target(in), slot)
				 : -EOPNOTSUPP;
	case ZYDIS_CATEGORY_UNCOND_BR:
		*ends = true;
		if (z->mnemonic != ZYDIS_MNEMONIC_JMP)
			return -EOPNOTSUPP; /* xbegin, xabort */
		return is_relative(in) ? put_branch(out, "\xe9", 1, branch_target(in), slot)
				       : put_copy(out, in, slot);
	case ZYDIS_CATEGORY_CALL:
		*ends = true;
		return put_last_call(out, in, slot);
	case ZYDIS_CATEGORY_RET:
		*ends = true;
		return put_copy(out, in, slot);
	case ZYDIS_CATEGORY_SYSCALL:
	case ZYDIS_CATEGORY_SYSRET:
	case ZYDIS_CATEGORY_INTERRUPT:
	case ZYDIS_CATEGORY_SYSTEM:
		return -EOPNOTSUPP;
	default:
		return is_relative(in) || always_faults(z->mnemonic) ? -EOPNOTSUPP
								     : put_copy(out, in, slot);
	}
}

static void put_step(struct prologue *out, u32 from, u32 to)
{
	out->from[out->steps] = (u8)from;
	out->to[out->steps++] = (u8)to;
}

/* A branch of the prologue to an instruction of the prologue would have to stay in the slot. */
static bool branches_into(const struct instruction *in, u64 address, u32 displaced)
{
	return is_relative(in) && branch_target(in) - address < displaced;
}

/*
 * That it all has room: before the last instruction are at most four bytes, of
 * which two short jcc make 12; the last one makes at most 29, if it is an indirect call.
 */
int relocate_prologue(const u8 *code, size_t available, u64 address, u64 slot, u32 min_bytes,
		      struct prologue *out)
{
	struct instruction in[PROLOGUE_STEPS - 1];
	struct slot_code made = {0};
	bool ends = false;
	u32 n = 0;
	int ret;

	memset(out, 0, sizeof(*out));
	if (min_bytes > JUMP_BYTES)
		return -ENOSPC;
	while (out->displaced < min_bytes) {
		if (ends || n == ARRAY_SIZE(in) ||
		    decode(&in[n], code + out->displaced, available - out->displaced,
			   address + out->displaced))
			return -EOPNOTSUPP;
		put_step(out, out->displaced, made.length);
		ret = put_one(&made, &in[n], slot, &ends);
		if (ret)
			return ret;
		out->displaced += in[n++].zydis.length;
	}
	if (out->displaced > PROLOGUE_DISPLACED)
		return -ENOSPC;
	for (u32 i = 0; i < n; i++)
		if (branches_into(&in[i], address, out->displaced))
			return -EOPNOTSUPP;
	if (!ends) {
		put_step(out, out->displaced, made.length);
		ret = put_branch(&made, "\xe9", 1, address + out->displaced, slot);
		if (ret)
			return ret;
	}
	memcpy(out->bytes, made.bytes, made.length);
	out->length = made.length;
	return 0;
}
