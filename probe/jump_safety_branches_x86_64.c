// SPDX-License-Identifier: MIT
/*
 * Branches between functions: from anywhere in a module into the first bytes of
 * one that is to be patched, and from such a function to another one.
 *
 * The first are searched for at every byte of the text, since it cannot be decoded
 * as a whole: data may lie in it. A candidate's target is looked up in a filter of
 * 4096 bits, by its bits 4 and up, which nearly all of them do not pass.
 */
#include <string.h>

#include "probe/jump_safety_internal_x86_64.h"
#include "probe/relocate_x86_64.h"

#define FILTER_WORDS 64

struct filter {
	u64 words[FILTER_WORDS];
};

static void filter_add(struct filter *filter, u64 address)
{
	filter->words[address >> 10 & (FILTER_WORDS - 1)] |= 1ULL << (address >> 4 & 63);
}

static bool filter_has(const struct filter *filter, u64 address)
{
	return filter->words[address >> 10 & (FILTER_WORDS - 1)] >> (address >> 4 & 63) & 1;
}

/* A branch at from to target: whether it hits one of the ranges from outside. */
static void mark(struct jump_range *ranges, size_t n, u64 from, u64 target)
{
	size_t low = 0, high = n;

	/* The first range behind the target; it is the one before that. */
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (ranges[middle].address < target)
			low = middle + 1;
		else
			high = middle;
	}
	/* Beginnings may be less than five bytes apart. */
	while (low-- && target - ranges[low].address < JUMP_BYTES)
		if (from - ranges[low].address >= ranges[low].size)
			ranges[low].hit = true;
}

void jump_branches_into(const u8 *text, size_t len, u64 text_address, struct jump_range *ranges,
			size_t n)
{
	struct filter filter = {0};

	for (size_t i = 0; i < n; i++) {
		filter_add(&filter, ranges[i].address + 1);
		filter_add(&filter, ranges[i].address + JUMP_BYTES - 1);
	}
	for (size_t i = 0; i + 5 <= len; i++) {
		size_t opcode;
		s32 distance;
		u64 target;

		if ((text[i] & 0xfe) == 0xe8)
			opcode = 1;
		else if (text[i] == 0x0f && (text[i + 1] & 0xf0) == 0x80 && i + 6 <= len)
			opcode = 2;
		else
			continue;
		memcpy(&distance, text + i + opcode, sizeof(distance));
		target = text_address + i + opcode + sizeof(distance) + (u64)(s64)distance;
		if (filter_has(&filter, target))
			mark(ranges, n, text_address + i, target);
	}
}

u64 jump_read_pointer(const struct jump_question *q, u64 address)
{
	u64 value;

	if (!q->memory || mem_read_all(q->memory, address, &value, sizeof(value)))
		return 0;
	return value;
}

/* A stub is [endbr64] [bnd] jmp *rip + n. Not yet bound, it leads on in the PLT, to no function. */
u64 jump_through_plt(const struct jump_question *q, const ZydisDecoder *decoder, u64 target)
{
	struct jump_insn insn;
	u8 bytes[16];
	size_t at = 0;
	u64 slot, bound;

	if (!q->memory || mem_read_all(q->memory, target, bytes, sizeof(bytes)))
		return target;
	if (memcmp(bytes, "\xf3\x0f\x1e\xfa", 4) == 0)
		at = 4;
	if (!jump_decode(decoder, bytes + at, sizeof(bytes) - at, target + at, &insn) ||
	    insn.z.mnemonic != ZYDIS_MNEMONIC_JMP || !jump_address(&insn, &insn.operands[0], &slot))
		return target;
	bound = jump_read_pointer(q, slot);
	return bound ? bound : target;
}

bool jump_is_one_of(const u64 *sorted, size_t n, u64 address)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (sorted[middle] == address)
			return true;
		if (sorted[middle] < address)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

/* Where a call or a jump out of the function leads; 0: it cannot be said. False: it is neither. */
static bool leaves(const struct jump_question *q, const ZydisDecoder *decoder,
		   const struct jump_insn *insn, u64 *target)
{
	ZydisInstructionCategory category = insn->z.meta.category;
	u64 slot;

	if (jump_branch(insn, target)) {
		if (category != ZYDIS_CATEGORY_CALL && *target - q->address < jump_function_size(q))
			return false;
		*target = jump_through_plt(q, decoder, *target);
		return true;
	}
	if (category != ZYDIS_CATEGORY_CALL && category != ZYDIS_CATEGORY_UNCOND_BR)
		return false;
	*target = jump_address(insn, &insn->operands[0], &slot) ? jump_read_pointer(q, slot) : 0;
	return true;
}

/* How many calls and jumps lead out of the function, and how many of them to one of the targets. */
struct ways_out {
	u32 all, to_targets;
};

/* False: not all of its bytes are instructions. */
static bool count_ways_out(const struct jump_question *q, const u64 *targets, size_t n,
			   struct ways_out *ways)
{
	u64 size = jump_function_size(q), target;
	struct jump_insn insn;
	ZydisDecoder decoder;

	*ways = (struct ways_out){0};
	if (q->available < size ||
	    ZYAN_FAILED(
		    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64)))
		return false;
	for (u64 at = 0; at < size; at += insn.z.length) {
		if (!jump_decode(&decoder, q->code + at, size - at, q->address + at, &insn))
			return false;
		if (!leaves(q, &decoder, &insn, &target))
			continue;
		ways->all++;
		if (target && jump_is_one_of(targets, n, target))
			ways->to_targets++;
	}
	return true;
}

enum jump_calls jump_calls_any(const struct jump_question *q, const u64 *targets, size_t n)
{
	struct ways_out ways;
	bool whole = count_ways_out(q, targets, n, &ways);

	if (ways.to_targets)
		return JUMP_CALLS_ONE;
	return whole && !ways.all ? JUMP_CALLS_NOTHING : JUMP_CALLS_OTHERS;
}

bool jump_calls_only(const struct jump_question *q, const u64 *targets, size_t n)
{
	struct ways_out ways;

	return count_ways_out(q, targets, n, &ways) && ways.all == ways.to_targets;
}
