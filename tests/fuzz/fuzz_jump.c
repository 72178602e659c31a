// SPDX-License-Identifier: MIT
/* libFuzzer: a function of any bytes, whether it may be patched, and what would be put into its slot. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "probe/jump_safety_x86_64.h"
#include "probe/relocate_x86_64.h"

#define BASE 0x555555554f00ULL

/* The input is all the memory that there is. */
struct input {
	const u8 *data;
	size_t size;
};

int LLVMFuzzerTestOneInput(const u8 *data, size_t size);

static ssize_t read_input(void *ctx, u64 address, void *buffer, size_t len)
{
	const struct input *input = ctx;
	u64 at = address - BASE;

	if (at >= input->size)
		return -EFAULT;
	if (len > input->size - at)
		len = input->size - at;
	memcpy(buffer, input->data + at, len);
	return (ssize_t)len;
}

static void check_prologue(const u8 *code, size_t size, u64 slot)
{
	struct prologue made;
	int ret = relocate_prologue(code, size, BASE, slot, JUMP_BYTES, &made);

	if (ret == -EOPNOTSUPP || ret == -ERANGE || ret == -ENOSPC)
		return;
	if (ret || made.length > SLOT_SIZE || made.displaced < JUMP_BYTES ||
	    made.displaced > PROLOGUE_DISPLACED || made.displaced > size || !made.steps ||
	    made.steps > PROLOGUE_STEPS || made.from[0] || made.to[0])
		abort();
	for (u32 i = 1; i < made.steps; i++)
		if (made.from[i] <= made.from[i - 1] || made.to[i] <= made.to[i - 1] ||
		    made.from[i] > made.displaced || made.to[i] >= made.length)
			abort();
}

int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
	struct input input;
	struct mem_reader memory = {.read = read_input, .ctx = &input};
	struct jump_question q = {.address = BASE, .text = BASE, .memory = &memory};
	struct jump_range ranges[2] = {{.address = BASE, .size = 16},
				       {.address = BASE + 40, .size = 1}};
	const u64 targets[] = {BASE, BASE + 64};
	s32 distance;
	const char *why;

	if (size < 5)
		return 0;
	input = (struct input){.data = data + 4, .size = size - 4};
	memcpy(&distance, data, sizeof(distance));
	check_prologue(input.data, input.size, BASE + (u64)(s64)distance);

	/* A function with a part of it elsewhere, and data behind that. */
	q.code = input.data;
	q.available = input.size;
	q.size = data[0] & 1 ? input.size : data[1];
	q.limit = data[2];
	q.text_end = BASE + (data[0] & 2 ? input.size : input.size / 2);
	q.custom = data[0] & 4;
	q.known = targets;
	q.known_n = data[0] & 8 ? 2 : 0;
	if (data[0] & 16)
		q.memory = NULL;
	if (jump_is_safe(&q, &why) == !!why)
		abort();
	if (jump_calls_any(&q, targets, 2) > JUMP_CALLS_ONE)
		abort();
	jump_branches_into(input.data, input.size, BASE, ranges, 2);
	return 0;
}
