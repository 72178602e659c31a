// SPDX-License-Identifier: MIT
#include "unwind/code_shape.h"

#include <string.h>

bool code_is_sigreturn(const struct mem_reader *memory, u64 pc)
{
	/* With REX.W, as gas encodes it for %rax, and without. */
	static const u8 rax[] = {0x48, 0xc7, 0xc0, 15, 0, 0, 0, 0x0f, 0x05};
	static const u8 eax[] = {0xb8, 15, 0, 0, 0, 0x0f, 0x05};
	u8 code[sizeof(rax) + 1];

	if (mem_read_all(memory, pc, code, sizeof(code)))
		return false;
	return !memcmp(code, rax, sizeof(rax)) || !memcmp(code + 1, rax, sizeof(rax)) ||
	       !memcmp(code, eax, sizeof(eax)) || !memcmp(code + 1, eax, sizeof(eax));
}

bool code_has_bare_frame(const struct mem_reader *memory, u64 pc)
{
	static const u8 int3 = 0xcc;
	static const u8 endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
	/* push %rbp and either encoding of mov %rsp, %rbp */
	static const u8 push1[] = {0x55, 0x48, 0x89, 0xe5}, push2[] = {0x55, 0x48, 0x8b, 0xec};
	static const u8 ret = 0xc3, ret_n = 0xc2, rep = 0xf3;
	u8 code[4];

	if (mem_read_all(memory, pc, code, sizeof(code)))
		return false;
	if (code[0] == ret || code[0] == ret_n || (code[0] == rep && code[1] == ret))
		return true;
	if (code[0] == int3)
		return !memcmp(code + 1, endbr64 + 1, 3) || !memcmp(code + 1, push1 + 1, 3) ||
		       !memcmp(code + 1, push2 + 1, 3);
	return !memcmp(code, endbr64, 4) || !memcmp(code, push1, 4) || !memcmp(code, push2, 4);
}

bool code_follows_call(const struct mem_reader *memory, u64 pc)
{
	u8 code[7];

	if (pc < sizeof(code) || mem_read_all(memory, pc - sizeof(code), code, sizeof(code)))
		return false;
	if (code[2] == 0xe8) /* call rel32 */
		return true;
	/* ff /2, with a ModRM byte and what addressing mode it says: 2, 3, 4, 6 or 7 bytes. */
	return (code[5] == 0xff && (code[6] & 0x38) == 0x10) ||
	       (code[4] == 0xff && (code[5] & 0x38) == 0x10) ||
	       (code[3] == 0xff && (code[4] & 0x38) == 0x10) ||
	       (code[1] == 0xff && (code[2] & 0x38) == 0x10) ||
	       (code[0] == 0xff && (code[1] & 0x38) == 0x10);
}
