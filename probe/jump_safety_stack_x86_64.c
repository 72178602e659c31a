// SPDX-License-Identifier: MIT
/*
 * Does a function take arguments on the stack? Then it cannot be wrapped: below the
 * wrapper's frame it would look for them in the wrong place. All paths from its
 * beginning are followed, with what each register is, as a distance from the CFA, if
 * it points into the stack:
 *
 *	CFA + 0...	arguments
 *	CFA - 8		the return address: rsp at the beginning
 *	below that	the function's own
 *
 * Refused is what touches, or takes the address of, anything from the return address
 * on; what it does with pointers into its own part stays there. A distance is an upper
 * bound (and $-32, %rsp and sub %rax, %rsp only lower it); where paths meet the
 * higher one counts. A jump out of the function (a part that the compiler has
 * put elsewhere, or another function as its last act, which then has the same
 * CFA) is followed like any other, but where it goes to a function known to take
 * none. Calls are not: a function called has a CFA of its own.
 */
#include <stdlib.h>
#include <string.h>

#include "base/guard.h"
#include "probe/jump_safety_internal_x86_64.h"
#include "probe/relocate_x86_64.h"

#define NODES_BITS 13
#define NODES      (1U << NODES_BITS) /* instructions at most: three quarters of it */
#define VISITS     16                 /* of one instruction */
#define RETURN     (-8)
#define UNKNOWN    INT32_MIN /* points to no part of the stack that matters */
#define LOWEST     (-(1 << 24))

#define FIRST_GPR ZYDIS_REGISTER_RAX

enum { RSP = ZYDIS_REGISTER_RSP - FIRST_GPR, RBP = ZYDIS_REGISTER_RBP - FIRST_GPR };

struct registers {
	s32 at[16];
};

/* An instruction, and what the registers are before it. */
struct node {
	u64 address; /* 0: free */
	struct registers before;
	u32 visits;
	bool waiting;
};

struct walk {
	const struct jump_question *q;
	const ZydisDecoder *decoder;
	struct node *nodes;
	u32 *waiting;
	u32 nodes_n, waiting_n;
	const char *why;
};

static const char *const touches = "it may take arguments on the stack";
static const char *const lost = "its stack pointer cannot be followed";
static const char *const elsewhere = "it goes on elsewhere, where it cannot be followed";
static const char *const long_code = "it is too long to be followed";

static void refuse(struct walk *walk, const char *why)
{
	if (!walk->why)
		walk->why = why;
}

/* The number of a 64-bit register or its part; -1: none of the sixteen. */
static int gpr(ZydisRegister reg)
{
	ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, reg);

	return whole >= FIRST_GPR && whole <= ZYDIS_REGISTER_R15 ? (int)(whole - FIRST_GPR) : -1;
}

static struct node *find(struct walk *walk, u64 address)
{
	u32 i = (u32)(address * 0x9e3779b97f4a7c15ULL >> (64 - NODES_BITS));

	while (walk->nodes[i].address && walk->nodes[i].address != address)
		i = (i + 1) & (NODES - 1);
	return &walk->nodes[i];
}

/* The higher bound of each. True if that is news. */
static bool merge(struct registers *into, const struct registers *from)
{
	bool changed = false;

	for (int i = 0; i < 16; i++) {
		if (from->at[i] <= into->at[i])
			continue;
		into->at[i] = from->at[i];
		changed = true;
	}
	return changed;
}

/* The program may come to address like this. */
static void reach(struct walk *walk, u64 address, const struct registers *regs)
{
	struct node *node = find(walk, address);

	if (!address)
		return refuse(walk, elsewhere);
	if (!node->address) {
		if (walk->nodes_n++ == NODES / 4 * 3)
			return refuse(walk, long_code);
		node->address = address;
		node->before = *regs;
	} else if (!merge(&node->before, regs)) {
		return;
	}
	if (node->waiting)
		return;
	if (node->visits++ == VISITS)
		return refuse(walk, lost);
	node->waiting = true;
	walk->waiting[walk->waiting_n++] = (u32)(node - walk->nodes);
}

/* Where memory is, by one of its registers; UNKNOWN: not on the stack, as far as that goes. */
static s32 place(const struct registers *regs, ZydisRegister reg, s64 disp)
{
	int i = gpr(reg);

	if (i < 0 || regs->at[i] == UNKNOWN)
		return UNKNOWN;
	if (disp > -LOWEST || disp < LOWEST)
		return 0; /* so far that it is refused */
	return regs->at[i] + (s32)disp;
}

/* Memory that an instruction names, to use it or for its address. */
static void check_memory(struct walk *walk, const struct jump_insn *insn,
			 const ZydisDecodedOperand *op, const struct registers *regs)
{
	s32 base = place(regs, op->mem.base, op->mem.disp.value), index = UNKNOWN;
	s32 size = op->mem.type == ZYDIS_MEMOP_TYPE_AGEN ? 1 : op->size / 8;

	if (op->mem.scale == 1)
		index = place(regs, op->mem.index, op->mem.disp.value);
	if (insn->z.mnemonic == ZYDIS_MNEMONIC_LEA && gpr(insn->operands[0].reg.value) == RSP)
		return; /* the new value is checked */
	if ((base != UNKNOWN && base + size > RETURN) ||
	    (index != UNKNOWN && index + size > RETURN))
		refuse(walk, touches);
}

/* What an operand that is a register becomes, if that is known. */
static s32 result(const struct jump_insn *insn, const struct registers *regs, bool *known)
{
	const ZydisDecodedOperand *to = &insn->operands[0], *from = &insn->operands[1];
	s32 old = regs->at[gpr(to->reg.value)];
	s64 imm = from->type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? from->imm.value.s : 0;

	*known = true;
	switch (insn->z.mnemonic) {
	case ZYDIS_MNEMONIC_MOV:
		return from->type == ZYDIS_OPERAND_TYPE_REGISTER ? place(regs, from->reg.value, 0)
								 : UNKNOWN;
	case ZYDIS_MNEMONIC_LEA:
		return from->mem.index == ZYDIS_REGISTER_NONE
			       ? place(regs, from->mem.base, from->mem.disp.value)
			       : UNKNOWN;
	case ZYDIS_MNEMONIC_ADD:
		if (from->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			return place(regs, to->reg.value, imm);
		break;
	case ZYDIS_MNEMONIC_SUB:
		if (from->type == ZYDIS_OPERAND_TYPE_IMMEDIATE)
			return place(regs, to->reg.value, -imm);
		return old; /* alloca: lower than it was */
	case ZYDIS_MNEMONIC_AND:
		return old;
	default:
		break;
	}
	*known = false;
	return UNKNOWN;
}

/* Registers that the instruction writes, as it names them or not. */
static void write_registers(struct walk *walk, const struct jump_insn *insn, struct registers *regs)
{
	const ZydisDecodedOperand *to = &insn->operands[0];
	struct registers before = *regs;

	for (int i = 0; i < insn->z.operand_count; i++) {
		const ZydisDecodedOperand *op = &insn->operands[i];
		int reg = op->type == ZYDIS_OPERAND_TYPE_REGISTER ? gpr(op->reg.value) : -1;
		bool hidden = op->visibility == ZYDIS_OPERAND_VISIBILITY_HIDDEN, known = false;
		s32 value = UNKNOWN;

		if (reg < 0 || !(op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) ||
		    (hidden && reg == RSP))
			continue;
		if (op == to && op->size == 64 && insn->z.operand_count_visible == 2)
			value = result(insn, &before, &known);
		regs->at[reg] = value;
		if (reg == RSP && (!known || value == UNKNOWN))
			refuse(walk, lost);
		else if (reg != RSP && value != UNKNOWN && value >= RETURN)
			refuse(walk, touches);
	}
}

/* A pointer to the return address or beyond must not get out of the registers, either. */
static void check_operands(struct walk *walk, const struct jump_insn *insn,
			   const struct registers *regs)
{
	bool writes_memory = false;

	for (int i = 0; i < insn->z.operand_count_visible; i++) {
		const ZydisDecodedOperand *op = &insn->operands[i];

		if (op->type != ZYDIS_OPERAND_TYPE_MEMORY ||
		    insn->z.meta.category == ZYDIS_CATEGORY_NOP ||
		    insn->z.meta.category == ZYDIS_CATEGORY_WIDENOP)
			continue;
		check_memory(walk, insn, op, regs);
		writes_memory = writes_memory || op->actions & ZYDIS_OPERAND_ACTION_MASK_WRITE;
	}
	for (int i = 0; i < insn->z.operand_count_visible; i++) {
		const ZydisDecodedOperand *op = &insn->operands[i];
		int reg = op->type == ZYDIS_OPERAND_TYPE_REGISTER ? gpr(op->reg.value) : -1;

		if (reg >= 0 && op->actions & ZYDIS_OPERAND_ACTION_MASK_READ &&
		    (writes_memory || insn->z.meta.category == ZYDIS_CATEGORY_PUSH) &&
		    regs->at[reg] != UNKNOWN && regs->at[reg] >= RETURN)
			refuse(walk, touches);
	}
}

/* The stack pointer's own moves, that the operands do not tell. rbp: before the instruction. */
static void move_stack(struct walk *walk, const struct jump_insn *insn, struct registers *regs,
		       s32 rbp)
{
	s32 size = insn->z.operand_width / 8;

	switch (insn->z.meta.category) {
	case ZYDIS_CATEGORY_PUSH:
		regs->at[RSP] -= size;
		break;
	case ZYDIS_CATEGORY_POP:
		if (regs->at[RSP] + size > RETURN)
			refuse(walk, touches);
		regs->at[RSP] += size;
		break;
	default:
		/* Its new rbp has been dealt with. */
		if (insn->z.mnemonic == ZYDIS_MNEMONIC_LEAVE && rbp != UNKNOWN)
			regs->at[RSP] = rbp + 8;
		else if (insn->z.mnemonic == ZYDIS_MNEMONIC_LEAVE ||
			 insn->z.mnemonic == ZYDIS_MNEMONIC_ENTER)
			refuse(walk, lost);
	}
	if (regs->at[RSP] > RETURN || regs->at[RSP] < LOWEST)
		refuse(walk, lost);
}

/* What a function that is called may change. */
static void forget_scratch(struct registers *regs)
{
	static const u8 scratch[] = {0, 1, 2, 6, 7, 8, 9, 10, 11};

	for (size_t i = 0; i < sizeof(scratch); i++)
		regs->at[scratch[i]] = UNKNOWN;
}

static void follow_jump(struct walk *walk, const struct jump_insn *insn, struct registers *regs)
{
	u64 target, slot;

	if (jump_branch(insn, &target))
		target = target - walk->q->address < jump_function_size(walk->q)
				 ? target
				 : jump_through_plt(walk->q, walk->decoder, target);
	else if (jump_address(insn, &insn->operands[0], &slot))
		target = jump_read_pointer(walk->q, slot);
	else
		return refuse(walk, elsewhere);
	if (jump_is_one_of(walk->q->known, walk->q->known_n, target))
		return;
	/* What is read from memory now may be another function later. */
	if (target - walk->q->text >= walk->q->text_end - walk->q->text ||
	    !insn->z.raw.imm[0].is_relative)
		return refuse(walk, elsewhere);
	reach(walk, target, regs);
}

/* A call at the function's end never returns: nothing of it is behind. */
static void follow_call(struct walk *walk, const struct jump_insn *insn, struct registers *regs)
{
	u64 next = insn->address + insn->z.length;

	forget_scratch(regs);
	if (next - walk->q->address != jump_function_size(walk->q))
		reach(walk, next, regs);
}

static void follow(struct walk *walk, const struct jump_insn *insn, struct registers *regs)
{
	switch (insn->z.meta.category) {
	case ZYDIS_CATEGORY_RET:
		return;
	case ZYDIS_CATEGORY_CALL:
		return follow_call(walk, insn, regs);
	case ZYDIS_CATEGORY_UNCOND_BR:
		if (insn->z.mnemonic != ZYDIS_MNEMONIC_JMP) /* xbegin */
			return refuse(walk, elsewhere);
		return follow_jump(walk, insn, regs);
	case ZYDIS_CATEGORY_COND_BR:
		follow_jump(walk, insn, regs);
		break;
	case ZYDIS_CATEGORY_INTERRUPT:
		return refuse(walk, elsewhere); /* perhaps a breakpoint of somebody's */
	default:
		if (insn->z.mnemonic == ZYDIS_MNEMONIC_UD2 ||
		    insn->z.mnemonic == ZYDIS_MNEMONIC_HLT)
			return;
	}
	reach(walk, insn->address + insn->z.length, regs);
}

/* Bytes at address: those that we were given, or the target's memory. */
static size_t read_code(const struct walk *walk, u64 address, u8 *bytes)
{
	const struct jump_question *q = walk->q;
	u64 at = address - q->address, size = jump_function_size(q);
	ssize_t n;

	if (at < size) {
		n = size - at < INSTRUCTION_MAX ? (ssize_t)(size - at) : INSTRUCTION_MAX;
		memcpy(bytes, q->code + at, (size_t)n);
		return (size_t)n;
	}
	if (!q->memory || address - q->text >= q->text_end - q->text)
		return 0;
	n = q->memory->read(q->memory->ctx, address, bytes, INSTRUCTION_MAX);
	return n > 0 ? (size_t)n : 0;
}

static void visit(struct walk *walk, struct node *node)
{
	struct registers regs = node->before;
	struct jump_insn insn;
	u8 bytes[INSTRUCTION_MAX];

	node->waiting = false;
	if (!jump_decode(walk->decoder, bytes, read_code(walk, node->address, bytes), node->address,
			 &insn))
		return refuse(walk, elsewhere);
	check_operands(walk, &insn, &regs);
	if (insn.z.meta.category != ZYDIS_CATEGORY_CALL &&
	    insn.z.meta.category != ZYDIS_CATEGORY_RET) {
		write_registers(walk, &insn, &regs);
		move_stack(walk, &insn, &regs, node->before.at[RBP]);
	}
	if (!walk->why)
		follow(walk, &insn, &regs);
}

const char *jump_check_stack(const struct jump_question *q, const ZydisDecoder *decoder)
{
	_cleanup_free_ struct node *nodes = calloc(NODES, sizeof(*nodes));
	_cleanup_free_ u32 *waiting = malloc(NODES * sizeof(*waiting));
	struct walk walk = {.q = q, .decoder = decoder, .nodes = nodes, .waiting = waiting};
	struct registers regs;

	if (!nodes || !waiting)
		return long_code;
	for (int i = 0; i < 16; i++)
		regs.at[i] = UNKNOWN;
	regs.at[RSP] = RETURN;
	reach(&walk, q->address, &regs);
	while (walk.waiting_n && !walk.why)
		visit(&walk, &nodes[waiting[--walk.waiting_n]]);
	return walk.why;
}
