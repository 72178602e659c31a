/* SPDX-License-Identifier: MIT */
#ifndef MEMATTACH_AGENT_FIXUP_H
#define MEMATTACH_AGENT_FIXUP_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * For memattach. The agent's image ends in its table of fixups:
 *
 *	i32 load, i32 landing	distances from where each number itself stands; n times
 *	u32 size		bytes of the pairs before it
 *
 * at is the offset in the image (code to code_end) of an instruction that has
 * faulted. Returns the offset at which the thread is to go on, 0 if this is no
 * read that may fail. Nothing else of the thread changes.
 */
static inline size_t agent_fixup_find(const uint8_t *code, const uint8_t *code_end, size_t at)
{
	size_t end = (size_t)(code_end - code), size;
	uint32_t size32;

	if (end < sizeof(size32))
		return 0;
	end -= sizeof(size32);
	memcpy(&size32, code + end, sizeof(size32));
	size = size32;
	if (size > end || size % 8)
		return 0;
	for (size_t pair = end - size; pair < end; pair += 8) {
		int32_t distance[2];

		memcpy(distance, code + pair, sizeof(distance));
		if (pair + (size_t)(int64_t)distance[0] == at)
			return pair + 4 + (size_t)(int64_t)distance[1];
	}
	return 0;
}

#endif
