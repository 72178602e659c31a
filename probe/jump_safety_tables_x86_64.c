// SPDX-License-Identifier: MIT
/*
 * A function with an indirect jump, jmp *%rax or jmp *8(%rax,%rbx,4): may it land in
 * the function's bytes 1 to 4? It is either a call at the function's end, through a
 * pointer, and goes to some function's beginning, or it goes to a label of this
 * function, of a switch or a computed goto. A label's address must come from
 * somewhere:
 *
 *	lea or mov of the address	seen as the function is decoded
 *	a table of addresses, or of distances from the table's beginning; that
 *	beginning is in the function, as rip + n or as an absolute address
 *	distances from a label		whose address the function takes, too
 *
 * So each address in the function's instructions is taken for the beginning of a
 * table of both sorts, of as many entries as can be read, to a limit. If none leads
 * into the first bytes, no jump does. Bytes that are no table do so by chance once
 * in a million times, which costs nothing but the jump probe. What stands first at
 * such an address may be a pointer to the table. Addresses within the function are
 * refused.
 */
#include <stdlib.h>
#include <string.h>

#include "base/guard.h"
#include "probe/jump_safety_internal_x86_64.h"
#include "probe/relocate_x86_64.h"

#define TABLE_BYTES 65536U /* of a table, at most */
#define TABLES      256U   /* of a function */

static const char *const unsure = "it has an indirect jump that could lead into its first bytes";

static bool leads_inside(const struct jump_question *q, u64 target)
{
	return target - q->address - 1 < JUMP_BYTES - 1;
}

/* A table at this address, in n bytes of which it could be. */
static bool table_leads_inside(const struct jump_question *q, u64 address, const u8 *bytes,
			       size_t n)
{
	for (size_t i = 0; i + 4 <= n; i += 4) {
		s32 distance;
		u32 low;
		u64 full;

		memcpy(&distance, bytes + i, sizeof(distance));
		memcpy(&low, bytes + i, sizeof(low));
		if (leads_inside(q, address + (u64)(s64)distance) || leads_inside(q, low))
			return true;
		if (i + 8 > n)
			continue;
		memcpy(&full, bytes + i, sizeof(full));
		if (leads_inside(q, full))
			return true;
	}
	return false;
}

/* An address that the function knows. What cannot be read is no table. */
static bool check_table(const struct jump_question *q, u64 address, u8 *buffer)
{
	ssize_t n;

	if (address - q->address < jump_function_size(q))
		return false;
	n = q->memory->read(q->memory->ctx, address, buffer, TABLE_BYTES);
	if (n <= 0)
		n = q->memory->read(q->memory->ctx, address, buffer, 4096 - address % 4096);
	return n <= 0 || !table_leads_inside(q, address, buffer, (size_t)n);
}

static bool add_address(u64 *addresses, u32 *n, u64 address)
{
	for (u32 i = 0; i < *n; i++)
		if (addresses[i] == address)
			return true;
	if (*n == TABLES)
		return false;
	addresses[(*n)++] = address;
	return true;
}

/*
 * Whether an immediate may be an address. One of 64 bits that would have fitted into
 * 32 may be half of the sum of which the large code model makes an address: *odd.
 */
static bool immediate_address(const struct jump_question *q, const struct jump_insn *insn,
			      u64 *address, bool *odd)
{
	u64 value = insn->z.raw.imm[0].value.u;

	if (insn->z.raw.imm[0].size == 64) {
		*odd = (s64)value == (s32)value || value <= UINT32_MAX;
	} else if (insn->z.raw.imm[0].size != 32 || insn->z.raw.imm[0].is_relative ||
		   q->address > UINT32_MAX) {
		return false;
	}
	*address = value;
	return value < 1ULL << 47;
}

/* Addresses in one instruction. False: too many, or what cannot be understood. */
static bool collect(const struct jump_question *q, const struct jump_insn *insn, u64 *addresses,
		    u32 *n)
{
	bool odd = false;
	u64 address;

	if (insn->z.meta.category == ZYDIS_CATEGORY_NOP ||
	    insn->z.meta.category == ZYDIS_CATEGORY_WIDENOP)
		return true;
	if (immediate_address(q, insn, &address, &odd) && !add_address(addresses, n, address))
		return false;
	for (int i = 0; i < insn->z.operand_count_visible; i++)
		if (jump_address(insn, &insn->operands[i], &address) &&
		    !add_address(addresses, n, address))
			return false;
	return !odd;
}

const char *jump_check_tables(const struct jump_question *q, const ZydisDecoder *decoder)
{
	_cleanup_free_ u64 *addresses = malloc(TABLES * sizeof(u64));
	_cleanup_free_ u8 *buffer = malloc(TABLE_BYTES);
	u64 size = jump_function_size(q);
	struct jump_insn insn;
	u32 n = 0;

	if (!q->memory || !addresses || !buffer)
		return unsure;
	for (u64 at = 0; at < size; at += insn.z.length)
		if (!jump_decode(decoder, q->code + at, size - at, q->address + at, &insn) ||
		    !collect(q, &insn, addresses, &n))
			return unsure;
	for (u32 i = 0; i < n; i++) {
		u64 pointer = jump_read_pointer(q, addresses[i]);

		if (!check_table(q, addresses[i], buffer) ||
		    (pointer - q->address >= size && !check_table(q, pointer, buffer)))
			return unsure;
	}
	return NULL;
}
