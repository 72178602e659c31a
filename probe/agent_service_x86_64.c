// SPDX-License-Identifier: MIT
#include "probe/agent_service_x86_64.h"

#include <string.h>

#include "agent/abi.h"
#include "agent/fixup.h"
#include "proc/maps.h"

#define ZERO_FLAG 0x40

/* Where pc is in the agent's code, counted as AGENT_ENTRY_* are; false if it is not there. */
static bool agent_offset(const struct areas *areas, u64 pc, u64 *offset)
{
	u64 start;

	if (!areas_find(areas, pc, &start) || pc - start < AGENT_CODE ||
	    pc - start >= AGENT_CODE + AGENT_CODE_MAX)
		return false;
	*offset = pc - start - AGENT_CODE;
	return true;
}

/* Memory of no file and no device, which can be read with no effect. */
static bool is_plain(const struct map *map)
{
	return map->read && !map->inode && strncmp(map->path, "[v", 2) != 0;
}

/*
 * Makes range, whose low is an address, the mapping with it, and those beside it
 * without a gap: of a stack whose lower part was given other permissions, say.
 */
static bool find_range(const struct maps *maps, struct channel_range *range)
{
	const struct map *map = maps_find(maps, range->low);
	size_t first, last;

	if (!map || !map->read)
		return false;
	first = last = (size_t)(map - maps->items);
	while (first > 0 && is_plain(&maps->items[first - 1]) &&
	       maps->items[first - 1].end == maps->items[first].start)
		first--;
	while (last + 1 < maps->n && is_plain(&maps->items[last + 1]) &&
	       maps->items[last].end == maps->items[last + 1].start)
		last++;
	*range = (struct channel_range){maps->items[first].start, maps->items[last].end};
	return true;
}

static u64 answer_range(const struct tracee *tracee, u64 argument)
{
	const struct proc_mem *mem = tracee_mem(tracee);
	struct channel_range range;
	struct maps maps;
	u64 answer = 0;

	if (proc_mem_read(mem, argument, &range, sizeof(range)) != (ssize_t)sizeof(range) ||
	    maps_read(&maps, tracee_pid(tracee), NULL))
		return 0;
	if (find_range(&maps, &range))
		answer = proc_mem_write(mem, argument, &range, sizeof(range)) == 0;
	maps_deinit(&maps);
	return answer;
}

bool agent_service_question(const struct areas *areas, const struct tracee *tracee,
			    struct thread *thread)
{
	struct user_regs_struct *u = &thread->regs.u;
	u64 offset;

	if (!agent_offset(areas, u->rip, &offset) || offset != AGENT_ENTRY_ASKED)
		return false;
	u->rax = u->rdi == CHANNEL_ASK_RANGE ? answer_range(tracee, u->rsi) : 0;
	/* Of a thread that is gone its end will be told. */
	tracee_set_regs(thread);
	return true;
}

void agent_service_signal(const struct areas *areas, struct channel_map *channel,
			  struct thread *thread)
{
	struct user_regs_struct *u = &thread->regs.u;
	struct channel_record *ring;
	u64 offset, place = u->rax;

	if (!channel->ours || !agent_offset(areas, u->rip, &offset) || offset < AGENT_PUT_TAKEN ||
	    offset >= AGENT_PUT_DONE || (offset == AGENT_PUT_TAKEN && !(u->eflags & ZERO_FLAG)))
		return;
	u->rip -= offset - AGENT_ENTRY_PUT;
	if (tracee_set_regs(thread))
		return;
	ring = (struct channel_record *)((char *)channel->ours + CHANNEL_RING_AT);
	__atomic_store_n(&ring[place & ((1ULL << CHANNEL_RING_BITS) - 1)].word[0],
			 (u64)CHANNEL_LAP(place) << 56 | CHANNEL_WORD0(CHANNEL_VOID, 0),
			 __ATOMIC_RELEASE);
}

void agent_service_stopped(const struct areas *areas, struct channel_map *channel,
			   struct tracee *tracee)
{
	struct threads *threads = tracee_threads(tracee);

	for (u32 i = 0; i < threads_count(threads); i++) {
		struct thread *thread = threads_at(threads, i);

		if (thread->state == THREAD_STOPPED && tracee_get_regs(thread) == 0)
			agent_service_signal(areas, channel, thread);
	}
}

bool agent_service_fault(const struct areas *areas, struct thread *thread)
{
	u64 offset, target;

	if (!agent_offset(areas, regs_pc(&thread->regs), &offset))
		return false;
	target = agent_fixup_find(agent_code, agent_code_end, offset);
	if (!target)
		return false;
	return tracee_set_pc(thread, regs_pc(&thread->regs) - offset + target) == 0;
}
