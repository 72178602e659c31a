// SPDX-License-Identifier: MIT
#include "tests/decoded.h"

bool decode(const u8 *bytes, size_t n, struct insn *insn)
{
	ZydisDecoder decoder;

	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, n, &insn->z, insn->operands));
}
