/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_TESTS_DECODED_H
#define MEMATTACH_TESTS_DECODED_H

#include <Zydis/Zydis.h>
#include <stdbool.h>

#include "base/types.h"

/* An instruction of code that a test looks at. */
struct insn {
	ZydisDecodedInstruction z;
	ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

/* The one that the n bytes begin with. False: it is none. */
bool decode(const u8 *bytes, size_t n, struct insn *insn);

#endif
