// SPDX-License-Identifier: MIT
/*
 * What the agent's walker calls, for walks inside a test: a ring that is an array,
 * and a memattach that reads /proc/self/maps. Weak: the agent's own are taken if
 * they are linked, too.
 */
#include "tests/agent_stand_in.h"

#include <stdio.h>
#include <string.h>

struct stand_in stand_in = {.limit = STAND_IN_RECORDS};

__attribute__((weak)) int agent_try_put(struct channel *channel, uint64_t word0, uint64_t word1,
					uint64_t word2, uint64_t word3)
{
	unsigned at;

	(void)channel;
	at = __atomic_fetch_add(&stand_in.n, 1, __ATOMIC_SEQ_CST);
	if (at >= stand_in.limit || at >= STAND_IN_RECORDS)
		return -1;
	stand_in.records[at] = (struct channel_record){{word0, word1, word2, word3}};
	return 0;
}

static int find_mapping(struct channel_range *range)
{
	unsigned long low, high, address = range->low;
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512], flags[8];
	int found = 0;

	while (maps && !found && fgets(line, sizeof(line), maps)) {
		if (sscanf(line, "%lx-%lx %7s", &low, &high, flags) != 3 || flags[0] != 'r')
			continue;
		found = address >= low && address < high;
	}
	if (maps)
		fclose(maps);
	if (!found)
		return 0;
	range->low = low;
	range->high = high;
	return 1;
}

__attribute__((weak)) uint64_t agent_ask(uint64_t question, uint64_t argument)
{
	struct channel_range *range = (struct channel_range *)argument;

	stand_in.asked++;
	if (question != CHANNEL_ASK_RANGE || stand_in.mute)
		return 0;
	if (!stand_in.range.high)
		return (uint64_t)find_mapping(range);
	*range = stand_in.range;
	return 1;
}

int stand_in_stack(unsigned from, uint64_t *pcs, unsigned max, unsigned *end, uint64_t *hash)
{
	unsigned n = 0, count;
	uint64_t sp;

	if (from >= stand_in.n || CHANNEL_KIND(stand_in.records[from].word[0]) != CHANNEL_STACK)
		return -1;
	sp = CHANNEL_ADDRESS(stand_in.records[from].word[0]);
	*hash = stand_in.records[from].word[1];
	for (unsigned i = from + 1; i < stand_in.n && i < STAND_IN_RECORDS; i++) {
		const uint64_t *word = stand_in.records[i].word;

		if (CHANNEL_ADDRESS(word[0]) != sp)
			continue;
		if (CHANNEL_KIND(word[0]) == CHANNEL_FRAMES) {
			for (int k = 1; k <= 3; k++, n++)
				if (n < max)
					pcs[n] = word[k];
			continue;
		}
		if (CHANNEL_KIND(word[0]) != CHANNEL_STACK_END || word[1] != *hash)
			return -1;
		count = (uint32_t)word[2];
		*end = (unsigned)(word[2] >> 32);
		return count <= n && count <= max && n < count + 3 ? (int)count : -1;
	}
	return -1;
}
