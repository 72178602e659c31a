/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_PROBE_JUMP_SAFETY_INTERNAL_X86_64_H
#define MEMATTACH_PROBE_JUMP_SAFETY_INTERNAL_X86_64_H

/* Shared by probe/jump_safety_*.c and by nothing else. */
#include <Zydis/Zydis.h>

#include "probe/jump_safety_x86_64.h"

/* An instruction of the target. */
struct jump_insn {
	ZydisDecodedInstruction z;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
	u64 address;
};

/* Decodes one from at most n bytes. False: it is none. */
bool jump_decode(const ZydisDecoder *decoder, const u8 *code, size_t n, u64 address,
		 struct jump_insn *insn);

/* Whether it is a branch (or call) by a distance, and where it leads. */
bool jump_branch(const struct jump_insn *insn, u64 *target);

/*
 * The address of an operand that is in the instruction itself: memory at rip + n or
 * at an absolute address (the beginning of a table, if a register is added).
 */
bool jump_address(const struct jump_insn *insn, const ZydisDecodedOperand *op, u64 *address);

/* The bytes of the function that count: its size, or the limit if that is unknown. */
u64 jump_function_size(const struct jump_question *q);

/* What a jump or call through rip + n reads there now; 0: unknown. */
u64 jump_read_pointer(const struct jump_question *q, u64 address);

/* The target of a branch if it leads to a PLT stub that is bound, otherwise target itself. */
u64 jump_through_plt(const struct jump_question *q, const ZydisDecoder *decoder, u64 target);

bool jump_is_one_of(const u64 *sorted, size_t n, u64 address);

/* Whether q's function has an indirect jump that could land in its bytes 1 to 4; why, or NULL. */
const char *jump_check_tables(const struct jump_question *q, const ZydisDecoder *decoder);

/* Whether the function may have arguments on the stack; why, or NULL. */
const char *jump_check_stack(const struct jump_question *q, const ZydisDecoder *decoder);

#endif
